"""Distances of pairs of recordings: Euclidean, and by dynamic time warping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BAND = 8


def raw_distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distances [A, B] of recordings [A, T, D] and [B, T, D]."""
    return torch.cdist(first.flatten(1), second.flatten(1))


def dtw_distances(first: Tensor, second: Tensor, band: int = BAND) -> Tensor:
    """Dynamic time warping distances [A, B] of recordings [A, T, D] and [B, T, D] on the CPU.

    The least sum of squared Euclidean distances of matched frames over all monotone paths with steps (1, 0),
    (0, 1), (1, 1) that stay within `band` steps of the diagonal. If `second` is `first`, half of them are computed.
    """
    same = second is first
    first, second = first.detach().float(), second.detach().float()
    num_second, num_steps, _ = second.shape
    frames = second.flatten(0, 1)
    squares = frames.square().sum(1)
    found = torch.empty(len(first), num_second)
    for place, recording in enumerate(first):
        start = place if same else 0
        others = slice(start * num_steps, None)
        lengths = recording.square().sum(1, keepdim=True) + squares[others]
        # [T, B, T]: this recording's frames, and those of each of the others.
        cost = torch.addmm(lengths, recording, frames[others].T, alpha=-2.0).clamp_min_(0.0)
        _compiled_paths()(cost.view(num_steps, -1, num_steps).numpy(), band, found[place, start:].numpy())
        if same:
            found[place + 1 :, place] = found[place, place + 1 :]
    return found


@functools.cache
def _compiled_paths() -> Callable[[Any, int, Any], None]:
    """Compile the loop at first use, about a second per process. Not cached on the disk, as the loop of curves."""
    import numba
    import numpy as np

    def paths(cost: Any, band: int, found: Any) -> None:
        """`cost` [T, B, T], `found` [B]. Only two rows of the table are kept at a time."""
        num_steps, num_pairs, _ = cost.shape
        infinite = np.float32(np.inf)
        # Entry j + 1 of a row is the cell of column j; entry 0 is the border, allowed only at the start of a path.
        before, current = np.empty(num_steps + 1, np.float32), np.empty(num_steps + 1, np.float32)
        for pair in range(num_pairs):
            before[:] = infinite
            before[0] = np.float32(0.0)
            for i in range(num_steps):
                low, high = max(0, i - band), min(num_steps - 1, i + band)
                left = infinite
                current[low] = infinite
                for j in range(low, high + 1):
                    left = min(left, before[j], before[j + 1]) + cost[i, pair, j]
                    current[j + 1] = left
                if high + 2 <= num_steps:
                    current[high + 2] = infinite
                before, current = current, before
            found[pair] = before[num_steps]

    compiled: Callable[[Any, int, Any], None] = numba.njit(nogil=True)(paths)
    return compiled
