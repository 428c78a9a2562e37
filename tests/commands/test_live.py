"""The lines below the scrolling ones: within the terminal, whatever its size, and worth reading."""

from __future__ import annotations

import io
import os
import pty
import threading
import time
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from support.made_history import epoch
from support.screen import lines_on_screen

from sldml.commands import live
from sldml.commands.board import Beside, Board, new_row
from sldml.commands.live import (
    CountProgress,
    LiveConsole,
    LiveView,
    bar,
    board_lines,
    clock,
    count_line,
    lay_out,
    rough_duration,
    truncate,
    wrapped,
)
from sldml.commands.progress import ProgressPrinter

CONFIG: dict[str, Any] = {
    "loss": {"name": "multi_similarity"},
    "miner": {"name": "multi_similarity"},
    "encoder": {"name": "resnet18"},
    "optimizer": {"lr": 1.5e-3},
    "train": {"max_epochs": 30},
}


def made_board(num_running: int = 2) -> Board:
    board = Board("trials", 16, 0.0, num_slots=2, max_epochs=30)
    for number, state in enumerate(("completed", "pruned", "pruned", "failed"), start=1):
        board.start(new_row(f"t{number:04}", CONFIG, 0.0))
        board.epoch(f"t{number:04}", epoch(4, 0.1 * number, time=10.0))
        board.end(f"t{number:04}", state)
    for number in range(5, 5 + num_running):
        name = f"t{number:04}"
        board.start(new_row(name, CONFIG, 20.0))
        board.epoch(name, epoch(12, 0.375, time=60.0, images_per_s=4310.4))
    return board


@pytest.mark.parametrize("width", [40, 79, 80, 100, 119, 140, 250])
@pytest.mark.parametrize("num_running", [0, 2, 60])
def test_no_line_is_wider_than_the_terminal_nor_more_of_them_than_fit(width: int, num_running: int):
    lines = board_lines(made_board(num_running), 90.0, width, 38, "CPU 97% · GPU 88%")
    console = Console(record=True, file=io.StringIO(), force_terminal=True, width=width)
    console.print(Text("\n").join(Text(line, style) for line, style in lines), soft_wrap=True)
    drawn = console.export_text().rstrip("\n").split("\n")
    assert [line.rstrip() for line in drawn] == [line.rstrip() for line, _ in lines]
    assert max(map(len, drawn)) <= width
    assert len(lines) <= 38


def test_a_wide_terminal_shows_everything():
    lines = [line.rstrip() for line, _ in board_lines(made_board(), 90.0, 119, 40, "CPU 97%")]
    choices = "multi_similarity / multi_similarity / resnet18"
    assert lines == [
        "",
        f"running  epoch  value  images/s  {'loss / miner / encoder':<46}       lr     time",
        f"t0005    12/30  0.375     4,310  {choices}  1.5e-03     1:10",
        f"t0006    12/30  0.375     4,310  {choices}  1.5e-03     1:10",
        "best     epoch  value",
        f"t0005    12/30  0.375            {choices}  1.5e-03  running",
        f"t0006    12/30  0.375            {choices}  1.5e-03  running",
        f"t0003     4/30  0.300            {choices}  1.5e-03   pruned",
        "trials ━━━━━─────────────── 4/16 · running 2 · pruned 2 · failed 1",
        # 6 epochs reported in 80 s since the first; the ended ones had 4 on average, so that 10 waiting ones take 40,
        # and each of those that run has 18 more, for none has come so far: 76 at 0.075 a second.
        "1:30 elapsed · about 17 min left · 4.5 epochs/min · 8,621 images/s · CPU 97%",
    ]


def test_a_narrow_terminal_keeps_what_matters():
    lines = [line.rstrip() for line, _ in board_lines(made_board(), 90.0, 79, 40, "CPU 97%")]
    assert "t0005   12/30 0.375    4,310 multi_similarity / multi_similarity … 1.5e-03 1:10" in lines
    assert lines[-2:] == [
        "trials ━━━━━─────────────── 4/16 · running 2 · pruned 2 · failed 1",
        "1:30 elapsed · about 17 min left · 4.5 epochs/min · 8,621 images/s · CPU 97%",
    ]


def test_more_trials_than_lines_are_counted():
    lines = [line for line, _ in board_lines(made_board(60), 90.0, 119, 20, "")]
    shown = sum("4,310" in line for line in lines)
    assert f"… and {60 - shown} more" in lines
    assert shown >= 8


