"""A command in a pseudo-terminal of its own, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sldml.interruption import _SAME_PRESS_S as PAUSE_S
from sldml.interruption import descendants, parents
from support.running import COMMAND, ROOT, default_interrupts

CTRL_C = b"\x03"


class Terminal:
    """`launch/tune.py` in a terminal; its whole output is kept."""

    def __init__(self, *arguments: Any, width: int = 100) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            default_interrupts()
            os.chdir(ROOT)
            os.execvpe(COMMAND[0], [*COMMAND, *map(str, arguments)], {**os.environ, "TERM": "xterm-256color"})
        self.pid = pid
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything so far, without colours and cursor movements."""
        text = b"".join(self._chunks).decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    @property
    def line(self) -> str:
        """Everything so far as one line: the terminal may break a message anywhere."""
        return " ".join(self.text.split())

    def wait_for(self, condition: Callable[[], object], timeout_s: float = 400.0) -> None:
        """Wait until `condition()` holds while the command runs."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert self._reader.is_alive(), f"ended early:\n{self.text}"
            assert time.monotonic() < end, f"waited too long:\n{self.text[-3000:]}"
            time.sleep(0.05)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._fd, keys)

    def press_twice(self, keys: bytes) -> None:
        """Type twice, with a pause that is long enough for two presses not to count as one."""
        self.press(keys)
        time.sleep(2 * PAUSE_S)
        self.press(keys)

    def below(self) -> set[int]:
        """The processes that the command has started, and those that these have started."""
        return descendants(self.pid, parents())

    def end(self, timeout_s: float = 200.0) -> int:
        """Wait for its end; its exit status."""
        self._reader.join(timeout_s)
        assert not self._reader.is_alive(), f"it does not end:\n{self.text[-3000:]}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it and everything below it, if it still runs."""
        if self._reader.is_alive():
            for pid in (*self.below(), self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _read(self) -> None:
        while True:
            try:
                if select.select([self._fd], [], [], 1.0)[0]:
                    self._chunks.append(os.read(self._fd, 65536))
            except OSError:  # the other end is closed
                return


def assert_gone(processes: set[int], timeout_s: float = 60.0) -> None:
    """Wait until none of these processes is left."""
    end = time.monotonic() + timeout_s
    while left := processes & parents().keys():
        assert time.monotonic() < end, f"processes were left behind: {left}"
        time.sleep(0.05)
