"""The file of a journal: one event per line, written to disk before a result counts.

It is `<results>/<search name>/journal.jsonl`. An incomplete last line, left by a killed process, is dropped.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pydantic

from sldml.errors import InputError
from sldml.journal.events import VERSION, Event, SearchBegun, from_line, to_line
from sldml.journal.history import History

FILE = "journal.jsonl"
"""Its name in the folder of a search."""


class JournalError(InputError):
    """A journal cannot be read; the message gives the file and the line."""


class Journal:
    """Appends events; each is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._drop_incomplete_line()
        self._file = path.open("ab")

    def append(self, event: Event) -> None:
        """Write an event.

        Raises:
            OSError: it cannot be written, or the file is not there any more: then it would be lost with the file.
        """
        self._file.write(to_line(event))
        self._file.flush()
        os.fsync(self._file.fileno())
        if not self.is_there:
            raise OSError(errno.ESTALE, "the folder of the search was removed or moved", str(self.path))

    @property
    def is_there(self) -> bool:
        """Whether the file is still found at its path."""
        try:
            return self.path.exists()
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _drop_incomplete_line(self) -> None:
        """Remove a line without its end, left by a killed process, to which the next event would be appended."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        keep = content.rfind(b"\n") + 1
        if keep < len(content):
            with self.path.open("rb+") as file:
                file.truncate(keep)


class JournalReader:
    """Reads the events of a journal that may still grow, each once, and keeps their history."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History()
        self.position = 0
        """Number of bytes of the lines that were read."""
        self._line = 0

    def read(self, limit: int | None = None, *, until: int | None = None) -> list[Event]:
        """Add the events since the last call to the history, at most `limit`, and return them.

        `until`: stop at this position in the file.

        An incomplete last line is left for the next call.

        Raises:
            JournalError: a line is not an event, or is one of a training that never started.
        """
        events: list[Event] = []
        if not self.path.exists():
            return events
        with self.path.open("rb") as file:
            file.seek(self.position)
            while (limit is None or len(events) < limit) and (until is None or self.position < until):
                line = file.readline()
                if not line.endswith(b"\n"):
                    break
                self._line += 1
                event = self._event(line)
                try:
                    self.history.apply(event)
                except ValueError as error:
                    raise self._error(str(error)) from error
                events.append(event)
                self.position += len(line)
        return events

    def _event(self, line: bytes) -> Event:
        try:
            event = from_line(line)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise self._error(f"not an event of a search ({f'{place}: ' if place else ''}{first['msg']})") from error
        if isinstance(event, SearchBegun) and event.version != VERSION:
            what = "update sldml" if event.version > VERSION else "start a new search, or use the sldml that wrote it"
            raise self._error(f"version {event.version} of the format, this version reads {VERSION}: {what}")
        return event

    def _error(self, reason: str) -> JournalError:
        return JournalError(f"{self.path}, line {self._line}: {reason}")


def read_history(path: Path) -> History:
    """Read a journal back.

    Raises:
        JournalError: a line (other than an incomplete last one) is not an event.
    """
    reader = JournalReader(path)
    reader.read()
    return reader.history


@dataclass(frozen=True)
class FoundSearch:
    """A search and its folder."""

    name: str
    folder: Path
    history: History


def find_search(given: str, storage: Path) -> FoundSearch:
    """The search with a name in `storage`, or in a folder.

    Raises:
        InputError: there is none, or it has not started.
    """
    folders = [storage / given, Path(given).expanduser().absolute()]
    folder = next((folder for folder in folders if (folder / FILE).is_file()), None)
    if folder is None:
        names = sorted(path.parent.name for path in storage.glob(f"*/{FILE}"))
        known = f"found {', '.join(names)}" if names else "there are no searches"
        raise InputError(
            f"{given} is neither a search in {storage} nor the folder of one: {known} (other folders: --storage)"
        )
    history = read_history(folder / FILE)
    if history.begun is None:
        raise not_begun(folder)
    return FoundSearch(history.search.name, folder, history)


def not_begun(folder: Path) -> InputError:
    """The error for a search that stopped before its journal had a first event."""
    return InputError(
        f"search {folder.name} in {folder.parent} has not started: it was stopped while its recordings were prepared, "
        "or its folder was removed; run the command that started it again"
    )
