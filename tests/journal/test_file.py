"""The file of a journal: what `append` returned from is on the disk, and a kill costs at most the line it cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_events import made_events
from support.made_history import epoch, search_begun

from sldml.errors import InputError
from sldml.journal import (
    AttemptEnded,
    Event,
    History,
    Journal,
    JournalError,
    JournalReader,
    StageChanged,
    TrialEnded,
    TrialEpoch,
    TrialStarted,
    find_search,
    read_history,
)
from sldml.journal.events import VERSION, to_line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search" / "journal.jsonl"


def reported(number: int, best: float, time: float = 1.0) -> TrialEpoch:
    return TrialEpoch(trial_id="t0", **epoch(number, best, time=time).model_dump())


def write_trial(path: Path) -> None:
    journal = Journal(path)
    journal.append(TrialStarted(trial_id="t0", params={"optimizer.lr": 0.1}, config={"seed": 1}, time=100.0))
    journal.append(reported(1, 0.4))
    journal.append(reported(2, 0.6))
    journal.close()


def test_every_kind_of_event_is_read_back(path: Path):
    events = made_events()
    assert {type(event) for event in events} == set(Event.__args__)
    journal, reader = Journal(path), JournalReader(path)
    for event in events:
        journal.append(event)
    assert reader.read() == events
    assert reader.read() == []
    assert reader.position == path.stat().st_size
    whole = History()
    for event in events:
        whole.apply(event)
    assert read_history(path) == reader.history == whole


EVENTS = made_events()
CONTENT = b"".join(to_line(event) for event in EVENTS)


@settings(deadline=None)  # each event is synced to the disk
@given(cut=st.integers(0, len(CONTENT)), more=st.integers(min_value=0, max_value=3))
def test_a_journal_that_was_cut_anywhere_goes_on(tmp_path_factory: pytest.TempPathFactory, cut: int, more: int):
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_bytes(CONTENT[:cut])
    whole = CONTENT[:cut].count(b"\n")
    assert JournalReader(path).read() == EVENTS[:whole]

    journal = Journal(path)
    for event in EVENTS[whole : whole + more]:
        journal.append(event)
    journal.close()
    assert JournalReader(path).read() == EVENTS[: whole + more]


def test_events_are_read_in_pieces_as_they_come(path: Path):
    reader = JournalReader(path)
    assert reader.read() == []
    write_trial(path)
    assert [type(event) for event in reader.read(limit=2)] == [TrialStarted, TrialEpoch]
    first = reader.position
    with path.open("ab") as file:
        file.write(b'{"event": "trial_en')
        file.flush()
        assert len(reader.read()) == 1
        assert reader.read() == []
        file.write(b'ded", "trial_id": "t0", "state": "completed"}\n')
    (event,) = reader.read()
    assert isinstance(event, TrialEnded)
    again = JournalReader(path)
    assert len(again.read(until=first)) == 2
    assert again.position == first


def test_a_line_is_on_the_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[tuple[bool, bytes]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino == path.stat().st_ino, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(path)
    for number in range(3):
        journal.append(StageChanged(name=f"stage {number}", state="started"))
        assert len(synced) == number + 1
        same, content = synced[-1]
        assert same
        assert content.endswith(b"\n")
        assert f"stage {number}".encode() in content.splitlines()[-1]


def test_a_second_writer_goes_on_where_the_first_ended(path: Path):
    write_trial(path)
    journal = Journal(path)
    journal.append(TrialEnded(trial_id="t0", state="completed", time=103.0))
    journal.close()
    assert read_history(path).trials["t0"].state == "completed"
    assert len(read_history(path).trials["t0"].epochs) == 2


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "epoch", "trial_id": "t0", "metr',
        b"",
        b"[1, 2]",
        b'"search"',
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"event": "rumour", "time": 1}',
        b'{"event": "epoch", "time": 1, "trial_id": "t9", "epoch": 1}',
        b'{"event": "epoch", "time": 1, "trial_id": "t0"}',
        b'{"event": "epoch", "time": 1, "trial_id": "t0", "epoch": 1, "metrics": 3}',
        b'{"event": "epoch", "time": 1, "trial_id": "t0", "epoch": 1, "unknown": 3}',
        b'{"event": "trial_ended", "time": 1, "trial_id": "t0"}',
        b'{"event": "trial_ended", "time": 1, "trial_id": "t0", "state": "asleep"}',
        b'{"event": "final_ended", "time": 1, "trial_id": "t0", "seed": 0, "state": "completed"}',
        b'{"event": "baselines", "time": 1}',
    ],
)
def test_a_broken_line_in_the_middle_is_one_line_for_a_person(path: Path, line: bytes):
    write_trial(path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]) + b"\n")
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 3: ") as caught:
        read_history(path)
    assert isinstance(caught.value, InputError)  # a command ends with one line and status 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("difference", "advice"), [(1, "update sldml"), (-1, "start a new search")])
def test_a_journal_of_another_version_is_refused(path: Path, difference: int, advice: str):
    journal, version = Journal(path), VERSION + difference
    journal.append(search_begun().model_copy(update={"version": version}))
    journal.close()
    with pytest.raises(JournalError, match=f"line 1: version {version} of the format, .* reads {VERSION}: {advice}"):
        read_history(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_make_no_event(value: float):
    with pytest.raises(ValueError, match="finite"):
        TrialEpoch(trial_id="t0", epoch=3, metrics={"train/loss": value})
    with pytest.raises(ValueError, match="finite"):
        TrialStarted(trial_id="t0", params={"optimizer.lr": value}, config={})


def test_text_that_utf8_cannot_hold_is_escaped(path: Path):
    journal = Journal(path)
    journal.append(search_begun(data="/data/\udcff", command="tune --data \udce9"))
    journal.append(AttemptEnded(state="failed", error="ValueError: \ud800 is no character"))
    history = read_history(path)
    assert history.search.data == "/data/\\udcff"
    assert history.ended is not None
    assert history.ended.error == "ValueError: \\ud800 is no character"


def test_a_search_is_found_by_name_or_folder(tmp_path: Path):
    journal = Journal(tmp_path / "one" / "journal.jsonl")
    with pytest.raises(InputError, match=r"search one in .* has not started"):
        find_search("one", tmp_path)
    journal.append(search_begun(name="one"))
    assert find_search("one", tmp_path) == find_search(str(tmp_path / "one"), tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"two is neither a search in .* found one"):
        find_search("two", tmp_path)
