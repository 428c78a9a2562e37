"""The live view of a terminal below the scrolling lines: running trainings, best trials and progress.

Drawn as plain lines, cut to the terminal's width: a frame takes 1 ms, as a `rich.table.Table` 6 to 25 ms.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sldml.commands.board import Board, BoardRow
from sldml.commands.command import discard_output
from sldml.training.machine_load import CpuMeter, GpuMeter

Line = tuple[str, str]
"""A line and its style."""

_REFRESH_HZ = 2.0
_LOAD_EVERY_S = 2.0
_BAR = 20
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARGIN = 1
"""Some terminals add an empty line after one of full width."""


@dataclass
class CountProgress:
    """The progress of a count, such as recordings read."""

    name: str
    started: float
    done: int = 0
    total: int = 0


class LiveConsole(Console):
    """A console whose `drawing` lock is held by whoever prints until it is written, and while the view is drawn.

    A printed line and a frame each erase as many lines as the view had when they were made; between making and writing,
    the other may change that number, and printed lines would be erased.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.drawing = threading.RLock()

    def __enter__(self) -> Self:
        self.drawing.acquire()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.drawing.release()

    def on_broken_pipe(self) -> None:
        """The reader of the output is gone, as with `| head`: the work goes on. Rich would end the process."""
        self.quiet = True
        discard_output()


class LiveView:
    """The lines that keep changing. One thread sets their content, another draws them."""

    def __init__(self, console: LiveConsole) -> None:
        self._console = console
        self.board: Board | None = None
        self.count: CountProgress | None = None
        self.step = ""
        """The step of a search, as text."""
        self.doing = "loading libraries"
        self.doing_since = time.time()
        self._cpu, self._gpu = CpuMeter(), GpuMeter()
        self._load, self._load_at = "", time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
            vertical_overflow="crop",
        )
        self._live._lock = console.drawing  # one lock: taken in two orders, two would block each other

    def start(self) -> None:
        """Show the view; other output appears above it."""
        self._live.start()

    def stop(self) -> None:
        """Remove the view."""
        self._live.stop()

    def _draw(self) -> Text:
        size = self._console.size
        text = Text(no_wrap=True, overflow="crop")
        lines = self.lines(time.time(), size.width - _MARGIN, size.height - 2)
        for number, (line, style) in enumerate(lines):
            text.append("\n" * (number > 0) + line, style)
        return text

    def lines(self, now: float, width: int, height: int) -> list[Line]:
        """The view as lines of at most `width` characters."""
        board, count = self.board, self.count
        if board is not None:
            return board_lines(board, now, width, height, self._machine(board))
        if count is not None and count.total:
            return [(truncate(" · ".join(filter(None, (self.step, count_line(count, now)))), width), "")]
        spinner = _SPINNER[int(now * _REFRESH_HZ) % len(_SPINNER)]
        parts = filter(None, (self.step, self.doing, clock(now - self.doing_since)))
        return [(truncate(f"{spinner} {' · '.join(parts)}", width), "")]

    def _machine(self, board: Board) -> str:
        """The load of this machine, measured every few seconds; other machines of a cluster are not measured."""
        now = time.monotonic()
        if now - self._load_at >= _LOAD_EVERY_S:
            self._load_at = now
            shares = {"CPU": self._cpu.share(), "GPU": self._gpu.share()}
            self._load = " · ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
        return self._load if not board.elsewhere or not self._load else f"{self._load} (this machine)"


def board_lines(board: Board, now: float, width: int, height: int, load: str) -> list[Line]:
    """The table of running and best trainings, and the lines of progress."""
    with board.lock:
        running, best = list(board.running.values()), board.best
        ended = [(state, board.ended[state]) for state in ("paused", "pruned", "diverged", "failed", "lost")]
        waiting = not running and board.num_ended < board.total
        counts = [
            "starting workers" if waiting else f"running {len(running)}",
            *(f"{state} {count}" for state, count in ended if count),
            *(f"{beside.what} {beside.done}/{beside.total}" for beside in [board.beside] if beside is not None),
        ]
        head = f"{board.kind} {bar(board.num_ended, board.total)} {board.num_ended}/{board.total}"
        status_parts = _status_parts(board, now, load)
    status = [*wrapped([head, *counts], width), *wrapped(status_parts, width)]
    others = 3 + (1 + len(best)) * bool(best) + len(status)
    shown = running[: max(1, height - others)]
    rows, styles = [], []
    if shown:
        rows += [_HEADER, *(_running_cells(row, now) for row in shown)]
        styles += ["dim", *[""] * len(shown)]
    if best:
        rows += [_HEADER_OF_BEST, *(_best_cells(row) for row in best)]
        styles += ["dim", "bold", *[""] * (len(best) - 1)]
    table = list(zip(lay_out(rows, width), styles, strict=True))
    if len(shown) < len(running):
        table.insert(1 + len(shown), (f"… and {len(running) - len(shown)} more", "dim"))
    return [("", ""), *table, *((line, "cyan") for line in status)]


