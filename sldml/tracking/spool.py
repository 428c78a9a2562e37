"""What was handed over and is not yet in the store, on the disk: a line an item, in order.

A store may be away for hours, and a driver may end meanwhile: neither memory nor luck should hold what it has to say.
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
    """A queue in two files: the items, and beside them (`.sent`) how many bytes of those are done with.

    One thread adds, another takes. A line that a kill has cut short is dropped, and what was taken but not yet called
    sent is there again.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """Open `path`, or make it; what lies there for another `owner` (another store) is thrown away."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._mark = path, path.with_name(f"{path.name}.sent")
        self._lock = threading.Lock()
        self._head = (json.dumps({"owner": owner}) + "\n").encode()
        self._file = path.open("a+b")
        self._sent = self._taken = self._go_on()
        self.left_over = self.pending = self._count(self._sent)
        """How many items an earlier process left, and how many are not yet sent."""

    def add(self, items: Iterable[Item]) -> None:
        """Append items; they are out of this process's hands afterwards, so that a kill does not lose them."""
        lines = [json.dumps(item, default=str).encode() + b"\n" for item in items]
        with self._lock:
            self._file.write(b"".join(lines))
            self._file.flush()
            self.pending += len(lines)

    def take(self, limit: int) -> list[Item]:
        """The next items, at most `limit`; `sent` says afterwards that they are done with."""
        with self._lock:
            self._file.seek(self._sent)
            lines: list[bytes] = []
            while len(lines) < limit and (line := self._file.readline()):
                lines.append(line)
            self._taken = self._file.tell()
        return [json.loads(line) for line in lines]

    def sent(self, count: int) -> None:
        """Done with the `count` items that were taken last. Once all are, the files shrink to nothing."""
        with self._lock:
            self._sent = self._taken
            self.pending -= count
            if self.pending == 0:
                self._file.truncate(len(self._head))
                self._sent = self._taken = len(self._head)
            self._write_mark()

    def close(self) -> None:
        """Close the files, and remove them where nothing is left in them."""
        with self._lock:
            self._file.close()
            if self.pending == 0:
                self.path.unlink(missing_ok=True)
                self._mark.unlink(missing_ok=True)

    def _go_on(self) -> int:
        """Where the first item lies that was not sent."""
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
        # A kill between emptying the file and saying so leaves a mark behind its end.
        return sent if len(self._head) <= sent <= whole else len(self._head)

    def _count(self, start: int) -> int:
        self._file.seek(start)
        return sum(1 for _ in self._file)

    def _write_mark(self) -> None:
        scratch = self._mark.with_name(f".{self._mark.name}")
        scratch.write_text(str(self._sent), encoding="ascii")
        scratch.replace(self._mark)
