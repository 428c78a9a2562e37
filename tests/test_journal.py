"""The journal: what `append` returned from is on the disk, and a kill costs at most the line it cut."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sldml.errors import InputError
from sldml.journal import History, Journal, JournalError, TrialRecord, apply_event, read_history


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search" / "journal.jsonl"


def epoch(number: int, best: float, **more: Any) -> dict[str, Any]:
    return {"epoch": number, "val/accuracy_best": best, **more}


def record(trial_id: str, state: Any, *values: float) -> TrialRecord:
    epochs = [epoch(number, value) for number, value in enumerate(values, start=1)]
    return TrialRecord(trial_id, {}, {}, 0.0, state, epochs)


def write_trial(path: Path) -> None:
    journal = Journal(path)
    journal.append("trial_started", trial_id="t0", params={"optimizer.lr": 0.1}, config={"seed": 1}, time=100.0)
    journal.append("epoch", trial_id="t0", metrics=epoch(1, 0.4), checkpoint="/one", time=101.0)
    journal.append("epoch", trial_id="t0", metrics=epoch(2, 0.6), time=102.0)
    journal.close()


def test_every_event_is_read_back(path: Path):
    journal = Journal(path)
    journal.append("search", name="demo", space={"hash": "ab"}, time=1.0)
    journal.append("attempt", settings={"trials": 3}, time=2.0)
    journal.append("stage", stage="trials", state="started", time=3.0)
    journal.append("baselines", results={"raw_1nn": {"val": 0.5}}, time=4.0)
    journal.append("trial_started", trial_id="t0", params={"optimizer.lr": 1e-5}, config={"seed": 1}, time=5.0)
    journal.append("epoch", trial_id="t0", metrics=epoch(1, 0.25, state="ok"), checkpoint="/a", time=6.0)
    journal.append("trial_ended", trial_id="t0", state="failed", error="out of memory", time=7.0)
    journal.append("final_started", trial_id="t0", seed=2, config={"seed": 2}, time=8.0)
    journal.append("final_epoch", trial_id="t0", seed=2, metrics={"epoch": 1, "train/loss": 0.5}, time=9.0)
    journal.append("final_epoch", trial_id="t0", seed=2, metrics={"epoch": 2}, checkpoint="/b", time=10.0)
    journal.append("final_ended", trial_id="t0", seed=2, state="completed", time=11.0)
    journal.append("baseline_folds", num_folds=2, candidates=[{"accuracies": [0.1, 0.2]}], time=11.5)
    journal.append("folds", trial_id="t0", num_epochs=3, num_folds=2, accuracies=[0.5, 0.6], error=None, time=11.6)
    journal.append("test", results={"finals": []}, time=12.0)
    journal.close()

    history = read_history(path)
    assert history.search == {"name": "demo", "space": {"hash": "ab"}, "time": 1.0}
    assert history.attempts == [{"settings": {"trials": 3}, "time": 2.0}]
    assert history.stages == [{"stage": "trials", "state": "started", "time": 3.0}]
    assert history.baselines == {"raw_1nn": {"val": 0.5}}
    assert history.test == {"finals": []}
    assert history.baseline_folds == {"num_folds": 2, "candidates": [{"accuracies": [0.1, 0.2]}], "time": 11.5}
    assert history.folds["t0"]["accuracies"] == [0.5, 0.6]
    trial = history.trials["t0"]
    assert (trial.params, trial.config, trial.started, trial.ended) == ({"optimizer.lr": 1e-5}, {"seed": 1}, 5.0, 7.0)
    assert trial.epochs == [{"epoch": 1, "val/accuracy_best": 0.25, "state": "ok", "time": 6.0}]
    assert (trial.state, trial.error, trial.checkpoint) == ("failed", "out of memory", "/a")
    final = history.finals["t0", 2]
    assert [e["time"] for e in final.epochs] == [9.0, 10.0]
    assert (final.started, final.ended, final.state, final.checkpoint) == (8.0, 11.0, "completed", "/b")
    assert history.counts() == {"failed": 1}


def test_folds_count_for_the_same_epochs_and_number_and_if_all_were_trained():
    history = History()
    fields = {"event": "folds", "trial_id": "t0", "num_epochs": 3, "num_folds": 2, "error": None, "time": 1.0}
    assert not history.has_folds("t0", 3, 2)
    apply_event(history, {**fields, "accuracies": None, "error": "fold 1: boom"})
    assert not history.has_folds("t0", 3, 2)
    apply_event(history, {**fields, "accuracies": [0.5, 0.6]})
    assert history.has_folds("t0", 3, 2)
    assert not history.has_folds("t0", 4, 2)
    assert not history.has_folds("t0", 3, 5)
    assert not history.has_folds("t1", 3, 2)


def test_the_best_candidate_over_the_folds_stands_for_a_training_free_way():
    scores = [("raw_1nn", [0.2, 0.9]), ("dtw_1nn", [0.6, 0.6]), ("raw_1nn", [0.6, 0.6]), ("raw_1nn", [0.7, 0.5])]
    candidates = [{"baseline": name, "place": i, "accuracies": a} for i, (name, a) in enumerate(scores)]
    assert History().best_over_folds() == {}
    best = History(baseline_folds={"num_folds": 2, "candidates": candidates}).best_over_folds()
    assert {name: candidate["place"] for name, candidate in best.items()} == {"raw_1nn": 2, "dtw_1nn": 1}


def test_append_returns_the_event_as_it_is_written(path: Path):
    journal = Journal(path)
    event = journal.append("stage", stage="trials")
    assert json.loads(path.read_text()) == event
    assert event["event"] == "stage"
    assert event["time"] > 1.7e9


def test_a_line_is_on_the_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[tuple[bool, str]] = []

    def fsync(descriptor: int) -> None:
        same = os.fstat(descriptor).st_ino == path.stat().st_ino
        synced.append((same, path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(path)
    for number in range(3):
        event = journal.append("stage", number=number)
        assert len(synced) == number + 1
        same, content = synced[-1]
        assert same
        assert content.endswith("\n")
        assert json.loads(content.splitlines()[-1]) == event


def test_a_second_writer_goes_on_where_the_first_ended(path: Path):
    write_trial(path)
    journal = Journal(path)
    journal.append("trial_ended", trial_id="t0", state="completed", time=103.0)
    journal.close()
    assert read_history(path).trials["t0"].state == "completed"
    assert len(read_history(path).trials["t0"].epochs) == 2


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_cut_last_line_is_dropped(path: Path, keep: int):
    write_trial(path)
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    last = whole[start:]
    path.write_bytes(whole[:start] + last[:keep])  # -1: all but the line end
    assert [e["epoch"] for e in read_history(path).trials["t0"].epochs] == [1]

    journal = Journal(path)
    assert path.read_bytes() == whole[:start]
    journal.append("epoch", trial_id="t0", metrics=epoch(2, 0.7), time=104.0)
    journal.close()
    assert [e["val/accuracy_best"] for e in read_history(path).trials["t0"].epochs] == [0.4, 0.7]


def test_a_file_cut_in_its_first_line_is_empty(path: Path):
    path.parent.mkdir()
    path.write_text('{"event": "sea')
    assert read_history(path) == History()
    Journal(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "epoch", "trial_id": "t0", "metr',
        b"",
        b"[1, 2]",
        b'"search"',
        b"3",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"event": "rumour", "time": 1}',
        b'{"event": "epoch", "time": 1, "trial_id": "t9", "metrics": {"epoch": 1}}',
        b'{"event": "epoch", "time": 1, "trial_id": "t0"}',
        b'{"event": "epoch", "time": 1, "trial_id": "t0", "metrics": 3}',
        b'{"event": "trial_ended", "time": 1, "trial_id": "t0"}',
        b'{"event": "final_ended", "time": 1, "trial_id": "t0", "seed": 0, "state": "completed"}',
        b'{"event": "baselines", "time": 1}',
    ],
)
def test_a_broken_line_in_the_middle_is_told(path: Path, line: bytes):
    write_trial(path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]) + b"\n")
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 3: ") as caught:
        read_history(path)
    assert isinstance(caught.value, InputError)  # a command ends with one line and status 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_and_nothing_is_written(path: Path, value: float):
    write_trial(path)
    before = path.read_bytes()
    journal = Journal(path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append("epoch", trial_id="t0", metrics={"epoch": 3, "train/loss": value})
    assert path.read_bytes() == before
    journal.append("epoch", trial_id="t0", metrics=epoch(3, 0.7))
    journal.close()
    assert len(read_history(path).trials["t0"].epochs) == 3


def test_epochs_told_again_take_the_place_of_the_later_ones():
    history = History()
    apply_event(history, {"event": "trial_started", "trial_id": "t", "params": {}, "config": {}, "time": 0.0})
    told = [(1, 0.1), (2, 0.2), (3, 0.9), (2, 0.3), (3, 0.4)]
    for number, best in told:
        apply_event(history, {"event": "epoch", "trial_id": "t", "metrics": epoch(number, best), "time": 1.0})
    trial = history.trials["t"]
    assert [(e["epoch"], e["val/accuracy_best"]) for e in trial.epochs] == [(1, 0.1), (2, 0.3), (3, 0.4)]
    assert (trial.value, trial.best_epoch) == (0.4, 3)


def test_final_epochs_told_again_take_the_place_of_the_later_ones():
    history = History()
    apply_event(history, {"event": "final_started", "trial_id": "t", "seed": 0, "config": {}, "time": 0.0})
    for number in (1, 2, 3, 2):
        event = {"event": "final_epoch", "trial_id": "t", "seed": 0, "metrics": {"epoch": number}, "time": 1.0}
        apply_event(history, event)
    assert [e["epoch"] for e in history.finals["t", 0].epochs] == [1, 2]


def test_an_epoch_without_a_checkpoint_keeps_the_last_one(path: Path):
    write_trial(path)
    assert read_history(path).trials["t0"].checkpoint == "/one"


def test_the_best_epoch_is_the_first_that_reached_the_value():
    assert record("t", "completed", 0.2, 0.5, 0.5, 0.5).best_epoch == 2
    assert record("t", "completed", 0.2, 0.5, 0.5, 0.5).value == 0.5
    assert (record("t", "failed").value, record("t", "failed").best_epoch) == (None, None)


def test_ranking_is_by_validation_then_by_state_then_by_time():
    trials = [
        record("t0", "pruned", 0.6),
        record("t1", "running", 0.7),
        record("t2", "completed", 0.2, 0.7),
        record("t3", "completed", 0.7),
        record("t4", "diverged", 0.9),
        record("t5", "failed", 0.95),
        record("t6", "running"),
        record("t7", "completed", 0.8),
        record("t8", "pruned", 0.7),
        record("t9", "completed", 0.0),
    ]
    history = History(trials={trial.trial_id: trial for trial in reversed(trials)})
    assert [trial.trial_id for trial in history.ranked()] == ["t7", "t2", "t3", "t1", "t8", "t0", "t9"]
    assert history.counts() == {"completed": 4, "pruned": 2, "running": 2, "diverged": 1, "failed": 1}
