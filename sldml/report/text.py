"""Values as text."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> str:
    """A sampled value as text: floats with three significant digits, others unchanged."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def points(value: float) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def chance(probability: float) -> str:
    """A probability as text; never 0 or 100 %, which no number of folds can show."""
    if probability > 0.99:
        return "over 99 %"
    return f"{100 * probability:.0f} %" if probability >= 0.01 else "under 1 %"
