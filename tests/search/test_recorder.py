"""An event is in the journal before the history and the progress display have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.made_events import made_events

from sldml.errors import lacks_room
from sldml.journal import Event, History, Journal, JournalReader, TrialEpoch
from sldml.search.recorder import Recorder, epoch_fields


class Watcher:
    """Remembers each event, and how many the journal held when it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[tuple[Event, int, float]] = []

    def happened(self, event: Event, history: History) -> None:
        self.seen.append((event, self.path.read_bytes().count(b"\n"), history.updated))


def test_events_go_to_the_journal_then_to_the_history_and_the_watcher(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    watcher, history = Watcher(path), History()
    recorder = Recorder(Journal(path), history, watcher)  # type: ignore[arg-type]
    events = made_events()
    for event in events:
        recorder.record(event)
    assert watcher.seen == [(event, place, event.time) for place, event in enumerate(events, start=1)]
    assert JournalReader(path).read() == events
    assert recorder.history is history
    assert history.ended == events[-1]


def test_an_epoch_keeps_the_workers_own_finite_numbers():
    report = {
        "epoch": 3,
        "val/accuracy": 0.5,
        "train/loss": float("nan"),
        "time/step_s": 1.5,
        "images_per_s": 9,
        "worker": "host:12",
        "val/right_per_class": [1.5, 2.0],
        "val/queries_per_class": [3, 4],
        "state": "running",
        "training_iteration": 1,
        "pid": 77,
        "config": {"seed": 0},
    }
    assert TrialEpoch(trial_id="t", time=1.0, **epoch_fields(report)) == TrialEpoch(
        trial_id="t",
        time=1.0,
        epoch=3,
        worker="host:12",
        right_per_class=(1.5, 2.0),
        queries_per_class=(3, 4),
        metrics={"val/accuracy": 0.5, "time/step_s": 1.5, "images_per_s": 9.0},
    )


def test_a_training_that_is_tried_again_is_shown_unless_the_search_s_own_disk_is_full(tmp_path: Path):
    said: list[str] = []
    printer: Any = SimpleNamespace(say=said.append)
    recorder = Recorder(Journal(tmp_path / "journal.jsonl"), History(), printer)
    elsewhere = "OSError: [Errno 28] No space left on device: '/var/cache/sldml/signals.npy'"
    broken = f"OSError: [Errno 5] Input/output error: '{tmp_path}/trials/t0001/last.pt'"
    for reason in (elsewhere, broken):
        recorder.retried("t0001", reason)
    assert said == [f"t0001 is tried again: {elsewhere}", f"t0001 is tried again: {broken}"]
    with pytest.raises(OSError, match="No space left on device") as full:
        recorder.retried("t0001", f"OSError: [Errno 28] No space left on device: '{tmp_path}/trials/t0001/last.pt'")
    assert lacks_room(full.value)
    assert len(said) == 2
