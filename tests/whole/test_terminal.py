"""A search in a real terminal: what a person sees, and what Ctrl-C does, once and twice."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running import COMMAND, ROOT, SMALL, events, tune

from sldml.interruption import descendants, parents
from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.alone, pytest.mark.timeout(1500)]
LONG = [*SMALL, "--max-epochs", "60", "--set", "search.scheduler=none", "--concurrent", "1"]
CTRL_C = b"\x03"


class Terminal:
    """The command in a terminal of its own, whose whole output is kept."""

    def __init__(self, *arguments: Any, width: int = 100) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            # A shell that put the tests into the background has them ignore SIGINT.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(ROOT)
            os.execvpe(COMMAND[0], [*COMMAND, *map(str, arguments)], {**os.environ, "TERM": "xterm-256color"})
        self.pid = pid
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything so far, without colours and movements of the cursor."""
        text = b"".join(self._chunks).decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 400.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert self._reader.is_alive(), f"ended early:\n{self.text}"
            assert time.monotonic() < end, f"waited too long:\n{self.text[-3000:]}"
            time.sleep(0.05)

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self, timeout_s: float = 200.0) -> int:
        self._reader.join(timeout_s)
        assert not self._reader.is_alive(), f"it does not end:\n{self.text[-3000:]}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> None:
        while True:
            try:
                if select.select([self._fd], [], [], 1.0)[0]:
                    self._chunks.append(os.read(self._fd, 65536))
            except OSError:  # the other end is closed
                return


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: Any, **settings: Any) -> Terminal:
        opened.append(Terminal(*arguments, **settings))
        return opened[-1]

    yield open_one
    for each in opened:
        if each._reader.is_alive():
            for pid in (*descendants(each.pid, parents()), each.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)


def gone(pids: set[int], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not pids & parents().keys():
            return True
        time.sleep(0.05)
    return False


def count(journal: Path, event: str) -> int:
    return sum(e["event"] == event for e in events(journal))


def test_the_table_shows_what_runs_and_every_stage(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    command = terminal(*SMALL, "--name", "seen", "--storage", tmp_path, width=80)
    assert command.end(timeout_s=600.0) == 0, command.text[-3000:]
    text = command.text
    for stage in ("loading libraries", "starting Ray", "baselines ", "trials ", "final models ", "class folds "):
        assert stage in text, stage
    assert "sealed test: baselines" in text or "sealed test · " in text
    assert re.search(r"trials ━*─+ [0-3]/4 · running [12]", text)
    assert re.search(r"^t000\d +\d/3 .*small_cnn", text, re.MULTILINE), "no row of a running trial"
    assert re.search(r"\d+ epochs/min", text)
    assert "report:" in text.splitlines()[-1]


def test_ctrl_c_once_ends_in_order(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    journal = tmp_path / "once" / "journal.jsonl"
    command = terminal(*LONG, "--name", "once", "--storage", tmp_path)
    command.wait_for(lambda: count(journal, "epoch") >= 5)
    below = descendants(command.pid, parents())
    command.press(CTRL_C)
    pressed = time.monotonic()
    command.wait_for(lambda: "press Ctrl-C again to stop at once" in command.text.replace("\n", " "), timeout_s=10.0)
    assert time.monotonic() - pressed < 10.0
    assert command.end() == 130
    assert "to go on: python launch/tune.py --resume once" in command.text
    assert "Traceback" not in command.text
    assert (tmp_path / "once" / "report.html").exists()
    assert gone(below, within_s=10.0)


def test_ctrl_c_in_each_stage_after_the_trials_ends_in_order_and_keeps_what_is_done(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    folder = tmp_path / "later"
    call = [*SMALL, "--max-epochs", "12", "--set", "search.scheduler=none", "--name", "later", "--concurrent", "1"]
    for stage in (r"final models \S+ [1-3]/4", r"class folds \S+ [1-9]\d*/\d+", "sealed test"):
        command = terminal(*call, "--storage", tmp_path)
        command.wait_for(lambda: re.search(stage, command.text))  # noqa: B023 - called here
        below = descendants(command.pid, parents())
        command.press(CTRL_C)
        assert command.end() == 130, command.text[-3000:]
        assert "to go on: python launch/tune.py --resume later" in command.text
        assert "Traceback" not in command.text
        assert (folder / "report.html").exists()
        assert not (folder / "model").exists(), "a model that nothing has tested"
        assert gone(below, within_s=10.0)
        call = ["--resume", "later", "--concurrent", "1"]
    journal = folder / "journal.jsonl"
    finals = {key: record.epochs for key, record in read_history(journal).finals.items()}
    again = tune(*call, "--storage", tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / "model").is_dir()
    assert [count(journal, event) for event in ("trial_ended", "final_ended", "test")] == [4, 4, 1], (
        "something ran twice"
    )
    assert {key: record.epochs for key, record in read_history(journal).finals.items()} == finals
    for record in read_history(journal).finals.values():
        assert [e["epoch"] for e in record.epochs] == list(range(1, len(record.epochs) + 1))


@pytest.mark.parametrize("stage", ["libraries", "Ray", "baselines", "trials"])
def test_ctrl_c_twice_stops_at_once_and_the_search_goes_on(
    terminal: Callable[..., Terminal], tmp_path: Path, stage: str
) -> None:
    journal = tmp_path / "twice" / "journal.jsonl"
    command = terminal(*LONG, "--name", "twice", "--storage", tmp_path)
    reached = {
        "libraries": lambda: "loading libraries" in command.text,
        "Ray": lambda: "starting Ray" in command.text,
        "baselines": lambda: count(journal, "stage") >= 1,
        "trials": lambda: count(journal, "epoch") >= 3,
    }[stage]
    command.wait_for(reached)
    below = descendants(command.pid, parents())
    command.press(CTRL_C)
    time.sleep(0.5)
    command.press(CTRL_C)
    # Two seconds on a machine that has time for it; the search would have gone on for minutes.
    assert command.end(timeout_s=15.0) == 130
    assert gone(below, within_s=10.0), "processes were left behind"
    if stage in ("libraries", "Ray"):  # here once may have been enough
        assert re.search("(stopped at once|interrupted); nothing had begun: give the command again", command.text)
        return
    assert "stopped at once; to go on: python launch/tune.py --resume twice" in command.text, command.text[-1500:]
    before = read_history(journal)
    assert not before.trials or any(record.state == "running" for record in before.trials.values())
    again = tune("--resume", "twice", "--storage", tmp_path, "--no-final")
    assert again.returncode == 0, again.stdout + again.stderr
    after = read_history(journal)
    assert len(after.attempts) == len(before.attempts) + 1
    assert [record.state for record in after.trials.values()] == ["completed"] * 4
    for record in after.trials.values():
        assert [e["epoch"] for e in record.epochs] == list(range(1, 61))
    for trial_id, record in before.trials.items():
        assert after.trials[trial_id].params == record.params
