"""`launch/report.py`: the report of one search, or several side by side, from their journals alone."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.made_history import made_history
from support.made_searches import three_searches, write_journal
from support.pages import text_of


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
        (["begun", "--out", "."], "is a folder; give a file"),
        (["begun", "--out", "{tmp}/begun/journal.jsonl/x.html"], "cannot be written"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, report_command: Any, tmp_path: Path) -> None:
    write_journal(tmp_path / "begun", made_history(3, final=False))
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
