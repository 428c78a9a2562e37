"""A store that is away, slow or refuses: what was handed over is kept, sent later, and said once."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from support.tracked import children, open_tracker, steps

from sldml.tracking import Tracker, default_uri


def test_a_store_that_comes_back_loses_nothing(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.05))
    caplog.set_level(logging.INFO)
    tracker = open_tracker(storage)
    away = threading.Event()
    away.set()
    for name in ("create_run", "log_batch", "get_run"):
        original = getattr(tracker._client, name)

        def flaky(*args: object, _original=original, **kwargs: object) -> object:  # type: ignore[no-untyped-def]
            if away.is_set():
                raise MlflowException("API request failed: connection refused")  # an INTERNAL_ERROR
            return _original(*args, **kwargs)

        monkeypatch.setattr(tracker._client, name, flaky)
    tracker.start_run("trial:t0", name="t0", params={"lr": 1}, tags={})
    for epoch in range(20):
        tracker.log_metrics("trial:t0", {"epoch": epoch}, step=epoch)
    assert not tracker.flush(0.5)
    away.clear()
    assert tracker.flush(30)
    assert tracker.close() == 0
    assert list(children(storage, tracker)) == ["trial:t0"]
    assert steps(storage, children(storage, tracker)["trial:t0"].info.run_id, "epoch") == list(range(20))
    assert caplog.text.count("does not answer") == 1
    assert "answers again" in caplog.text


def test_a_store_that_stays_away_is_said_once_with_the_count(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.05))
    tracker = open_tracker(storage)

    def dead(*args: object, **kwargs: object) -> None:
        raise MlflowException("connection refused")

    for name in ("create_run", "log_batch", "get_run", "set_terminated"):
        monkeypatch.setattr(tracker._client, name, dead)
    tracker.start_run("trial:t0", name="t0", params={}, tags={})
    tracker.log_metrics("trial:t0", {"epoch": 1}, step=1)
    assert tracker.close(timeout_s=0.5) == 3
    assert [r.message for r in caplog.records if "3 items wait in" in r.message]
    assert tracker.close() == 3


def test_one_poisonous_item_does_not_hold_up_the_rest(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.02))
    tracker = open_tracker(storage)

    def poison(*args: object, **kwargs: object) -> None:
        raise MlflowException("the server trips over this")

    monkeypatch.setattr(tracker._client, "log_dict", poison)
    tracker.log_dict(None, {}, "x.json")
    tracker.log_metrics(None, {"a": 1})
    assert tracker.close() == 1
    assert MlflowClient(default_uri(storage)).get_run(tracker.run_id).data.metrics == {"a": 1}


def test_an_absence_does_not_count_against_what_waited_for_its_end(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.02))
    tracker = open_tracker(storage)
    original, get_run = tracker._client.log_batch, tracker._client.get_run
    failures = [0]

    def flaky(*args: object, **kwargs: object) -> None:
        failures[0] += 1
        if failures[0] <= 40:  # away for 40 attempts, then it answers, but stumbles
            raise MlflowException("connection refused")
        if failures[0] <= 43:
            raise MlflowException("Read timed out")
        original(*args, **kwargs)

    def answers(*args: object) -> Run:
        if failures[0] <= 40:
            raise MlflowException("connection refused")
        return get_run(*args)

    monkeypatch.setattr(tracker._client, "log_batch", flaky)
    monkeypatch.setattr(tracker._client, "get_run", answers)
    tracker.log_metrics(None, {"a": 1})
    assert tracker.close() == 0
    assert get_run(tracker.run_id).data.metrics == {"a": 1}


def test_nothing_is_left_where_nothing_waits(storage: Path) -> None:
    of_others = set(threading.enumerate())
    tracker = open_tracker(storage, spool=storage / "s" / "tracking.spool")
    tracker.log_metrics(None, {"a": 1})
    assert tracker.close() == 0
    assert list((storage / "s").iterdir()) == []
    assert not [each for each in set(threading.enumerate()) - of_others if each.name.startswith("mlflow-")]


def test_what_a_store_missed_is_sent_by_the_next_call(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.05))
    spool = storage / "s" / "tracking.spool"
    first = open_tracker(storage, spool=spool)
    first.start_run("trial:t0", name="t0", params={}, tags={})
    first.log_metrics("trial:t0", {"epoch": 1}, step=1)
    assert first.flush(30)

    def dead(*args: object, **kwargs: object) -> None:
        raise MlflowException("connection refused")

    with monkeypatch.context() as away:
        for name in ("create_run", "log_batch", "get_run", "set_terminated", "log_text"):
            away.setattr(first._client, name, dead)
        first.log_metrics("trial:t0", {"epoch": 2}, step=2)
        first.log_text("trial:t0", "words", "note.txt")
        first.end_run("trial:t0", status="FINISHED", tags={"state": "completed"})
        assert first.close(timeout_s=0.5) == 4
    second = open_tracker(storage, spool=spool)
    assert second.close() == 0
    run = children(storage, second)["trial:t0"]
    assert second.run_id == first.run_id
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "completed")
    assert steps(storage, run.info.run_id, "epoch") == [1, 2]
    assert [f.path for f in MlflowClient(default_uri(storage)).list_artifacts(run.info.run_id)] == ["note.txt"]
    assert list(spool.parent.iterdir()) == []
