"""What a terminal shows below the scrolling lines: a table of what runs, the best so far, and how far it all is.

Made of plain lines, cut to the terminal's width: several times cheaper than a table that measures its cells, and the
machine has better things to do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sldml.commands.board import Board, Row
from sldml.training.machine_load import CpuMeter, GpuMeter

Line = tuple[str, str]
"""A line and its style."""

_REFRESH_HZ = 2.0
_LOAD_EVERY_S = 2.0
_BAR = 20
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARGIN = 1
"""A line of the terminal's full width would be followed by an empty one in some."""


@dataclass
class Counted:
    """A count that goes on: recordings read, say."""

    what: str
    begun: float
    done: int = 0
    of: int = 0


class LiveView:
    """The lines that keep changing. What they show is set by one thread and drawn by another."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.board: Board | None = None
        self.counted: Counted | None = None
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

    def start(self) -> None:
        """Show them, and let what others print go above."""
        self._live.start()

    def stop(self) -> None:
        """Take them away."""
        self._live.stop()

    def _draw(self) -> Text:
        size = self._console.size
        text = Text(no_wrap=True, overflow="crop")
        lines = self.lines(time.time(), size.width - _MARGIN, size.height - 2)
        for number, (line, style) in enumerate(lines):
            text.append("\n" * (number > 0) + line, style)
        return text

    def lines(self, now: float, width: int, height: int) -> list[Line]:
        """Everything that is shown, in lines of at most `width` characters."""
        board, counted = self.board, self.counted
        if board is not None:
            return board_lines(board, now, width, height, self._machine(board))
        if counted is not None and counted.of:
            return [(cut(count_line(counted, now, width), width), "")]
        spinner = _SPINNER[int(now * _REFRESH_HZ) % len(_SPINNER)]
        return [(cut(f"{spinner} {self.doing} · {clock(now - self.doing_since)}", width), "")]

    def _machine(self, board: Board) -> str:
        """How busy this machine is, measured now and then. Of a cluster's others nothing is known here."""
        now = time.monotonic()
        if now - self._load_at >= _LOAD_EVERY_S:
            self._load_at = now
            shares = {"CPU": self._cpu.share(), "GPU": self._gpu.share()}
            self._load = " · ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
        return self._load if not board.elsewhere or not self._load else f"{self._load} (this machine)"


def board_lines(board: Board, now: float, width: int, height: int, load: str) -> list[Line]:
    """The table of what runs, the best so far, and a line or two of how far it is."""
    with board.lock:
        running, best = list(board.running.values()), board.best
        ended = [(state, board.ended[state]) for state in ("pruned", "diverged", "failed")]
        waiting = not running and board.num_ended < board.total
        counts = [
            "starting workers" if waiting else f"running {len(running)}",
            *(f"{state} {count}" for state, count in ended if count),
        ]
        head = f"{board.what} {bar(board.num_ended, board.total)} {board.num_ended}/{board.total}"
        figures = _figures(board, now, load)
    status = [*packed([head, *counts], width), *packed(figures, width)]
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


def _figures(board: Board, now: float, load: str) -> list[str]:
    figures = [f"{clock(now - board.begun)} gone"]
    if (left := board.seconds_left(now)) is not None:
        figures.append(f"{about(left)} left")
    if (pace := board.epochs_per_s(now)) is not None:
        figures.append(f"{60 * pace:.0f} epochs/min" if pace >= 1 / 6 else f"{60 * pace:.1f} epochs/min")
    if images := board.images_per_s():
        figures.append(f"{images:,.0f} images/s")
    return [*figures, load] if load else figures


_HEADER = ["running", "epoch", "value", "best", "images/s", "loss / miner / encoder", "lr", "time"]
_HEADER_OF_BEST = ["best", "at", "", "value", "", "", "", ""]
_LEFT_ALIGNED = (0, 5)
_FLEXIBLE = 5
"""The names of the choices get what the other columns leave."""
_FEWEST_FOR_CHOICES = 16


def _running_cells(row: Row, now: float) -> list[str]:
    images = "" if row.images_per_s is None else f"{row.images_per_s:,.0f}"
    epoch = f"{row.epoch}/{row.num_epochs}"
    return [
        row.name, epoch, score(row.value), score(row.best), images, row.choices, rate(row.lr), clock(now - row.since)
    ]  # fmt: skip


def _best_cells(row: Row) -> list[str]:
    epoch = "" if row.best_epoch is None else f"{row.best_epoch}/{row.num_epochs}"
    return [row.name, epoch, "", score(row.best), "", row.choices, rate(row.lr), row.state]


def lay_out(rows: list[list[str]], width: int) -> list[str]:
    """Rows of cells as lines of at most `width` characters; a column that no row fills is left out.

    Where there is little room, columns stand closer and the states of ended trials go first.
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
        widths[_FLEXIBLE] = max(_FEWEST_FOR_CHOICES, min(widths[_FLEXIBLE], width - fixed))
    lines = []
    for row in cells:
        aligned = [
            cut(cell, w).ljust(w) if c in _LEFT_ALIGNED else cell.rjust(w)
            for c, (cell, w) in enumerate(zip(row, widths, strict=True))
            if w
        ]
        lines.append(cut((" " * gap).join(aligned).rstrip(), width))
    return lines


# ---------------------------------------------------------------------------------------------------- words


def count_line(counted: Counted, now: float, width: int) -> str:
    """What is counted, how far it is, and how long it may still take, once a part of it is done."""
    gone = now - counted.begun
    line = f"{counted.what} {bar(counted.done, counted.of)} {counted.done}/{counted.of} · {clock(gone)} gone"
    if 0 < counted.done < counted.of and gone > 1.0:
        line += f" · {about(gone / counted.done * (counted.of - counted.done))} left"
    return line


def packed(parts: list[str], width: int, between: str = " · ") -> list[str]:
    """The parts one after the other, in as many lines as it takes."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines.append(cut(part, width))
    return lines


def cut(text: str, width: int) -> str:
    """At most so long; what is left out is shown."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[:width]


def bar(done: int, of: int, width: int = _BAR) -> str:
    """A bar as long as what is done."""
    full = min(width, width * done // of) if of else 0
    return "━" * full + "─" * (width - full)


def clock(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """An estimate, no more exact than it can be: about 40 s, about 7 min, about 2 h 10 min."""
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
