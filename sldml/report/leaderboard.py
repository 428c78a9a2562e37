"""The tables of a report: final models and baselines ranked by validation, and all trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sldml.journal import History, TrialRecord
from sldml.report.figures import BASELINE_NAMES
from sldml.report.importance import Importance
from sldml.report.noise import Difference, Score, against_best, baseline_score, difference, trial_score
from sldml.report.search_time import end_of
from sldml.report.shipped import candidate_settings
from sldml.report.text import number

MAX_PARAMS = 8
"""Number of sampled parameters that a table shows directly."""


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of the leaderboard: a final model, a configuration without one yet, or a baseline."""

    name: str
    rank: int | None
    """Rank among the configurations; None for a baseline."""
    params: list[tuple[str, str]]
    val: float | None
    test: float | None = None
    ci95: tuple[float, float] | None = None
    values: tuple[float, ...] = ()
    saved: bool = False
    """Whether the saved model is one of it."""
    score: Score | None = None
    """The validation value with its spread."""
    to_best: Difference | None = None
    """Difference in validation to the best trial; None for the best trial itself."""

    @property
    def is_indistinguishable(self) -> bool:
        """Whether its validation is not distinguishable from the best trial's."""
        return self.to_best is not None and self.to_best.may_be_chance is True


def leaderboard(history: History) -> list[LeaderboardRow]:
    """Final models in the order of the class folds (or of validation without folds), with the baselines.

    Without a sealed test, the best configurations by validation take the place of the final models. A baseline is
    represented by its best candidate on validation; a saved candidate that is another one has a row of its own. Where
    the rows are in the order of validation, baselines have their place in it; else they are the last rows.
    """
    shipped = history.shipped
    others = against_best(history)
    rows = []
    for rank, final in enumerate(() if history.test is None else history.test.finals, start=1):
        trial, accuracy = history.trials[final.trial_id], final.test_accuracy
        rows.append(
            LeaderboardRow(
                final.trial_id,
                rank,
                params_of(trial),
                final.val_accuracy,
                accuracy.mean,
                accuracy.ci95,
                accuracy.values,
                shipped is not None and shipped.trial_id == final.trial_id,
                trial_score(trial),
                others.get(final.trial_id),
            )
        )
    if not rows:
        top_k = history.begun.settings.top_k if history.begun is not None else 5
        rows = [
            LeaderboardRow(t.trial_id, i, params_of(t), t.value, score=trial_score(t), to_best=others.get(t.trial_id))
            for i, t in enumerate(history.ranked()[:top_k], start=1)
        ]
    best = trial_score(history.ranked()[0]) if history.ranked() else None
    by_validation = history.test is None or history.test.folds is None
    num_finals = 0 if by_validation else len(rows)
    saved = None if shipped is None else shipped.candidate
    for key in BASELINE_NAMES:
        if (baseline := history.baselines.get(key)) is None:
            continue
        for known in baseline.scores:
            if known is not baseline.best and known.candidate != saved:
                continue
            score = baseline_score(known)
            row = LeaderboardRow(
                BASELINE_NAMES[key],
                None,
                candidate_settings(known.candidate),
                known.val,
                known.test,
                saved=known.candidate == saved,
                score=score,
                to_best=difference(score, best) if best else None,
            )
            below = (i for i, other in enumerate(rows) if i >= num_finals and (other.val or 0.0) < known.val)
            rows.insert(next(below, len(rows)), row)
    return rows


def params_of(trial: TrialRecord) -> list[tuple[str, str]]:
    """The sampled parameters of a trial as text: path and value."""
    return [(path, number(value)) for path, value in sorted(trial.params.items())]


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
    """All trials: in the order of `History.ranked`, then those that cannot be compared in the order of their start."""
    ranked = history.ranked()
    trials = ranked + sorted((t for t in history.trials.values() if not t.is_comparable), key=lambda t: t.started)
    others = against_best(history)
    return [
        {
            "trial_id": t.trial_id,
            "state": t.state,
            "value": t.value,
            "score": trial_score(t),
            "to_best": others.get(t.trial_id),
            "num_epochs": t.epochs[-1].epoch if t.epochs else 0,
            "seconds": end_of(t) - t.started,
            "params": params_of(t),
            "error": t.error,
        }
        for t in trials
    ]
