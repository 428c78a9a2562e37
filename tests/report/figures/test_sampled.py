"""Axes of sampled parameters."""

from __future__ import annotations

import pytest

from sldml.report.figures.sampled import log_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-4, 1e-2, [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]),
        (0.05, 0.5, [0.05, 0.1, 0.2, 0.5]),
        (1e-9, 1.0, [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (3.1, 3.2, [3.1, 3.2]),
    ],
)
def test_ticks_of_logarithms_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)
