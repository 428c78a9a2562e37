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
