"""Ctrl-C once and twice, heard by a command of its own: what it prints, how it ends, what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import default_interrupts

from sldml.interruption import Interruption, descendants, interruption, parent_in, parents

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).resolve().parents[1]
COMMAND = """
import subprocess, sys, time
from sldml.commands.command import run_command
from sldml.interruption import interruption

def work():
    '''Work.'''
    say = lambda line: print(line, flush=True)
    with interruption.announced(say, stopping=lambda: "the report is written", resume=lambda: "to resume: again"):
        nested = "import subprocess; subprocess.run(['sleep', '300'])"
        child = subprocess.Popen([sys.executable, "-c", nested], stdout=-3, stderr=-3)  # no pipe kept open
        print(child.pid, flush=True)
        {body}

run_command(work, "")
"""
BUSY = "time.sleep(300)"
IN_ORDER = """
        try:
            time.sleep(300)
        except KeyboardInterrupt:
            interruption.mark_closing()
            time.sleep(1.0)
            child.kill()
            print("in order", flush=True)
            sys.exit(130)
"""
STUCK = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)  # in it, no handler of Python's runs"
ENDING = """
        interruption.mark_closing()
        print("ending", flush=True)
        time.sleep(0.9)
        child.kill()
        print("done", flush=True)
"""


class Started:
    """A command that runs, in a process group of its own as in a terminal."""

    def __init__(self, body: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(body=body)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=default_interrupts,
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.child = int(self.out.readline())
        time.sleep(0.3)

    def press(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        lines = self.out.read().splitlines()
        return self.process.wait(), lines


@pytest.fixture
def started() -> Iterator[type[Started]]:
    begun: list[Started] = []

    class Remembered(Started):
        def __init__(self, body: str) -> None:
            super().__init__(body)
            begun.append(self)

    yield Remembered
    for each in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()
        each.out.close()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


TOLD = "stopping: the report is written; press Ctrl-C again to stop at once"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_it_says_so_and_ends_in_order(started: type[Started], number: signal.Signals):
    command = started(IN_ORDER)
    command.press(number)
    told = command.out.readline().rstrip()
    assert told == (TOLD if number == signal.SIGINT else TOLD.replace("stopping", "termination requested"))
    assert command.process.poll() is None, "it was told before the end, not with it"
    assert command.end() == (130, ["in order"])


def test_a_command_that_does_nothing_about_it_says_how_to_go_on(started: type[Started]):
    command = started(BUSY)
    command.press()
    status, lines = command.end()
    os.kill(command.child, signal.SIGKILL)
    assert (status, lines) == (130, [TOLD, "interrupted; to resume: again"])


@pytest.mark.parametrize("body", [IN_ORDER, STUCK, ENDING.replace("sleep(0.9)", "sleep(300)")])
def test_twice_it_stops_at_once_with_all_that_it_started(started: type[Started], body: str):
    command = started(body)
    end = time.monotonic() + 30
    while len(below := descendants(command.process.pid, parents())) < 2 and time.monotonic() < end:
        time.sleep(0.02)  # until the child has its own child
    assert command.child in below
    assert len(below) >= 2, "the child's own child"
    command.press()
    time.sleep(0.6)
    command.press()
    status, lines = command.end()  # else it would continue for minutes
    assert (status, lines[-1]) == (130, "stopped at once; to resume: again")
    assert lines[-2].endswith("press Ctrl-C again to stop at once")
    deadline = time.monotonic() + 30.0
    while any(map(alive, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []


def test_one_press_that_arrives_twice_is_one(started: type[Started]):
    """A wrapper passed it on, or `timeout` sent SIGTERM to the process and to its group."""
    command = started(IN_ORDER)
    command.press()
    time.sleep(0.1)
    command.press()
    time.sleep(0.4)
    command.press(signal.SIGTERM)
    command.press(signal.SIGTERM)
    assert command.end() == (130, [TOLD, "in order"])


def test_once_while_it_ends_anyway_changes_nothing(started: type[Started]):
    command = started(ENDING)
    assert command.out.readline() == "ending\n"
    command.press()
    assert command.end() == (0, [TOLD.replace("stopping", "already ending"), "done"])


def test_a_signal_to_a_forked_child_is_none_to_its_parent(started: type[Started]):
    fork = """
        import os
        if (pid := os.fork()) == 0:
            time.sleep(300)
        time.sleep(0.3); os.kill(pid, 15); time.sleep(0.5); child.kill()
        print("not stopped", flush=True)
    """
    status, lines = started(fork).end()
    assert status == 0
    assert "not stopped" in lines  # what the forked child says of its own end comes before or after
    assert not any(line.startswith(("termination", "stopping")) for line in lines)


def test_an_interruption_that_was_lost_is_raised_again():
    lost = Interruption()
    lost.check()
    lost._receive(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        lost.check()
    lost.mark_closing()
    lost.check()


FAILING = """
        import threading
        threading.Timer(0.2, interruption.fail, ("the head is gone", threading.current_thread())).start()
        try:
            time.sleep(300)
        except KeyboardInterrupt:
            child.kill()
            print(interruption.failure, flush=True)
            sys.exit(1)
"""
STUCK_AND_FAILING = f"""
        import threading
        threading.Timer(0.2, interruption.fail, ("the head is gone", threading.current_thread())).start()
        threading.Timer(0.5, interruption.give_up).start()
        {STUCK}
"""


@pytest.mark.parametrize("before", ["", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"])
def test_work_that_cannot_go_on_is_interrupted_by_another_thread(started: type[Started], before: str):
    """Also where SIGINT is ignored, as in the background of a script."""
    command = started(f"{before}{FAILING}")
    assert command.end() == (1, ["the head is gone"])


def test_work_that_cannot_be_interrupted_is_given_up(started: type[Started]):
    command = started(STUCK_AND_FAILING)
    assert command.end() == (1, ["failed: the head is gone; to resume: again"])
    assert not alive(command.child)


def test_work_in_another_thread_finds_out_when_it_checks():
    own = Interruption()
    own.fail("the head is gone", threading.Thread())
    with pytest.raises(KeyboardInterrupt):
        own.check()


def test_work_after_a_failure_in_the_same_process_is_not_interrupted_by_it():
    own = Interruption()
    own.fail("the head is gone", threading.Thread())
    own.mark_closing()
    own.mark_working()
    own.check()
    assert own.failure is None
    own.fail("again", threading.Thread())
    with pytest.raises(KeyboardInterrupt):
        own.check()


def test_a_failure_does_not_interrupt_what_is_ending_already():
    own = Interruption()
    own.mark_closing()
    own.fail("the head is gone", threading.main_thread())
    own.check()
    assert own.failure == "the head is gone"


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        undo = interruption.install()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        undo()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_processes_below_another():
    parent_of = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20}
    assert descendants(10, parent_of) == {11, 12}
    assert descendants(1, parent_of) == {10, 11, 12, 20, 21}
    assert descendants(12, parent_of) == set()


@pytest.mark.parametrize("name", ["python", "a) S 7 (b", "ray::train trial"])
def test_the_parent_is_found_after_any_name(name: str):
    assert parent_in(f"4242 ({name}) S 17 4242 4242 0 -1 4194304") == 17


def test_this_process_has_its_parent():
    assert parents()[os.getpid()] == os.getppid()
