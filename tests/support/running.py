"""Starting the command in tests, and a search small enough for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    *("--space", "demo", "--trials", "4", "--max-epochs", "2", "--top-k", "1", "--final-seeds", "1"),
    *("--set", "data.num_auxiliary=10", "--set", "protocol.num_auxiliary=10"),
    *("--set", "data.recordings_per_class=4", "--set", "representation.steps=32"),
    *("--set", "encoder.small_cnn.width=8", "--set", "evaluation.num_draws=20"),
    *("--set", "normalize.view=face_camera", "--set", "normalize.center=every_frame"),
    *("--set", "search.grace_period=1", "--set", "search.finalists=1", "--set", "search.fold_repeats=1"),
    *("--concurrent", "1"),
]
"""Arguments of a search that trains for less than a second: starting its processes is what takes time."""
COMMAND = [sys.executable, str(ROOT / "launch" / "tune.py")]


def launch(
    script: str, *arguments: object, cwd: Path = ROOT, timeout_s: float = 900.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts in `launch/` to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "launch" / script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def tune(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `launch/tune.py` to its end."""
    return launch("tune.py", *arguments, **settings)


def default_interrupts() -> None:
    """For a child process: a shell that put the tests into the background has them ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments: object, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start `launch/tune.py` in a process group of its own; what it prints goes to `log`."""
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


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything in its group at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def events(journal: Path) -> list[dict[str, Any]]:
    """The complete events of a journal so far."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text().split("\n")[:-1]]


def count(journal: Path, event: str, **fields: Any) -> int:
    """The number of events of this name with these fields."""
    return sum(e["event"] == event and fields.items() <= e.items() for e in events(journal))


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[bytes], log: Path, timeout_s: float = 600.0
) -> None:
    """Wait until `condition()` holds while `process` runs."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, f"ended early:\n{log.read_text()}"
        assert time.monotonic() < end, f"waited too long:\n{log.read_text()}"
        time.sleep(0.05)


def tiny_arguments() -> dict[str, Any]:
    """`TINY` as arguments of `sldml.tune`."""
    pairs = list(zip(TINY[::2], TINY[1::2], strict=True))
    settings = dict(value.split("=") for option, value in pairs if option == "--set")
    others = {option[2:].replace("-", "_"): yaml.safe_load(value) for option, value in pairs if option != "--set"}
    return {**others, "settings": {path: yaml.safe_load(value) for path, value in settings.items()}}
