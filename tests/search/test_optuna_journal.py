"""`optuna.journal` has the trials of a search as Optuna's own tools read them, also after an interruption."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.made_events import trial_events
from support.made_history import START, search_begun

from sldml.config.space_file import read_space
from sldml.journal import History, Journal, JournalReader, TrialStarted
from sldml.search.optuna_journal import OPTUNA_FILE, OptunaJournal
from sldml.search.study import Study

SPACE = read_space("demo", ["search.sampler=random"])
STATES = {"completed": "COMPLETE", "pruned": "PRUNED", "diverged": "PRUNED", "failed": "FAIL", "running": "RUNNING"}


def search_events(count: int = 5) -> list[object]:
    """Trials with parameters that the space proposes, one in each state."""
    study = Study(SPACE, earlier=[], seed=0)
    events: list[object] = [search_begun()]
    for number, state in zip(range(count), STATES, strict=False):
        name = f"t{number}"
        proposal = study.propose(name, lambda name=name: name)
        assert proposal is not None
        own = trial_events(name, 0.1 * number, 0.1 * number + 0.05, start=START + 10 * number, state=state)
        first = TrialStarted(
            trial_id=name, params=proposal["params"], config=proposal["config"], time=START + 10 * number
        )
        events += [first, *own[1:]]
    return events


def written(folder: Path, *parts: list[object]) -> tuple[History, list[optuna.trial.FrozenTrial]]:
    """Events in several calls of a search; the history, and the trials that Optuna finds in the file."""
    for events in parts:
        journal = Journal(folder / "journal.jsonl")
        follower = OptunaJournal(folder, SPACE, "made")
        for event in events:
            journal.append(event)  # type: ignore[arg-type]
        follower.close()
        journal.close()
    reader = JournalReader(folder / "journal.jsonl")
    reader.read()
    study = optuna.load_study(study_name="made", storage=JournalStorage(JournalFileBackend(str(folder / OPTUNA_FILE))))
    assert study.direction.name == "MAXIMIZE"
    return reader.history, study.trials


def assert_same(history: History, trials: list[optuna.trial.FrozenTrial]) -> None:
    assert [t.user_attrs["trial"] for t in trials] == list(history.trials)
    for trial, record in zip(trials, history.trials.values(), strict=True):
        assert trial.state.name == STATES[record.state]
        assert trial.params == record.params
        assert trial.intermediate_values == {e.epoch: e.metrics["val/accuracy"] for e in record.epochs}
        assert trial.value == (record.value if record.state == "completed" else None)
        assert trial.datetime_start == datetime.fromtimestamp(record.started)


def test_the_file_has_every_trial_as_the_journal_has_it(tmp_path: Path):
    history, trials = written(tmp_path, search_events())
    assert_same(history, trials)
    assert {t.user_attrs["state"] for t in trials} == set(STATES)
    best = max((r for r in history.trials.values() if r.state == "completed"), key=lambda r: r.value or 0.0)
    assert max(t.value for t in trials if t.value is not None) == best.value


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 9])
def test_an_interrupted_search_goes_on_in_the_file(tmp_path: Path, cut: int):
    events = search_events()
    history, trials = written(tmp_path, events[:cut], events[cut:])
    assert_same(history, trials)


def test_a_lost_file_is_written_again(tmp_path: Path):
    written(tmp_path, search_events())
    (tmp_path / OPTUNA_FILE).unlink()
    history, trials = written(tmp_path, [])
    assert_same(history, trials)
    for trial, record in zip(trials, history.trials.values(), strict=True):
        ended = None if record.ended is None else datetime.fromtimestamp(record.ended)
        assert trial.datetime_complete == ended


@pytest.mark.parametrize("damage", ["cut", "cut within", "not JSON", "empty"])
def test_a_damaged_file_is_written_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture):
    """A kill can leave a cut line, to which Optuna appends when the search is resumed."""
    events = search_events()
    written(tmp_path, events[:9])
    path = tmp_path / OPTUNA_FILE
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(
        {
            "cut": whole[:-20],
            "cut within": b"".join([*lines[:-2], lines[-2][:-20], lines[-1]]),
            "not JSON": b"\x00" * 100 + b"\n" + whole,
            "empty": b"",
        }[damage]
    )
    history, trials = written(tmp_path, events[9:])
    assert_same(history, trials)
    assert ("is damaged" in caplog.text) == (damage != "empty")
