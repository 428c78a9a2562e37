"""The tables of a report: final models and baselines ranked by validation, and all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sldml.journal import History, TrialRecord
from sldml.report.figures import BASELINE_NAMES
from sldml.report.importance import Importance
from sldml.report.noise import Difference, Score, against_best, baseline_score, difference, trial_score
from sldml.report.search_time import end_of

MAX_PARAMS = 8
"""Number of sampled parameters that a table shows directly."""


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of the leaderboard: a final model, a configuration without one yet, or a baseline."""

    name: str
    rank: int | None
    """Rank by validation among the configurations; None for a baseline."""
    params: list[tuple[str, str]]
    val: float | None
    test: float | None = None
    ci95: tuple[float, float] | None = None
    values: list[float] = field(default_factory=list)
    saved: bool = False
    score: Score | None = None
    """The validation value with its spread."""
    to_best: Difference | None = None
    """Difference in validation to the best trial; None for the best trial itself."""

    @property
    def is_indistinguishable(self) -> bool:
        """Whether its validation is not distinguishable from the best trial's."""
        return self.to_best is not None and self.to_best.may_be_chance is True


def number(value: Any) -> str:
    """A sampled value as text: floats with three significant digits, others unchanged."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def points(value: float) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def interval_of(accuracy: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95 % interval of a final model's accuracy; None with a single seed."""
    ci95 = accuracy.get("ci95")
    return None if not ci95 or None in ci95 else (float(ci95[0]), float(ci95[1]))


def leaderboard(history: History) -> list[LeaderboardRow]:
    """Final models and baselines, ranked by validation.

    Without a sealed test, the best configurations by validation take the place of the final models.
    """
    test = history.test or {}
    shipped = test.get("shipped") or {}
    others = against_best(history)
    rows = []
    for rank, final in enumerate(test.get("finals") or [], start=1):
        trial = history.trials.get(final["trial_id"])
        accuracy = final["test_accuracy"]
        rows.append(
            LeaderboardRow(
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
            LeaderboardRow(t.trial_id, i, params_of(t), t.value, score=trial_score(t), to_best=others.get(t.trial_id))
            for i, t in enumerate(history.ranked()[:top_k], start=1)
        ]
    best = trial_score(history.ranked()[0]) if history.ranked() else None
    for key, name in BASELINE_NAMES.items():
        baseline = history.baselines.get(key) or {}
        if baseline.get("val") is None and baseline.get("test") is None:
            continue
        saved = shipped.get("kind") == "training_free" and shipped.get("baseline") == key
        normalize = [(path, number(value)) for path, value in (baseline.get("normalize") or {}).items()]
        score = None if baseline.get("val") is None else baseline_score(baseline)
        to_best = difference(score, best) if score and best else None
        row = LeaderboardRow(
            name, None, normalize, baseline.get("val"), baseline.get("test"), saved=saved, score=score, to_best=to_best
        )
        place = next((i for i, other in enumerate(rows) if (other.val or 0.0) < (row.val or 0.0)), len(rows))
        rows.insert(place, row)
    return rows


def params_of(trial: TrialRecord | None) -> list[tuple[str, str]]:
    """The sampled parameters of a trial as text: path and value."""
    return [(path, number(value)) for path, value in sorted(trial.params.items())] if trial else []


def distinguishing_params(rows: Sequence[Sequence[tuple[str, str]]], importance: Importance) -> set[str]:
    """The parameters that a table shows directly: choices, then the most important ones that differ.

    All of them if there are at most `MAX_PARAMS`.
    """
    values: dict[str, set[str]] = {}
    for row in rows:
        for path, value in row:
            values.setdefault(path, set()).add(value)
    if len(values) <= MAX_PARAMS:
        return set(values)
    everywhere = {path for path in values if all(path in dict(row) for row in rows)}
    distinguishing = [p for p in values if p.endswith(".name") or len(values[p]) > 1 or p not in everywhere]
    distinguishing.sort(key=lambda path: (not path.endswith(".name"), -importance.shares.get(path, 0.0), path))
    return set(distinguishing[:MAX_PARAMS])


def trial_rows(history: History) -> list[dict[str, Any]]:
    """All trials: by value, then those without one in the order of their start."""
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
