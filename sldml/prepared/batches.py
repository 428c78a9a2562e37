"""The frames of a prepared set, and batches of its recordings, each resampled in time.

A batch is one gather over the array of all frames. On a CPU the array stays memory-mapped; on a GPU it is copied to
the device's memory if it fits.
"""

from __future__ import annotations

import ctypes
import functools
import json
import platform
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sldml.recordings import Layout

_LARGEST_SHARE_OF_GPU = 0.4
"""Largest share of the free GPU memory that frames may take: training needs the rest."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h
_KEPT_BYTES = 2**30
_LARGEST_KEPT_BYTES = 2**28
"""A larger block is not a batch: it is returned to the system."""


class Frames:
    """All frames of a prepared set, end to end in one array.

    Attributes:
        layout: What the rows of a frame mean.
        device: Where batches come out.
        resident: Whether the whole array is in that device's memory.
    """

    def __init__(self, values: Tensor, held: Tensor | None, layout: Layout, device: torch.device) -> None:
        """
        Args:
            values: [all frames, rows, 3], float32, or uint8 for the pixels of imported images.
            held: int32 [all frames], see `sldml.prepared.prepared_set`; None if no frame was dropped.
            layout: What the rows mean.
            device: Where batches come out.
        """
        self._values, self._held, self.layout, self.device = values, held, layout, device
        self.resident = device.type == "cuda" and self._fits(device)
        if self.resident:
            self._values = self._values.to(device)
            self._held = None if self._held is None else self._held.to(device)

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> Frames:
        """Open the frames of a finished prepared set; calls `keep_freed_memory`."""
        keep_freed_memory()
        layout = Layout.from_json(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["layout"])
        # Copy-on-write: torch needs writable memory, and nothing written here may reach the file.
        values = np.load(folder / "signals.npy", mmap_mode="c")
        held = np.load(folder / "held.npy", mmap_mode="c")
        return cls(torch.from_numpy(values), torch.from_numpy(held) if held.any() else None, layout, device)

    def _fits(self, device: torch.device) -> bool:
        free, _ = torch.cuda.mem_get_info(device)
        return self._values.numel() * self._values.element_size() < _LARGEST_SHARE_OF_GPU * free

    def recorded(self, offset: int, length: int) -> NDArray[np.float32]:
        """One recording as it was recorded, float32 [length, rows, 3]."""
        frames: NDArray[np.float32] = self._values[offset : offset + length].cpu().numpy().astype(np.float32)
        return frames

    def gather(self, offsets: Tensor, lengths: Tensor, steps: int) -> Tensor:
        """A batch of recordings, each resampled linearly in time from its first to its last frame.

        A dropped frame (all zeros) is replaced by the nearest earlier frame with values, at the beginning by the first
        later one.

        Args:
            offsets: int64 [B], each recording's first frame in the array.
            lengths: int64 [B], its number of frames.
            steps: Number of frames of each recording in the batch.

        Returns:
            float32 [B, steps, rows, 3] on `device`.
        """
        where = self._values.device
        offsets, lengths = offsets.to(where).unsqueeze(1), lengths.to(where).unsqueeze(1)
        share = torch.linspace(0.0, 1.0, steps, dtype=torch.float64, device=where)
        position = share * (lengths - 1)
        # The last frame is the successor of the last but one, with weight 1: no recording reads frames of the next.
        before = torch.minimum(position.long(), lengths - 2).clamp_(min=0)
        after = torch.minimum(before + 1, lengths - 1)
        weight = position.sub_(before).float()
        before, after = before.add_(offsets), after.add_(offsets)
        if self._held is not None:
            before, after = before + self._held[before], after + self._held[after]
        return self._between(before, after, weight).to(self.device, non_blocking=True)

    def _between(self, before: Tensor, after: Tensor, weight: Tensor) -> Tensor:
        """Frames between `before` and `after` [B, steps], at `weight` of the way: float32 [B, steps, rows, 3]."""
        if self._values.device.type == "cpu" and self._values.dtype == torch.float32:
            # A weighted sum of two rows of a table is one pass over the frames; gathering and mixing both is three.
            pairs, weights = torch.stack((before, after), dim=-1), torch.stack((1 - weight, weight), dim=-1)
            table = self._values.flatten(1)
            taken = functional.embedding_bag(
                pairs.view(-1, 2), table, mode="sum", per_sample_weights=weights.view(-1, 2)
            )
            return taken.view(*before.shape, *self._values.shape[1:])
        taken, following = self._values[before].float(), self._values[after].float()
        return taken.lerp_(following, weight[..., None, None])


@functools.cache
def keep_freed_memory() -> bool:
    """Make malloc keep up to a gigabyte of freed memory in this process, from now on. Needs glibc.

    By default glibc returns every large block to the system as soon as it is freed. A batch of images is such a block,
    and so are an encoder's activations: the system has to clear and map each of their pages again, page fault by page
    fault, which took twice as long as making images of 256 pixels itself.

    Returns:
        Whether malloc was configured; False with another C library.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES))
