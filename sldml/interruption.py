"""Ctrl-C: once, and a command ends in order; twice, and it stops at once. SIGTERM, by which clusters end jobs, is once.

Signals are heard by a thread of their own, through the interpreter's wake-up pipe: the main thread may sit in a call
that lasts (a product of matrices, the start of Ray), and Python runs no handler before that returns.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

_SAME_PRESS_S = 0.3
"""Some wrappers pass Ctrl-C on to a process that has had it from the terminal: so soon, it is the same press."""
_LAST_LINE_S = 1.0
"""A terminal that is held (Ctrl-S, a pager) keeps the last line waiting; so long it may."""
_INTERRUPTED = 130


class Interruption:
    """What this process does when it is told to stop. There is one, `interruption`, for signals are the process's."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._asked: float | None = None
        self._raised = self._ending = False
        self._told = threading.Event()
        self._say: Callable[[str], None] | None = None
        self._stopping: Callable[[], str] = str
        self._resume: Callable[[], str] = str

    def heed(self) -> Callable[[], None]:
        """From now on SIGINT and SIGTERM are heard; returns what undoes it. Call it from the main thread.

        SIGINT stays ignored where the process was started so (`nohup`, the background of a script).
        """
        self._begin()
        signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._raise) for number in signals}
        heard, wake_up = os.pipe()
        os.set_blocking(wake_up, False)
        pipe_before = signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(heard,), name="interruptions", daemon=True).start()

        # Registered before all others, so that it comes after what they still do.
        atexit.register(_ignore, signals)

        def undo() -> None:
            atexit.unregister(_ignore)
            signal.set_wakeup_fd(pipe_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(wake_up)

        return undo

    @contextmanager
    def explained(
        self, say: Callable[[str], None], *, stopping: Callable[[], str], resume: Callable[[], str]
    ) -> Iterator[None]:
        """In this context, who presses Ctrl-C is told at once what happens.

        Args:
            say: Prints a line; called from another thread.
            stopping: What the first Ctrl-C leads to.
            resume: How to go on after a stop.
        """
        self._say, self._stopping, self._resume = say, stopping, resume
        yield
        # What is not undone by an exception: `last_words` are said after it.
        self._say, self._stopping, self._resume = None, str, str

    def check(self) -> None:
        """Stop here if that was asked for; an exception raised by a handler can be lost in other people's code.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        if self._asked is not None and not self._ending:
            raise KeyboardInterrupt

    def begin_to_end(self) -> None:
        """From now on the first Ctrl-C changes nothing but what is said: the command is ending anyway."""
        self._ending = True

    def last_words(self) -> str:
        """What a person who interrupted the command should know, once what happens was told."""
        if self._raised and self._say is not None:
            self._told.wait(_LAST_LINE_S)
        return f"interrupted; {resume}" if (resume := self._resume()) else "interrupted"

    def _raise(self, number: int, frame: Any) -> None:
        """In the main thread, after what it is in: the first signal breaks off the work, never the orderly end."""
        if not (self._ending or self._raised):
            self._raised = True
            raise KeyboardInterrupt

    def _listen(self, pipe: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(pipe, "rb", buffering=0) as heard:
            while numbers := heard.read(64):
                for number in numbers:
                    if number in (signal.SIGINT, signal.SIGTERM):
                        self._hear(number)

    def _hear(self, number: int) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            if self._say is not None:
                what = "told to stop" if number == signal.SIGTERM else "stopping"
                # Unless it was this very signal that made it end.
                then = "already ending" if self._ending and not self._raised else what
                line = f"{then}: {self._stopping()}; press Ctrl-C again to stop at once"
                # Where the terminal is held, a second Ctrl-C must still be heard.
                threading.Thread(target=self._tell, args=(self._say, line), daemon=True).start()
        elif number == signal.SIGINT and now - self._asked > _SAME_PRESS_S:
            self._stop_at_once()

    def _tell(self, say: Callable[[str], None], line: str) -> None:
        say(line)
        self._told.set()

    def _stop_at_once(self) -> NoReturn:
        kill_descendants()
        resume = self._resume()
        line = f"stopped at once; {resume}" if resume else "stopped at once"
        # The live table left the cursor hidden, at the end of its last line.
        start = "\n\x1b[?25h" if sys.__stderr__ is not None and sys.__stderr__.isatty() else ""
        last = threading.Thread(target=os.write, args=(2, f"{start}{line}\n".encode()), daemon=True)
        last.start()
        last.join(_LAST_LINE_S)
        os._exit(_INTERRUPTED)


interruption = Interruption()


def _ignore(signals: list[signal.Signals]) -> None:
    """Nothing is left to be stopped: a signal would only spoil the exit status, for its handler is taken away now."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def _forget_pipe() -> None:
    """A signal to a forked child is none to its parent, whose pipe it has."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_pipe)


# ---------------------------------------------------------------------------------------------------- processes


def kill_descendants() -> None:
    """Kill every process that this one has started, and what they have started.

    They are stopped first, and looked for until there are no more: what a process starts while its parent is killed
    would not be found.
    """
    stopped: set[int] = set()
    while found := descendants(os.getpid(), parents()) - stopped:
        for pid in found:
            _send(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        _send(pid, signal.SIGKILL)


def descendants(pid: int, parent_of: dict[int, int]) -> set[int]:
    """The processes below `pid`, which is not among them."""
    found: set[int] = set()
    generation = {pid}
    while generation:
        generation = {child for child, parent in parent_of.items() if parent in generation} - found
        found |= generation
    return found


def parents(proc: Path = Path("/proc")) -> dict[int, int]:
    """The parent of every process of this machine that can be seen, by process id."""
    if not (proc / "self" / "stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[int(folder.name)] = parent_in(folder.joinpath("stat").read_text(errors="replace"))
    return found


def parent_in(stat: str) -> int:
    """The parent in a text of `/proc/<pid>/stat`: the second field after the name, which may hold anything."""
    return int(stat.rpartition(")")[2].split()[1])


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
