"""A store that is away, slow or refuses: nothing is lost, it is sent later, and said once."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from support.made_events import trial_events
from support.tracked import TrackedSearch

from sldml.tracking import Tracker

CALLS = ("create_run", "log_batch", "get_run", "update_run", "set_terminated", "log_text", "log_dict", "log_inputs")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "RETRY_S", (0.01, 0.05))


def dead(*args: object, **kwargs: object) -> None:
    raise MlflowException("connection refused")


def wait_for(condition: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_store_that_comes_back_has_everything(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()
    away = threading.Event()
    away.set()
    for name in CALLS:
        original = getattr(tracker._runs.client, name)

        def flaky(*args: object, _original=original, **kwargs: object) -> object:  # type: ignore[no-untyped-def]
            if away.is_set():
                raise MlflowException("API request failed: connection refused")  # an INTERNAL_ERROR
            return _original(*args, **kwargs)

        monkeypatch.setattr(tracker._runs.client, name, flaky)
    values = [0.01 * place for place in range(20)]
    search.write([search.begun, *trial_events("t0", *values)])
    wait_for(lambda: "does not answer" in caplog.text)
    assert tracker.num_waiting == 23
    away.clear()
    assert tracker.close() == 0
    run = search.runs(tracker)["trial:t0"]
    assert search.steps(run, "val/accuracy") == list(range(1, 21))
    assert caplog.text.count("does not answer") == 1
    assert caplog.text.count("answers again") == 1


def test_what_a_store_missed_is_sent_by_the_next_call(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = TrackedSearch(storage)
    events = trial_events("t0", 0.1, 0.2)
    first = search.tracker()
    search.write([search.begun, *events[:2]])
    wait_for(lambda: first.num_written == 3)
    with monkeypatch.context() as context:
        for name in CALLS:
            context.setattr(first._runs.client, name, dead)
        search.write(events[2:])
        assert first.close(timeout_s=0.5) == 2
        assert [r.message for r in caplog.records if "2 events are not in" in r.message]
        assert first.close() == 2
    second = search.tracked()
    assert second.run_id == first.run_id
    run = search.runs(second)["trial:t0"]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "completed")
    assert search.steps(run, "val/accuracy") == [1, 2]


def test_one_write_that_cannot_succeed_does_not_hold_up_the_rest(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()

    def poison(*args: object, **kwargs: object) -> None:
        raise MlflowException("the server trips over this")

    monkeypatch.setattr(tracker._runs.client, "log_dict", poison)
    search.write([search.begun, *trial_events("t0", 0.1)])
    assert tracker.close() == 0
    assert tracker.to_json()["refused"] == 2  # search.json and config.json
    assert "refused 2 writes" in caplog.text
    assert search.runs(tracker)["trial:t0"].data.metrics["val/accuracy"] == 0.1


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("(sqlite3.OperationalError) database or disk is full"),
        OSError(errno.ENOSPC, "No space left on device", "search.json"),
    ],
)
def test_a_write_waits_until_a_full_disk_has_room(
    storage: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()
    original, failures = tracker._runs.client.log_dict, [0]

    def full(*args: object, **kwargs: object) -> None:
        failures[0] += 1
        if failures[0] <= 2 * Tracker.ATTEMPTS:
            raise error
        original(*args, **kwargs)

    monkeypatch.setattr(tracker._runs.client, "log_dict", full)
    search.write([search.begun])
    assert tracker.close() == 0
    assert tracker.to_json()["refused"] == 0
    assert failures[0] > 2 * Tracker.ATTEMPTS


def test_an_outage_does_not_count_against_the_write_that_waited_for_its_end(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()
    client = tracker._runs.client
    original, get_run = client.log_batch, client.get_run
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

    monkeypatch.setattr(client, "log_batch", flaky)
    monkeypatch.setattr(client, "get_run", answers)
    search.write([search.begun])
    assert tracker.close() == 0
    assert tracker.to_json()["refused"] == 0
    assert get_run(tracker.run_id).data.tags["dataset"] == "synthetic"


def test_a_slow_store_holds_the_end_up_for_the_stated_time_only(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()
    released, original = threading.Event(), tracker._runs.client.log_batch

    def slow(*args: object, **kwargs: object) -> None:
        released.wait(60)
        original(*args, **kwargs)

    monkeypatch.setattr(tracker._runs.client, "log_batch", slow)
    events = [search.begun, *trial_events("t0", 0.1)]
    search.write(events)
    started = time.monotonic()
    assert tracker.close(timeout_s=0.3) == len(events)
    assert time.monotonic() - started < 30
    released.set()