def test_the_step_of_the_search_and_work_beside_the_trials_are_told():
    board = made_board()
    board.step, board.begun = "step 2 of 6: trials and baselines", -60.0
    board.beside = Beside("baselines", 12, 40, 0.0, 0)
    lines = [line.rstrip() for line, _ in board_lines(board, 90.0, 119, 40, "")]
    assert lines[-2:] == [
        "trials ━━━━━─────────────── 4/16 · running 2 · pruned 2 · failed 1 · baselines 12/40",
        "step 2 of 6: trials and baselines · 2:30 elapsed · about 17 min left · 4.5 epochs/min · 8,621 images/s",
    ]


def test_before_the_first_epoch_there_is_no_figure():
    lines = [line for line, _ in board_lines(Board("trials", 16, 0.0), 5.0, 119, 40, "")]
    assert lines == ["", "trials ──────────────────── 0/16 · starting workers", "0:05 elapsed"]


def test_a_count_says_how_long_it_takes_once_something_is_done():
    counted = CountProgress("recordings read", 100.0, 0, 600)
    assert count_line(counted, 110.0) == "recordings read ──────────────────── 0/600 · 0:10 elapsed"
    counted.done = 150
    line = count_line(counted, 120.0)
    assert line == "recordings read ━━━━━─────────────── 150/600 · 0:20 elapsed · about 60 s left"


def test_the_load_of_a_cluster_is_said_to_be_that_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    view = LiveView(LiveConsole(file=io.StringIO(), force_terminal=True, width=140, height=40))
    view.board = made_board()
    view._load, view._load_at = "CPU 12%", float("inf")
    assert view.lines(90.0, 139, 38)[-1][0].endswith("· CPU 12%")
    view.board.elsewhere = True
    assert view.lines(90.0, 139, 38)[-1][0].endswith("· CPU 12% (this machine)")


class SlowConsole(LiveConsole):
    """Other threads have time to print between the making of a frame and its writing."""

    def render_lines(self, *arguments: Any, **settings: Any) -> Any:
        lines = super().render_lines(*arguments, **settings)
        time.sleep(0.0005)
        return lines


def test_no_line_is_lost_while_the_view_is_drawn(monkeypatch: pytest.MonkeyPatch):
    """Three threads print 250 lines each, one of them past the console, while the view changes its height."""
    monkeypatch.setattr(live, "_REFRESH_HZ", 1000.0)
    ours, its = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with open(its, "w") as file:  # noqa: PTH123 -- a descriptor
        settings: dict[str, Any] = {"force_terminal": True, "width": 100, "height": 40, "highlight": False}
        console = SlowConsole(file=file, _environ={"TERM": "xterm-256color"}, **settings)
        board = Board("trials", 16, 0.0, num_slots=8, max_epochs=30)
        with ProgressPrinter(console) as printer:
            printer._begin(board)

            def say(thread: int) -> None:
                for number in range(250):
                    (print if thread == 0 else printer.say)(f"line {thread} {number}")
                    time.sleep(0.001)

            threads = [threading.Thread(target=say, args=(thread,)) for thread in range(3)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                for number in range(8):
                    board.start(new_row(f"t{number}", CONFIG, 0.0))
                time.sleep(0.002)
                for number in range(8):
                    board.end(f"t{number}", "completed")
                time.sleep(0.002)
    reader.join(30.0)
    os.close(ours)
    shown = [line for line in lines_on_screen(b"".join(chunks).decode()) if line]
    assert sorted(shown) == sorted(f"line {thread} {number}" for thread in range(3) for number in range(250))
    for thread in range(3):
        of_it = [line for line in shown if line.startswith(f"line {thread} ")]
        assert of_it == [f"line {thread} {number}" for number in range(250)]


@pytest.mark.parametrize(
    ("seconds", "text", "estimate"),
    [
        (0.4, "0:00", "about 10 s"),
        (44, "0:44", "about 40 s"),
        (89, "1:29", "about 90 s"),
        (95, "1:35", "about 2 min"),
        (754, "12:34", "about 13 min"),
        (3590, "59:50", "about 1 h"),
        (7723, "2:08:43", "about 2 h 10 min"),
        (39_600, "11:00:00", "about 11 h"),
        (41_500, "11:31:40", "about 12 h"),
    ],
)
def test_times(seconds: float, text: str, estimate: str):
    assert clock(seconds) == text
    assert rough_duration(seconds) == estimate


def test_words():
    assert [truncate("abcdef", width) for width in (6, 4, 1, 0)] == ["abcdef", "abc…", "…", ""]
    assert [bar(done, 4, 4) for done in (0, 1, 4, 5)] == ["────", "━───", "━━━━", "━━━━"]
    assert bar(0, 0, 4) == "────"
    assert wrapped(["a", "bb", "ccc"], 6) == ["a · bb", "ccc"]
    assert wrapped(["long line", "b"], 5) == ["long…", "b"]
    assert lay_out([], 80) == []
