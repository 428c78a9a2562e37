"""What the journal of a search says, as tables with its dotted paths and metric names as columns (pandas)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sldml.config.dotted import ConfigTree, flatten
from sldml.journal import OBJECTIVE, History, TrainingRecord
from sldml.report.search_time import end_of

_TEST = "test/accuracy"
_TRIALS = ("trial_id", "state", OBJECTIVE, "num_epochs", "started", "seconds", "error")
_EPOCHS = ("trial_id", "epoch", "time")
_BASELINES = ("baseline", "stands", "val/accuracy", "val/accuracy_std", _TEST)
_FINALS = ("trial_id", "seed", "state", OBJECTIVE, _TEST, "num_epochs", "started", "seconds", "error")
_DTYPES = {
    "trial_id": "str",
    "state": "str",
    "baseline": "str",
    OBJECTIVE: "float64",
    "val/accuracy": "float64",
    "val/accuracy_std": "float64",
    _TEST: "float64",
    "epoch": "int64",
    "num_epochs": "int64",
    "seed": "int64",
    "seconds": "float64",
    "stands": "bool",
}
_TIMES = ("started", "time")
"""Seconds since 1970 in the journal, points in time in the tables."""


@dataclass(frozen=True)
class BestTrial:
    """The best trial by validation."""

    trial_id: str
    value: float
    """Its validation accuracy after its last epoch."""
    config: ConfigTree
    """Its whole configuration, nested as in a search space."""


def trials_frame(history: History) -> pd.DataFrame:
    """One row per trial, in the order of their start, with its sampled parameters."""
    rows = [{**_training(trial), OBJECTIVE: trial.value, **trial.params} for trial in history.trials.values()]
    return _frame(rows, _TRIALS)


def epochs_frame(history: History) -> pd.DataFrame:
    """One row per epoch of a trial, with its metrics, except those that are lists (one value per class)."""
    rows = [
        {"trial_id": trial.trial_id, "epoch": epoch.epoch, "time": epoch.time, "worker": epoch.worker, **epoch.metrics}
        for trial in history.trials.values()
        for epoch in trial.epochs
    ]
    return _frame(rows, _EPOCHS)


def baselines_frame(history: History) -> pd.DataFrame:
    """One row per candidate of a baseline: a normalisation, and an encoder and a representation if it has them."""
    rows = [
        {
            "baseline": name,
            "stands": score is baseline.best,
            "val/accuracy": score.val,
            "val/accuracy_std": score.val_std,
            _TEST: score.test,
            **dict(flatten(score.candidate.model_dump(exclude={"baseline"}, exclude_none=True))),
        }
        for name, baseline in history.baselines.items()
        for score in baseline.scores
    ]
    return _frame(rows, _BASELINES)


def finals_frame(history: History) -> pd.DataFrame:
    """One row per final model: a configuration and a seed."""
    tested = {
        (final.trial_id, seed): accuracy
        for final in (() if history.test is None else history.test.finals)
        for seed, accuracy in zip(final.seeds, final.test_accuracy.values, strict=True)
    }
    rows = [
        {
            **_training(final),
            "seed": final.seed,
            OBJECTIVE: history.trials[final.trial_id].value,
            _TEST: tested.get((final.trial_id, final.seed)),
        }
        for final in history.finals.values()
    ]
    return _frame(rows, _FINALS)


def best_trial(history: History) -> BestTrial | None:
    """The best trial; None without a comparable one."""
    best = next(iter(history.ranked()), None)
    return None if best is None or best.value is None else BestTrial(best.trial_id, best.value, best.config)


def _training(record: TrainingRecord) -> Mapping[str, Any]:
    return {
        "trial_id": record.trial_id,
        "state": record.state,
        "num_epochs": len(record.epochs),
        "started": record.started,
        "seconds": end_of(record) - record.started,
        "error": record.error,
    }


def _frame(rows: Iterable[Mapping[str, Any]], first: tuple[str, ...]) -> pd.DataFrame:
    """The rows as a table; `first` are its first columns, the others are sorted."""
    rows = list(rows)
    others = sorted({key for row in rows for key in row} - set(first))
    frame = pd.DataFrame(rows, columns=[*first, *others])
    frame = frame.astype({column: dtype for column, dtype in _DTYPES.items() if column in frame})
    for column in others:
        if all(type(row[column]) is int for row in rows if column in row):
            frame[column] = frame[column].astype("Int64")  # an integer, also where some are missing
    for column in _TIMES:
        if column in frame:
            frame[column] = pd.to_datetime(frame[column].astype("float64"), unit="s", utc=True).dt.as_unit("us")
    return frame
