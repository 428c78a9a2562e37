"""A queue on disk of items that are not in the store yet, one line per item, in order.

The store may be unavailable for hours, and the driver may end meanwhile, so items are not only kept in memory.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Item = dict[str, Any]


class Spool:
    """A queue in two files: the items, and the number of bytes that were sent (`.sent`).

    One thread adds, another takes. An incomplete line of a killed process is dropped, and items that were taken but not
    confirmed as sent are returned again.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """Open or create `path`; items for another `owner` (another store) are discarded."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._mark = path, path.with_name(f"{path.name}.sent")
        self._lock = threading.Lock()
        self._head = (json.dumps({"owner": owner}) + "\n").encode()
        self._file = path.open("a+b")
        self._sent = self._taken = self._first_unsent()
        self.left_over = self.pending = self._count(self._sent)
        """Number of items left by an earlier process, and number of unsent items."""

    def add(self, items: Iterable[Item]) -> None:
        """Append items; they survive the end of this process."""
        lines = [json.dumps(item, default=str).encode() + b"\n" for item in items]
        with self._lock:
            self._file.write(b"".join(lines))
            self._file.flush()
            self.pending += len(lines)

    def take(self, limit: int) -> list[Item]:
        """The next items, at most `limit`; confirm them with `sent`."""
        with self._lock:
            self._file.seek(self._sent)
            lines: list[bytes] = []
            while len(lines) < limit and (line := self._file.readline()):
                lines.append(line)
            self._taken = self._file.tell()
        return [json.loads(line) for line in lines]

    def sent(self, count: int) -> None:
        """Confirm the `count` items that were taken last. The files are emptied when all items are sent."""
        with self._lock:
            self._sent = self._taken
            self.pending -= count
            if self.pending == 0:
                self._file.truncate(len(self._head))
                self._sent = self._taken = len(self._head)
            self._write_mark()

    def close(self) -> None:
        """Close the files, and remove them if they are empty."""
        with self._lock:
            self._file.close()
            if self.pending == 0:
                self.path.unlink(missing_ok=True)
                self._mark.unlink(missing_ok=True)

    def _first_unsent(self) -> int:
        """Position of the first unsent item."""
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(0)
        if self._file.readline() != self._head:
            self._file.truncate(0)
            self._file.write(self._head)
            self._file.flush()
            self._mark.unlink(missing_ok=True)
            return len(self._head)
        self._file.seek(0)
        content = self._file.read()
        if (whole := content.rfind(b"\n") + 1) < size:
            self._file.truncate(whole)
        try:
            sent = int(self._mark.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return len(self._head)
        # If the process was killed between emptying the file and writing the mark, the mark is beyond its end.
        return sent if len(self._head) <= sent <= whole else len(self._head)

    def _count(self, start: int) -> int:
        self._file.seek(start)
        return sum(1 for _ in self._file)

    def _write_mark(self) -> None:
        scratch = self._mark.with_name(f".{self._mark.name}")
        scratch.write_text(str(self._sent), encoding="ascii")
        scratch.replace(self._mark)
