"""Ctrl-C handling: the first ends a command in order, the second stops it at once. SIGTERM counts as the first.

A separate thread receives signals through the interpreter's wake-up pipe, because Python runs no handler while the main
thread is in a long call (a matrix product, the start of Ray).
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
"""Some wrappers forward a Ctrl-C that the process already got from the terminal: within this time, it counts once."""
_LAST_LINE_S = 1.0
"""Longest wait for the last line, which a paused terminal (Ctrl-S, a pager) may block."""
_FAILED, _INTERRUPTED = 1, 130


class Interruption:
    """How this process stops on a signal. Use the only instance, `interruption`, because signals are per process."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._signalled_at: float | None = None
        self._raised = self._closing = False
        self.failure: str | None = None
        """Why the work was interrupted, if not by a signal from outside."""
        self._failure_received = False
        self._announced = threading.Event()
        self._print_line: Callable[[str], None] | None = None
        self._stopping: Callable[[], str] = str
        self._resume: Callable[[], str] = str

    def install(self) -> Callable[[], None]:
        """Handle SIGINT and SIGTERM from now on; returns a function that undoes it. Call it in the main thread.

        SIGINT stays ignored if the process was started that way (`nohup`, the background of a script).
        """
        self._reset()
        signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._raise) for number in signals}
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        pipe_before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(read_end,), name="interruptions", daemon=True).start()

        # Registered first, so that it runs after all other exit handlers.
        atexit.register(_ignore, signals)

        def undo() -> None:
            atexit.unregister(_ignore)
            signal.set_wakeup_fd(pipe_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(write_end)

        return undo

    @contextmanager
    def announced(
        self, print_line: Callable[[str], None], *, stopping: Callable[[], str], resume: Callable[[], str]
    ) -> Iterator[None]:
        """In this context, Ctrl-C immediately prints what happens next.

        Args:
            print_line: Prints a line; called from another thread.
            stopping: What happens after the first Ctrl-C.
            resume: How to resume after a stop.
        """
        self._print_line, self._stopping, self._resume = print_line, stopping, resume
        yield
        # Not reset after an exception, because `closing_line` is called after it.
        self._print_line, self._stopping, self._resume = None, str, str

    def check(self) -> None:
        """Stop here if a signal arrived; an exception raised in a handler can be lost in third-party code.

        Raises:
            KeyboardInterrupt: a signal arrived.
        """
        if self._signalled_at is not None and not self._closing:
            raise KeyboardInterrupt

    def fail(self, reason: str, thread: threading.Thread) -> None:
        """Interrupt the work of `thread` from another thread, because it cannot go on.

        A thread other than the main one has to call `check`, because Python delivers signals to the main thread.
        """
        self.failure = reason
        if self._closing or self._signalled_at is not None:
            self._failure_received = True
            return
        self._signalled_at = time.monotonic()
        # A process in the background of a script ignores SIGINT.
        heard = [s for s in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(s))]
        if thread is threading.main_thread() and heard:
            signal.pthread_kill(thread.ident or 0, heard[0])

    def mark_working(self) -> None:
        """Work begins, perhaps after other work in the same process, which may have failed."""
        if self.failure is not None:
            self._signalled_at = None
        self._closing, self._failure_received, self.failure = False, False, None

    def mark_closing(self) -> None:
        """The command is ending: from now on the first Ctrl-C only prints a line."""
        self._closing = True

    @property
    def is_closing(self) -> bool:
        """Whether the command is ending."""
        return self._closing

    def give_up(self) -> NoReturn:
        """End the process after `fail`, where its work does not end."""
        self._stop_at_once(f"failed: {self.failure}", _FAILED)

    def closing_line(self) -> str:
        """The last line of an interrupted command, after the announcement was printed."""
        if self._raised and self._print_line is not None:
            self._announced.wait(_LAST_LINE_S)
        return f"interrupted; {resume}" if (resume := self._resume()) else "interrupted"

    def _raise(self, number: int, frame: Any) -> None:
        """The handler in the main thread: the first signal interrupts the work, but not the closing."""
        if not (self._closing or self._raised):
            self._raised = True
            raise KeyboardInterrupt

    def _listen(self, pipe: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(pipe, "rb", buffering=0) as signals:
            while numbers := signals.read(64):
                for number in numbers:
                    if number in (signal.SIGINT, signal.SIGTERM):
                        self._receive(number)

    def _receive(self, number: int) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            if self._print_line is not None:
                state = "termination requested" if number == signal.SIGTERM else "stopping"
                # Unless this signal itself interrupted the work.
                state = "already ending" if self._closing and not self._raised else state
                line = f"{state}: {self._stopping()}; press Ctrl-C again to stop at once"
                # In a thread, so that a paused terminal does not block a second Ctrl-C.
                threading.Thread(target=self._announce, args=(self._print_line, line), daemon=True).start()
        elif self.failure is not None and not self._failure_received:
            self._failure_received = True  # its own signal
        elif number == signal.SIGINT and now - self._signalled_at > _SAME_PRESS_S:
            self._stop_at_once()

    def _announce(self, print_line: Callable[[str], None], line: str) -> None:
        print_line(line)
        self._announced.set()

    def _stop_at_once(self, reason: str = "stopped at once", status: int = _INTERRUPTED) -> NoReturn:
        kill_descendants()
        resume = self._resume()
        line = f"{reason}; {resume}" if resume else reason
        # The live table hides the cursor and leaves it at the end of its last line.
        start = "\n\x1b[?25h" if sys.__stderr__ is not None and sys.__stderr__.isatty() else ""
        last = threading.Thread(target=os.write, args=(2, f"{start}{line}\n".encode()), daemon=True)
        last.start()
        last.join(_LAST_LINE_S)
        os._exit(status)


interruption = Interruption()


def _ignore(signals: list[signal.Signals]) -> None:
    """Ignore signals while the interpreter exits, where they would only change the exit status."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def _forget_pipe() -> None:
    """Detach a forked child from its parent's wake-up pipe."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_pipe)


# ---------------------------------------------------------------------------------------------------- processes


def kill_descendants() -> None:
    """Kill all descendants of this process.

    They are stopped first, until no new ones appear: a process started while its parent is killed would not be found.
    """
    stopped: set[int] = set()
    while found := descendants(os.getpid(), parents()) - stopped:
        for pid in found:
            _send(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        _send(pid, signal.SIGKILL)


def descendants(pid: int, parent_of: dict[int, int]) -> set[int]:
    """All descendants of `pid`, without itself."""
    found: set[int] = set()
    generation = {pid}
    while generation:
        generation = {child for child, parent in parent_of.items() if parent in generation} - found
        found |= generation
    return found


def parents(proc: Path = Path("/proc")) -> dict[int, int]:
    """The parent of every visible process of this machine, by process id."""
    if not (proc / "self" / "stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                found[int(folder.name)] = parent_in(folder.joinpath("stat").read_text(errors="replace"))
    return found


def parent_in(stat: str) -> int:
    """The parent in the text of `/proc/<pid>/stat`: the second field after the name (which may contain anything)."""
    return int(stat.rpartition(")")[2].split()[1])


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
