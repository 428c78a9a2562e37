"""How fast: start-up. Run on a machine that does nothing else; see PERFORMANCE.md.

Reading is measured by tests/benchmarks/parsing.py, batches by tests/benchmarks/loading.py.

Run: python -m tests.benchmarks.measure
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sldml.search.environment import describe_environment

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """The best of a few calls: what else runs on the machine only ever adds."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def start_up() -> None:
    print(f"python, nothing imported          {seconds(lambda: python('-c', 'pass')):8.2f} s")
    for name, code in {
        "launch/tune.py --help": ("launch/tune.py", "--help"),
        "launch/tune.py --space demo --dry-run": ("launch/tune.py", "--space", "demo", "--dry-run"),
        "import sldml.training.trial (torch)": ("-c", "import sldml.training.trial"),
        "import sldml.pipeline (all)": ("-c", "import sldml.pipeline"),
    }.items():
        print(f"{name:<33} {seconds(lambda code=code: python(*code)):8.2f} s")


def main() -> None:
    """Print what PERFORMANCE.md records."""
    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"{platform.machine()}, {environment.cores} cores, Python {environment.python}, torch {torch.__version__}")
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}")
    start_up()


if __name__ == "__main__":
    main()
