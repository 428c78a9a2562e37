"""The tables of a report: final models and baselines in the order of validation, and all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sldml.journal import History, TrialRecord
from sldml.report.figures import BASELINE_NAMES
from sldml.report.importance import Importance
from sldml.report.noise import (
    Difference,
    Score,
    against_best,
    baseline_score,
    difference,
    trial_score,
)
from sldml.report.search_time import end_of

MAX_PARAMS = 8
"""So many sampled parameters are read in a table without opening the rest."""


@dataclass(frozen=True)
class Row:
    """A line of the leaderboard: a final model, a configuration that is not final yet, or a baseline."""

    name: str
    rank: int | None
    """Place by validation among the configurations; None for a baseline."""
    params: list[tuple[str, str]]
    val: float | None
    test: float | None = None
    ci95: tuple[float, float] | None = None
    values: list[float] = field(default_factory=list)
    ships: bool = False
    score: Score | None = None
    """The validation value with its spread."""
    to_best: Difference | None = None
    """How far validation lies above the best trial's; None for that one itself."""

    @property
    def is_noise(self) -> bool:
        """Whether validation cannot tell it from the best trial."""
        return self.to_best is not None and self.to_best.is_noise is True


def number(value: Any) -> str:
    """A sampled value for reading: three significant digits, whole numbers and words as they are."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def points(value: float) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def interval_of(accuracy: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95 % interval of a final model's accuracy; None where one seed has none to tell."""
    ci95 = accuracy.get("ci95")
    return None if not ci95 or None in ci95 else (float(ci95[0]), float(ci95[1]))


def leaderboard(history: History) -> list[Row]:
    """Final models in the order of validation, with the baselines among them where their validation puts them.

    Without a sealed test, the best configurations by validation stand in for the final models.
    """
    test = history.test or {}
    shipped = test.get("shipped") or {}
    others = against_best(history)
    rows = []
    for rank, final in enumerate(test.get("finals") or [], start=1):
        trial = history.trials.get(final["trial_id"])
        accuracy = final["test_accuracy"]
        rows.append(
            Row(
                final["trial_id"],
                rank,
                params_of(trial),
                final.get("val_accuracy"),
                accuracy["mean"],
                interval_of(accuracy),
                accuracy.get("values") or [],
                shipped.get("kind") == "trained" and shipped.get("trial_id") == final["trial_id"],
                trial_score(trial) if trial else None,
                others.get(final["trial_id"]),
            )
        )
    if not rows:
        top_k = (history.search.get("settings") or {}).get("top_k") or 5
        rows = [
            Row(t.trial_id, i, params_of(t), t.value, score=trial_score(t), to_best=others.get(t.trial_id))
            for i, t in enumerate(history.ranked()[:top_k], start=1)
        ]
    best = trial_score(history.ranked()[0]) if history.ranked() else None
    for key, name in BASELINE_NAMES.items():
        baseline = history.baselines.get(key) or {}
        if baseline.get("val") is None and baseline.get("test") is None:
            continue
        ships = shipped.get("kind") == "training_free" and shipped.get("baseline") == key
        normalize = [(path, number(value)) for path, value in (baseline.get("normalize") or {}).items()]
        score = None if baseline.get("val") is None else baseline_score(baseline)
        to_best = difference(score, best) if score and best else None
        row = Row(
            name, None, normalize, baseline.get("val"), baseline.get("test"), ships=ships, score=score, to_best=to_best
        )
        place = next((i for i, other in enumerate(rows) if (other.val or 0.0) < (row.val or 0.0)), len(rows))
        rows.insert(place, row)
    return rows


def params_of(trial: TrialRecord | None) -> list[tuple[str, str]]:
    """What was sampled for a trial, for reading: path and value."""
    return [(path, number(value)) for path, value in sorted(trial.params.items())] if trial else []


def telling_params(rows: Sequence[Sequence[tuple[str, str]]], importance: Importance) -> set[str]:
    """Which of many parameters a table shows at once: the choices, then the most important ones that differ.

    All of them where there are no more than `MAX_PARAMS`.
    """
    values: dict[str, set[str]] = {}
    for row in rows:
        for path, value in row:
            values.setdefault(path, set()).add(value)
    if len(values) <= MAX_PARAMS:
        return set(values)
    everywhere = {path for path in values if all(path in dict(row) for row in rows)}
    telling = [p for p in values if p.endswith(".name") or len(values[p]) > 1 or p not in everywhere]
    telling.sort(key=lambda path: (not path.endswith(".name"), -importance.shares.get(path, 0.0), path))
    return set(telling[:MAX_PARAMS])


def trial_rows(history: History) -> list[dict[str, Any]]:
    """All trials: those with a value by value, then the others in the order they started."""
    trials = sorted(history.trials.values(), key=lambda t: (-(t.value if t.value is not None else -1.0), t.started))
    others = against_best(history)
    return [
        {
            "trial_id": t.trial_id,
            "state": t.state,
            "value": t.value,
            "score": trial_score(t),
            "to_best": others.get(t.trial_id),
            "best_epoch": t.best_epoch,
            "num_epochs": t.epochs[-1]["epoch"] if t.epochs else 0,
            "seconds": end_of(t) - t.started,
            "params": params_of(t),
            "error": t.error,
        }
        for t in trials
    ]
