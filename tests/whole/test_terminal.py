"""A search in a terminal: what a person sees, how it is extended, and Ctrl-C twice before it has begun."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running import TINY
from support.terminal import CTRL_C, Terminal, assert_gone

from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1200)]


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: Any, **settings: Any) -> Terminal:
        opened.append(Terminal(*arguments, **settings))
        return opened[-1]

    yield open_one
    for each in opened:
        each.kill()


def test_the_table_shows_every_stage_of_a_search_and_of_its_extension(
    terminal: Callable[..., Terminal], storage: Path
) -> None:
    """`--trials +2` adds two trials to the finished ones, and the end is made with the best of all."""
    first = terminal(*TINY, "--name", "seen", "--storage", storage, "--no-final", width=80)
    assert first.end(timeout_s=600.0) == 0, first.text[-3000:]
    for stage in ("loading libraries", "starting Ray", "baselines ", "trials "):
        assert stage in first.text, stage
    assert re.search(r"trials ━*─+ [0-3]/4 · running [12]", first.text)
    assert re.search(r"^t000\d +\d/2 .*small_cnn", first.text, re.MULTILINE), "no row of a running trial"
    assert re.search(r"\d+ epochs/min", first.text)
    before = read_history(storage / "seen" / "journal.jsonl")
    assert len(before.trials) == 4
    assert not before.finals

    summary_file = storage / "summary.json"
    arguments = ("--resume", "seen", "--final", "--trials", "+2", "--storage", storage, "--summary", summary_file)
    second = terminal(*arguments, width=80)
    assert second.end(timeout_s=600.0) == 0, second.text[-3000:]
    for stage in ("final models ", "class folds ", "sealed test"):
        assert stage in second.text, stage
    assert "report:" in second.text.splitlines()[-1]
    summary = json.loads(summary_file.read_text())
    assert summary["trials"]["requested"] == 6
    after = read_history(storage / "seen" / "journal.jsonl")
    assert len(after.trials) == 6
    assert all(after.trials[trial_id] == record for trial_id, record in before.trials.items())
    ordered = [row["name"] for row in summary["folds"]["rows"] if row["kind"] == "trained"]
    assert [final["trial_id"] for final in summary["final"]] == ordered[:1]


@pytest.mark.parametrize("stage", ["loading libraries", "starting Ray"])
def test_ctrl_c_twice_before_the_search_has_begun_leaves_nothing(
    terminal: Callable[..., Terminal], tmp_path: Path, stage: str
) -> None:
    command = terminal(*TINY, "--name", "twice", "--storage", tmp_path)
    command.wait_for(lambda: stage in command.text)
    below = command.below()
    command.press_twice(CTRL_C)
    assert command.end(timeout_s=60.0) == 130
    assert_gone(below)
    # Once may have been enough.
    assert re.search("(stopped at once|interrupted); not started yet: run it again", command.line)
