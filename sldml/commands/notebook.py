"""The progress of a search that is called from Python: a display in a notebook, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextvars
import html
import threading
import time
from typing import Any, Self

from rich.console import Console

from sldml.commands.live import LiveConsole, LiveView
from sldml.commands.progress import ProgressPrinter

_REFRESH_S = 1.0
_SIZE = (110, 24)
"""Characters and lines of the display."""


def progress_printer(shown: bool) -> ProgressPrinter:
    """What shows the progress of a search in this process, without control codes of a terminal."""
    in_notebook = Console().is_jupyter
    console = LiveConsole(highlight=False, force_terminal=False, force_jupyter=False, quiet=not shown)
    return NotebookPrinter(console) if shown and in_notebook else ProgressPrinter(console)


class NotebookPrinter(ProgressPrinter):
    """`ProgressPrinter` whose live table is a part of the cell's output."""

    def __enter__(self) -> Self:
        self._live = NotebookView(self.console)
        self._live.start()
        return self


class NotebookView(LiveView):
    """`LiveView` as HTML that is replaced every second."""

    def __init__(self, console: LiveConsole) -> None:
        super().__init__(console)
        self._display: Any = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Show the view; other output appears below it."""
        from IPython.display import display

        self._display = display(self, display_id=True)
        # What a thread displays belongs to the cell whose context it runs in.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._refresh,), name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the view empty."""
        assert self._thread is not None
        self._ended.set()
        self._thread.join()
        self._display.update(self)

    def _refresh(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            self._display.update(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What IPython displays."""
        lines = [] if self._ended.is_set() else [line for line, _ in self.lines(time.time(), *_SIZE)]
        text = "\n".join(lines)
        return {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>" if text else ""}
