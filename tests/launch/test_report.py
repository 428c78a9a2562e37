"""`launch/report.py`: the report of one search, or several side by side, from their journals alone."""

from __future__ import annotations

import json
import re
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.made_history import epoch, made_history
from support.made_searches import three_searches, write_journal
from support.pages import text_of

from sldml.commands import report
from sldml.journal import AttemptEnded, History, Journal, TrialEpoch, TrialStarted
from sldml.report.report import write_report


@pytest.fixture
def report_command(launched: Any) -> Any:
    return partial(launched, "report.py")


def test_one_search_is_reported_from_its_journal(report_command: Any, tmp_path: Path) -> None:
    journal = write_journal(tmp_path / "results" / "one", made_history(12))
    before = journal.read_bytes()
    status, lines, _ = report_command("one", "--storage", tmp_path / "results")
    assert status == 0
    place = tmp_path / "results" / "one" / "report.html"
    assert lines[0] == f"report: {place}"
    assert lines[1].endswith(f"python launch/report.py one --storage {tmp_path / 'results'} OTHER…")
    assert "Leaderboard" in place.read_text(encoding="utf-8")
    assert journal.read_bytes() == before


def test_a_running_search_is_only_read(report_command: Any, tmp_path: Path) -> None:
    journal = write_journal(tmp_path / "one", made_history(5, final=False), cut=True)
    before = journal.read_bytes()
    status, lines, _ = report_command(journal.parent, "--out", tmp_path / "pages" / "now.html")
    assert status == 0
    assert "1 trial had not ended" in (tmp_path / "pages" / "now.html").read_text(encoding="utf-8")
    assert "python launch/tune.py --resume one" in lines[1]
    assert journal.read_bytes() == before
    assert [path.name for path in journal.parent.iterdir()] == ["journal.jsonl"]


def test_a_running_search_is_followed_to_its_end(
    report_command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_LOOK_S", 0.01)
    monkeypatch.setattr(report, "_REDRAW_S", 0.01)
    write_journal(tmp_path / "one", made_history(5, final=False))
    page, written = tmp_path / "one" / "report.html", []

    def go_on() -> None:
        for number in range(2):
            while len(written) < 1 + number:  # after the page was written again
                time.sleep(0.01)
            journal = Journal(tmp_path / "one" / "journal.jsonl")
            name = f"t9{number}"
            journal.append(TrialStarted(trial_id=name, params={"optimizer.lr": 0.1}, config={}))
            journal.append(TrialEpoch(trial_id=name, **epoch(1, 0.9).model_dump()))
            journal.close()
        while not any("t91" in text for text in written):
            time.sleep(0.01)
        journal = Journal(tmp_path / "one" / "journal.jsonl")
        journal.append(AttemptEnded(state="interrupted"))

    def write(history: History, path: Path) -> Path:
        written.append(write_report(history, path).read_text(encoding="utf-8"))
        return path

    monkeypatch.setattr("sldml.report.report.write_report", write)
    driver = threading.Thread(target=go_on)
    driver.start()
    status, lines, _ = report_command("one", "--storage", tmp_path, "--follow")
    driver.join()
    assert status == 0
    assert [name for name in ("t90", "t91") if name in written[0]] == []
    assert "t90" in page.read_text(encoding="utf-8")
    assert "t91" in page.read_text(encoding="utf-8")
    assert lines[0] == f"report: {page}, written again whenever the search goes on (Ctrl-C to stop)"
    assert "to resume the search" in lines[-1]


def test_several_searches_are_compared(report_command: Any, tmp_path: Path) -> None:
    for one in three_searches()[:2]:
        write_journal(tmp_path / one.name, one.history)
    write_journal(tmp_path / "elsewhere" / "middle", three_searches()[1].history)
    names = ["small", "middle", tmp_path / "elsewhere" / "middle"]
    status, lines, _ = report_command(*names, "--storage", tmp_path)
    assert status == 0
    assert lines[0] == f"report: {tmp_path / 'comparison.html'}"
    page = text_of((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    for name in ("small", tmp_path / "middle", tmp_path / "elsewhere" / "middle"):
        assert f'<td class="id">{name}</td>' in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing is neither a search in .*: found begun, empty"),
        (["empty"], "search empty in .* has not started"),
        (["broken"], "broken/journal.jsonl, line 1: not an event"),
        (["begun", "begun"], "search begun is given twice"),
        (["begun", "{tmp}/other", "--follow"], "--follow writes the report of one search: give one name"),
        (["begun", "--out", "."], "is a folder; give a file"),
        (["begun", "--out", "{tmp}/begun/journal.jsonl/x.html"], "cannot be written"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, report_command: Any, tmp_path: Path) -> None:
    write_journal(tmp_path / "begun", made_history(3, final=False))
    if "--follow" in arguments:
        write_journal(tmp_path / "other", made_history(3, final=False))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "journal.jsonl").write_text("")
    if "broken" in arguments:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "journal.jsonl").write_text(json.dumps({"event": "no such"}) + "\n")
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    status, lines, err = report_command(*given, "--storage", tmp_path)
    assert (status, lines) == (2, [])
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(said, err)
