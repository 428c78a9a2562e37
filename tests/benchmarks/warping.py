"""How fast many pairs are warped: the compiled loop against a table a pair, and against all pairs at once in NumPy.

Run: python -m tests.benchmarks.warping

Random signals; one thread. Ratios come from the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sldml.recognition.dtw import BAND, dtw_distances

STEPS, DIM = 32, 60


def cell_by_cell(first: Tensor, second: Tensor) -> Tensor:
    """The textbook's table of each pair."""
    a, b = first.numpy(), second.numpy()
    return torch.tensor([[_table(x, y) for y in b] for x in a])


def _table(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    cost = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    table = np.full((STEPS + 1, STEPS + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(STEPS):
        for j in range(max(0, i - BAND), min(STEPS, i + BAND + 1)):
            table[i + 1, j + 1] = cost[i, j] + min(table[i, j], table[i, j + 1], table[i + 1, j])
    return float(table[-1, -1])


def all_at_once(first: Tensor, second: Tensor) -> Tensor:
    """Cell by cell as well, but each cell of all pairs in one array operation."""
    a, b = first.numpy(), second.numpy()
    squares = (a**2).sum(2)[:, None, :, None] + (b**2).sum(2)[None, :, None, :]
    cost = np.ascontiguousarray((squares - 2 * np.einsum("atd,bsd->abts", a, b, optimize=True)).transpose(2, 3, 0, 1))
    table = np.full((STEPS + 1, STEPS + 1, len(a), len(b)), np.inf, np.float32)
    table[0, 0] = 0.0
    for i in range(STEPS):
        for j in range(max(0, i - BAND), min(STEPS, i + BAND + 1)):
            before = np.minimum(np.minimum(table[i, j], table[i, j + 1]), table[i + 1, j])
            table[i + 1, j + 1] = cost[i, j] + before
    return torch.from_numpy(table[-1, -1])


def pairs_per_s(distances: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        distances(first, second)
        times.append(time.perf_counter() - started)
    return len(first) * len(second) / min(times)


def main() -> None:
    """Print pairs a second."""
    torch.set_num_threads(1)
    some = torch.randn(300, STEPS, DIM, generator=torch.Generator().manual_seed(0))
    expected = cell_by_cell(some[:5], some[:6])
    for way in (dtw_distances, all_at_once):
        assert torch.allclose(way(some[:5], some[:6]), expected, rtol=1e-4, atol=1e-2), way.__name__
    table = pairs_per_s(cell_by_cell, some[:10], some[:10])
    whole = pairs_per_s(all_at_once, some, some.clone())
    print(f"{STEPS} steps of {DIM} numbers, band {BAND}; pairs a second on one thread")
    print(f"a table a pair, NumPy      {table:10,.0f}")
    print(f"all pairs at once, NumPy   {whole:10,.0f}")
    for name, second in (("two sets", some.clone()), ("one set with itself", some)):
        ours = pairs_per_s(dtw_distances, some, second)
        print(
            f"compiled, {name:17}{ours:10,.0f}   {ours / table:.0f} x a table a pair, {ours / whole:.1f} x all at once"
        )


if __name__ == "__main__":
    main()
