"""Batches of signals: one gather over a prepared set's array that resamples each recording in time.

On a CPU the array stays memory-mapped; on a GPU it is made resident where it fits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sldml.prepared.memory import keep_freed_memory

_LARGEST_SHARE_OF_GPU = 0.4
"""More of the free GPU memory than this is not given to signals: training needs the rest."""


class Signals:
    """All frames of some recordings, to take batches from.

    Attributes:
        device: Where batches come out.
        resident: Whether the whole array is in that device's memory.
    """

    def __init__(self, frames: Tensor, held: Tensor | None, device: torch.device) -> None:
        """`frames`: float32, or bytes of pictures, [all frames, rows, 3]; `held`: int32 [all frames], see
        `sldml.prepared.prepared_set`, or None."""
        self._frames, self._held, self.device = frames, held, device
        self.resident = device.type == "cuda" and self._fits(device)
        if self.resident:
            self._frames = self._frames.to(device)
            self._held = None if self._held is None else self._held.to(device)

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> Signals:
        """The frames of a prepared set. From then on the process keeps the memory of past batches."""
        keep_freed_memory()
        # Copy-on-write: torch wants writable memory, and nothing written here may reach the file.
        frames = np.load(folder / "signals.npy", mmap_mode="c")
        held = np.load(folder / "held.npy", mmap_mode="c")
        return cls(torch.from_numpy(frames), torch.from_numpy(held) if held.any() else None, device)

    def _fits(self, device: torch.device) -> bool:
        free, _ = torch.cuda.mem_get_info(device)
        return self._frames.numel() * self._frames.element_size() < _LARGEST_SHARE_OF_GPU * free

    def recorded(self, offset: int, length: int) -> NDArray[np.float32]:
        """One recording as it was recorded, float32 [length, rows, 3]."""
        frames: NDArray[np.float32] = self._frames[offset : offset + length].cpu().numpy().astype(np.float32)
        return frames

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
        offsets, lengths = offsets.to(where).unsqueeze(1), lengths.to(where).unsqueeze(1)
        share = torch.linspace(0.0, 1.0, steps, dtype=torch.float64, device=where)
        position = share * (lengths - 1)
        # The last frame is what follows the one before it with weight 1: no recording reaches into the next.
        before = torch.minimum(position.long(), lengths - 2).clamp_(min=0)
        after = torch.minimum(before + 1, lengths - 1)
        weight = position.sub_(before).float()
        before, after = before.add_(offsets), after.add_(offsets)
        if self._held is not None:
            before, after = before + self._held[before], after + self._held[after]
        return self._between(before, after, weight).to(self.device, non_blocking=True)

    def _between(self, before: Tensor, after: Tensor, weight: Tensor) -> Tensor:
        """The frames [B, steps] on the way from `before` to `after`, at `weight` of it: float32 [B, steps, rows, 3]."""
        if self._frames.device.type == "cpu" and self._frames.dtype == torch.float32:
            # The weighted sum of two rows of a table: one pass over the frames, where reading both and mixing is three.
            pairs, weights = torch.stack((before, after), dim=-1), torch.stack((1 - weight, weight), dim=-1)
            table = self._frames.flatten(1)
            taken = functional.embedding_bag(
                pairs.view(-1, 2), table, mode="sum", per_sample_weights=weights.view(-1, 2)
            )
            return taken.view(*before.shape, *self._frames.shape[1:])
        taken, following = self._frames[before].float(), self._frames[after].float()
        return taken.lerp_(following, weight[..., None, None])
