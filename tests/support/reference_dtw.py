"""Dynamic time warping by the textbook."""

from __future__ import annotations

import math

from torch import Tensor


def naive_dtw(first: Tensor, second: Tensor, band: int) -> float:
    """The table of the textbook, cell by cell."""
    a, b = first.double().tolist(), second.double().tolist()
    steps = len(a)
    table = [[math.inf] * steps for _ in range(steps)]
    for i in range(steps):
        for j in range(steps):
            if abs(i - j) > band:
                continue
            cost = sum((x - y) ** 2 for x, y in zip(a[i], b[j], strict=True))
            before = [
                table[i - 1][j] if i else math.inf,
                table[i][j - 1] if j else math.inf,
                table[i - 1][j - 1] if i and j else math.inf,
            ]
            table[i][j] = cost + (0.0 if i == j == 0 else min(before))
    return table[-1][-1]
