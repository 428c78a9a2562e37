"""Starting the command in tests, and a search small enough for them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--space", "demo", "--trials", "4", "--max-epochs", "3", "--top-k", "2", "--final-seeds", "2"),
    *("--set", "data.num_auxiliary=10", "--set", "protocol.num_auxiliary=10"),
    *("--set", "data.recordings_per_class=5", "--set", "encoder.small_cnn.width=8"),
    *("--set", "search.grace_period=1"),
]
COMMAND = [sys.executable, str(ROOT / "launch" / "tune.py")]


def tune(*arguments, cwd=ROOT, timeout=1500, **environment):
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def default_interrupts():
    """For a child process: a shell that put the tests into the background has them ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments, log: Path, **environment):
    """Start the command in a process group of its own; what it prints goes to `log`."""
    with log.open("w") as file:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=default_interrupts,
        )


def events(journal: Path):
    """The whole events of a journal so far."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text().split("\n")[:-1]]


def wait_for(condition, process, log: Path, timeout_s=1200):
    """Wait until `condition()` holds while `process` runs."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, f"ended early:\n{log.read_text()}"
        assert time.monotonic() < end, f"waited too long:\n{log.read_text()}"
        time.sleep(0.05)
