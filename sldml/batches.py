"""Batches of signals: one gather over a prepared set's array that resamples each recording in time.

On a CPU the array stays memory-mapped; on a GPU it is made resident where it fits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_LARGEST_SHARE_OF_GPU = 0.4
"""More of the free GPU memory than this is not given to signals: training needs the rest."""


class Signals:
    """All frames of some recordings, to take batches from.

    Attributes:
        device: Where batches come out.
        resident: Whether the whole array is in that device's memory.
    """

    def __init__(self, frames: Tensor, held: Tensor | None, device: torch.device) -> None:
        """`frames`: float32 [all frames, rows, 3]; `held`: int32 [all frames], see `sldml.prepared`, or None."""
        self._frames, self._held, self.device = frames, held, device
        self.resident = device.type == "cuda" and self._fits(device)
        if self.resident:
            self._frames = self._frames.to(device)
            self._held = None if self._held is None else self._held.to(device)

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> Signals:
        """The frames of a prepared set."""
        # Copy-on-write: torch wants writable memory, and nothing written here may reach the file.
        frames = np.load(folder / "signals.npy", mmap_mode="c")
        held = np.load(folder / "held.npy", mmap_mode="c")
        return cls(torch.from_numpy(frames), torch.from_numpy(held) if held.any() else None, device)

    def _fits(self, device: torch.device) -> bool:
        free, _ = torch.cuda.mem_get_info(device)
        return self._frames.numel() * self._frames.element_size() < _LARGEST_SHARE_OF_GPU * free

    def gather(self, offsets: Tensor, lengths: Tensor, steps: int) -> Tensor:
        """Take recordings, each resampled linearly in time from its first to its last frame.

        Frames in which nothing was recorded are replaced by the nearest frame before (else after) them.

        Args:
            offsets: int64 [B], each recording's first frame in the array.
            lengths: int64 [B], its number of frames.
            steps: The number of frames that each recording gets.

        Returns:
            float32 [B, steps, rows, 3] on `device`.
        """
        where = self._frames.device
        offsets, lengths = offsets.to(where), lengths.to(where)
        share = torch.linspace(0.0, 1.0, steps, dtype=torch.float64, device=where)
        position = share * (lengths - 1).unsqueeze(1)
        below = position.floor().long()
        above = torch.minimum(below + 1, (lengths - 1).unsqueeze(1))
        weight = (position - below).to(self._frames.dtype)[..., None, None]
        before, after = below + offsets.unsqueeze(1), above + offsets.unsqueeze(1)
        if self._held is not None:
            before, after = before + self._held[before], after + self._held[after]
        taken = torch.lerp(self._frames[before], self._frames[after], weight)
        return taken.to(self.device, non_blocking=True)
