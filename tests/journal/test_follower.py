"""Following a journal: each event is handed over once, in order, until the last one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support.made_events import made_events

from sldml.journal import Event, Follower, History, Journal, JournalReader


def test_all_events_arrive_in_order_and_closing_catches_up(tmp_path: Path):
    seen: list[Event] = []

    def handle(events: list[Event], history: History) -> bool:
        seen.extend(events)
        assert history.updated == events[-1].time
        return True

    events = made_events()
    follower = Follower(JournalReader(tmp_path / "journal.jsonl"), handle, "test")
    follower.start()
    journal = Journal(tmp_path / "journal.jsonl")
    for event in events:
        journal.append(event)
    follower.close(30.0)
    assert seen == events


def test_one_that_stops_is_not_waited_for(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl")
    for event in made_events():
        journal.append(event)
    calls = threading.Semaphore(0)

    def handle(events: list[Event], history: History) -> bool:
        calls.release()
        return False

    follower = Follower(JournalReader(journal.path), handle, "test")
    follower.start()
    follower.close(30.0)
    assert calls.acquire(blocking=False)
    assert not calls.acquire(blocking=False)


def test_one_that_hangs_is_given_up(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl")
    for event in made_events():
        journal.append(event)
    given_up: list[bool] = []

    def handle(events: list[Event], history: History) -> bool:
        given_up.append(follower.given_up.wait(30))
        return False

    follower = Follower(JournalReader(journal.path), handle, "test")
    follower.start()
    follower.close(0.1)
    assert given_up == [True]


def test_a_broken_journal_ends_it_with_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "journal.jsonl"
    path.write_text("this is no event\n")
    follower = Follower(JournalReader(path), lambda events, history: True, "test")
    follower.start()
    follower.close(30.0)
    deadline = time.monotonic() + 30
    while "line 1: not an event" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