def _status_parts(board: Board, now: float, load: str) -> list[str]:
    parts = [board.step] if board.step else []
    parts.append(f"{clock(now - board.begun)} elapsed")
    if (left := board.seconds_left(now)) is not None:
        parts.append(f"{rough_duration(left)} left")
    if (pace := board.epochs_per_s(now)) is not None:
        parts.append(f"{60 * pace:.0f} epochs/min" if pace >= 1 / 6 else f"{60 * pace:.1f} epochs/min")
    if images := board.images_per_s():
        parts.append(f"{images:,.0f} images/s")
    return [*parts, load] if load else parts


_HEADER = ["running", "epoch", "value", "images/s", "loss / miner / encoder", "lr", "time"]
_HEADER_OF_BEST = ["best", "epoch", "value", "", "", "", ""]
_LEFT_ALIGNED = (0, 4)
_FLEXIBLE = 4
"""This column gets the width that the others leave."""
_MIN_CHOICES_WIDTH = 16


def _running_cells(row: BoardRow, now: float) -> list[str]:
    images = "" if row.images_per_s is None else f"{row.images_per_s:,.0f}"
    epoch = f"{row.epoch}/{row.num_epochs}"
    return [
        row.name, epoch, score(row.value), images, row.choices, rate(row.lr), clock(now - row.started)
    ]  # fmt: skip


def _best_cells(row: BoardRow) -> list[str]:
    return [row.name, f"{row.epoch}/{row.num_epochs}", score(row.value), "", row.choices, rate(row.lr), row.state]


def lay_out(rows: list[list[str]], width: int) -> list[str]:
    """Rows of cells as lines of at most `width` characters, without columns that are empty in all rows.

    In narrow terminals, the states of ended trials are omitted first and then the gaps reduced.
    """
    if not rows:
        return []
    filled = [row for row in rows if row not in (_HEADER, _HEADER_OF_BEST)]
    for gap, states in ((2, True), (2, False), (1, False)):
        cells = [[*row[:-1], row[-1] if states or row[-1][:1].isdigit() or row is _HEADER else ""] for row in rows]
        widths = [
            max(len(row[c]) for row in cells) if any(row[c] for row in filled) else 0 for c in range(len(_HEADER))
        ]
        fixed = sum(w + gap for c, w in enumerate(widths) if w and c != _FLEXIBLE)
        if fixed + widths[_FLEXIBLE] <= width:
            break
    if widths[_FLEXIBLE]:
        widths[_FLEXIBLE] = max(_MIN_CHOICES_WIDTH, min(widths[_FLEXIBLE], width - fixed))
    lines = []
    for row in cells:
        aligned = [
            truncate(cell, w).ljust(w) if c in _LEFT_ALIGNED else cell.rjust(w)
            for c, (cell, w) in enumerate(zip(row, widths, strict=True))
            if w
        ]
        lines.append(truncate((" " * gap).join(aligned).rstrip(), width))
    return lines


# ---------------------------------------------------------------------------------------------------- words


def count_line(count: CountProgress, now: float) -> str:
    """Name, bar and elapsed time of a count, and the estimated remaining time."""
    elapsed = now - count.started
    line = f"{count.name} {bar(count.done, count.total)} {count.done}/{count.total} · {clock(elapsed)} elapsed"
    if 0 < count.done < count.total and elapsed > 1.0:
        line += f" · {rough_duration(elapsed / count.done * (count.total - count.done))} left"
    return line


def wrapped(parts: list[str], width: int, between: str = " · ") -> list[str]:
    """Join the parts into lines of at most `width` characters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines.append(truncate(part, width))
    return lines


def truncate(text: str, width: int) -> str:
    """The text cut to `width` characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[:width]


def bar(done: int, total: int, width: int = _BAR) -> str:
    """A progress bar."""
    full = min(width, width * done // total) if total else 0
    return "━" * full + "─" * (width - full)


def clock(seconds: float) -> str:
    """A duration as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rough_duration(seconds: float) -> str:
    """An estimate, rounded: about 40 s, about 7 min, about 2 h 10 min."""
    if seconds < 90:
        return f"about {max(10, round(seconds / 10) * 10)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, minutes = divmod(round(minutes / 5) * 5, 60)
    return f"about {hours} h {minutes} min" if minutes and hours < 10 else f"about {hours + (minutes >= 30)} h"


def score(value: float | None) -> str:
    """An accuracy."""
    return "" if value is None else f"{value:.3f}"


def rate(value: float | None) -> str:
    """A learning rate."""
    return "" if value is None else f"{value:.1e}"
