"""Processor time of a worker process from its start to its first training step, in one tree or in two by turns.

The process runs tests/support/first_step.py: it does what a Ray worker does, with the demo's configuration on one
thread. Printed is the median over the runs of user and system time of all threads, from the start of the process to:

    python        the interpreter has started
    ray           Ray's worker module is imported
    imports       the trainable that Ray sends is unpickled
    first step    one training step is done

Run: python -m tests.benchmarks.start_up [--bytecode] [--against PATH [--against-python PYTHON]]

By default, no bytecode is written: modules without any are compiled in each run, as if PYTHONDONTWRITEBYTECODE were
set. With `--bytecode`, each side compiles its modules once, before the runs, into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sldml.search.environment import describe_environment

ROOT = Path(__file__).resolve().parents[2]
FIRST_STEP = ROOT / "tests" / "support" / "first_step.py"


@dataclass
class Side:
    """A tree, the Python that runs it, and the times of its runs."""

    name: str
    tree: Path
    python: str
    folder: Path
    bytecode: bool
    runs: list[dict[str, float]] = field(default_factory=list)

    def call(self, part: str) -> str:
        """Run a part of first_step.py in the tree, and return what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        environment.PYTHONDONTWRITEBYTECODE = "" if self.bytecode else "1"
        if self.bytecode:
            environment.PYTHONPYCACHEPREFIX = str(self.folder / "bytecode")
        command = [self.python, str(FIRST_STEP), part, str(self.folder)]
        done = subprocess.run(command, cwd=self.tree, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def prepare(self) -> None:
        """Write the files that the runs need, with `bytecode` also that of all modules."""
        self.folder.mkdir()
        self.call("prepare")
        if self.bytecode:
            self.call("run")

    def run(self) -> None:
        """Start one worker."""
        self.runs.append(json.loads(self.call("run").splitlines()[-1])["processor_s"])

    def row(self) -> str:
        """The medians, one column for each part."""
        medians = (statistics.median(run[part] for run in self.runs) for part in self.runs[0])
        return f"{self.name:<10}" + "".join(f"{seconds:12.2f}" for seconds in medians)


def main() -> None:
    """Print what PERFORMANCE.md records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--against-python", default=sys.executable, metavar="PYTHON", help="the Python that runs it")
    parser.add_argument("--bytecode", action="store_true")
    arguments = parser.parse_args()

    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}, {arguments.runs} runs")
    with tempfile.TemporaryDirectory(prefix="sldml-start-up-") as name:
        folder = Path(name)
        sides = [Side("this", ROOT, sys.executable, folder / "this", arguments.bytecode)]
        if arguments.against is not None:
            tree = arguments.against.resolve()
            sides.append(Side("other", tree, arguments.against_python, folder / "other", arguments.bytecode))
        for side in sides:
            side.prepare()
        for _ in range(arguments.runs):
            for side in sides:
                side.run()
    print(" " * 10 + "".join(f"{part:>12}" for part in sides[0].runs[0]))
    for side in sides:
        print(side.row())
    if arguments.against is not None:
        this, other = ([run["first step"] for run in side.runs] for side in sides)
        ratios = [a / b for a, b in zip(this, other, strict=True)]
        print(f"this / other: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
