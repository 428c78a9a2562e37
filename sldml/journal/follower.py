"""Following a journal in a thread: whatever shows a search catches up with its events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sldml.journal.events import Event
from sldml.journal.file import JournalError, JournalReader
from sldml.journal.history import History

Handle = Callable[[list[Event], History], bool]
"""Takes the next events and the history up to their end; returns False to stop following."""

_MOST_AT_ONCE = 500
"""Number of events that are read at a time."""
_log = logging.getLogger(__name__)


class Follower:
    """A thread that reads a journal a few times a second and hands its events over, in order."""

    EVERY_S = 0.25

    def __init__(self, reader: JournalReader, handle: Handle, name: str) -> None:
        self._reader, self._handle = reader, handle
        self._ending = threading.Event()
        self.given_up = threading.Event()
        """Set when `close` waits no longer."""
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Catch up with the journal, at most for `timeout_s`, and end the thread."""
        self._ending.set()
        self._thread.join(timeout_s)
        self.given_up.set()
        self._thread.join(2.0)  # it may sit in a call of a library, which nothing can end

    def _follow(self) -> None:
        while not self.given_up.is_set():
            ending = self._ending.is_set()
            try:
                events = self._reader.read(_MOST_AT_ONCE)
            except JournalError as error:
                _log.warning("%s", error)
                return
            except OSError:  # a disk that fails or is gone is the search's to report, when it writes
                events = []
            if events:
                if not self._handle(events, self._reader.history):
                    return
            elif ending:
                return
            else:
                self._ending.wait(self.EVERY_S)
