"""Shared by the figures of sampled parameters: which parameters are shown, and the layout of an axis."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sldml.journal import TrialRecord
from sldml.report.importance import Importance

_FEW_NUMBERS = 4
"""Up to this many different whole numbers are shown like choices."""


@dataclass(frozen=True)
class Axis:
    """The choices or the range of a parameter."""

    name: str
    options: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @classmethod
    def of(cls, name: str, trials: Sequence[TrialRecord], *, log: bool) -> Axis:
        """The axis of a parameter that all these trials have."""
        values = [trial.params[name] for trial in trials]
        if not all(is_number(value) for value in values):
            return cls(name, tuple(sorted({value_text(value) for value in values})))
        if all(isinstance(value, int) for value in values) and len(set(values)) <= _FEW_NUMBERS:
            return cls(name, tuple(str(value) for value in sorted(set(values))))
        low, high = float(min(values)), float(max(values))
        return cls(name, (), low, high, log and low > 0)

    def share(self, value: Any, aside: float = 0.0) -> float:
        """The position of a value on the axis from 0 to 1; `aside` (-1 to 1) separates lines of one choice."""
        if self.options:
            count = len(self.options)
            return (self.options.index(value_text(value)) + 0.5 + 0.28 * aside) / count
        low, high, given = (math.log(x) if self.log else float(x) for x in (self.low, self.high, value))
        return (given - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and texts: every choice, or a few numbers over the range."""
        if self.options:
            return [(self.share(option), option) for option in self.options]
        if self.high == self.low:
            return [(0.5, value_text(self.low))]
        found = []
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            if self.log:
                value = self.low * (self.high / self.low) ** share
            else:
                value = self.low + share * (self.high - self.low)
            found.append((share, f"{value:.3g}" if value >= 100 else f"{value:.2g}"))
        return found


def by_importance(trials: Sequence[TrialRecord], importance: Importance) -> list[str]:
    """Parameters with several values: by importance, then those without one, choices first."""
    seen: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value_text(value))
    varied = [name for name, values in seen.items() if len(values) > 1]
    return sorted(varied, key=lambda name: (-importance.shares.get(name, 0.0), not is_choice(trials, name), name))


def is_choice(trials: Sequence[TrialRecord], name: str) -> bool:
    """Whether a parameter is sampled from words rather than numbers."""
    return any(name in trial.params and not is_number(trial.params[name]) for trial in trials)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def jitter(text: str) -> float:
    """A number from -1 to 1 that depends only on the text."""
    return zlib.crc32(text.encode()) / 2**31 - 1


def value_text(value: Any) -> str:
    """A value as text, numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_label(label: str) -> str:
    """A label cut to fit next to a tick of a small figure."""
    return label if len(label) <= 17 else f"{label[:16]}…"


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from `low` to `high`, at most about six."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
        inside = [tick for tick in found if low <= tick <= high]
        if len(inside) <= 6:
            break
    return inside or [low, high]
