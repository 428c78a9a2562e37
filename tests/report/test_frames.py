"""The tables of a search: rows, columns and types."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from support.made_history import made_history

from sldml.journal import OBJECTIVE, Baseline, History
from sldml.report.frames import baselines_frame, epochs_frame, finals_frame, trials_frame

NORMALIZE = {"center": "every_frame", "scale": "torso"}
ENCODER = {"name": "small_cnn", "small_cnn": {"width": 8}}


@pytest.fixture
def history() -> History:
    made = made_history(12)
    for name, known in made.baselines.items():
        encoder = ENCODER if name.startswith("untrained") else None
        own = known.best.candidate.model_copy(update={"encoder": encoder})
        best = known.best.model_copy(update={"candidate": own})
        worse = best.model_copy(update={"candidate": own.model_copy(update={"normalize": NORMALIZE}), "val": 0.1})
        made.baselines[name] = Baseline(name, (worse, best))
    return made


def test_trials(history: History):
    trials = trials_frame(history)
    assert trials["trial_id"].tolist() == list(history.trials)
    assert {"optimizer.lr", "loss.name", "loss.arcface.scale", "batch.samples_per_class"} <= set(trials)
    assert trials["optimizer.lr"].tolist() == [trial.params["optimizer.lr"] for trial in history.trials.values()]
    assert trials["loss.arcface.scale"].isna().tolist() == (trials["loss.name"] != "arcface").tolist()
    assert trials["batch.samples_per_class"].dtype == "Int64"
    assert trials[OBJECTIVE].dtype == "float64"
    assert trials["started"].dt.tz is not None
    first = history.trials["t0000"]
    assert first.ended is not None
    assert trials["seconds"][0] == pytest.approx(first.ended - first.started)


def test_epochs(history: History):
    epochs = epochs_frame(history)
    assert len(epochs) == sum(len(trial.epochs) for trial in history.trials.values())
    one = epochs[epochs["trial_id"] == "t0000"]
    assert one["epoch"].tolist() == [epoch.epoch for epoch in history.trials["t0000"].epochs]
    assert one["val/accuracy"].tolist() == [epoch.metrics["val/accuracy"] for epoch in history.trials["t0000"].epochs]
    assert "val/right_per_class" not in epochs
    assert (epochs["epoch"].dtype, epochs["train/loss"].dtype) == ("int64", "float64")


def test_one_candidate_of_each_baseline_stands(history: History):
    baselines = baselines_frame(history)
    standing = baselines[baselines["stands"]]
    assert standing["baseline"].tolist() == ["raw_1nn", "dtw_1nn", "untrained", "untrained_dtw"]
    assert len(baselines) == 8
    assert standing["val/accuracy"].tolist() == [0.48, 0.63, 0.51, 0.57]
    assert standing["normalize.view"].tolist() == ["face_camera"] * 4
    assert standing["encoder.small_cnn.width"].isna().tolist() == [True, True, False, False]
    assert baselines["encoder.small_cnn.width"].dtype == "Int64"


def test_final_models(history: History):
    finals = finals_frame(history)
    assert history.test is not None
    assert len(finals) == 9
    tested = [value for final in history.test.finals for value in final.test_accuracy.values]
    assert finals["test/accuracy"].tolist() == tested
    assert finals["seed"].tolist() == [0, 1, 2] * 3


@pytest.mark.parametrize("frame", [trials_frame, epochs_frame, baselines_frame, finals_frame])
def test_without_rows_there_are_the_same_first_columns(history: History, frame: Callable[[History], pd.DataFrame]):
    empty, full = frame(History()), frame(history)
    assert len(empty) == 0
    assert list(empty) == list(full)[: len(list(empty))]
    assert {c: t for c, t in empty.dtypes.items() if full.dtypes[c] != t and c != "error"} == {}
