"""Processor time of a worker process from its start to the end of its first training step, of one tree or of two in turns.

What the process does stands in tests/support/first_step.py: what a Ray worker does, with the demo's small configuration
on one thread. Times are user and system time of all its threads, which other work on the machine disturbs
less than the clock; the median of the runs is printed.

    python                                       the interpreter has started
    ray                                          a worker of Ray waits for work
    imports                                      what Ray sends to a worker is unpickled
    first step                                   one training step is done

Run: python -m tests.benchmarks.start_up [--against PATH [--against-python PATH/bin/python]] [--bytecode]

By default nothing is written: what has no bytecode is compiled in every run, as where PYTHONDONTWRITEBYTECODE is
set. With `--bytecode` each side's modules are compiled once, before the runs, into a folder of its own.
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
    """A tree, the Python that runs it, and what its runs took."""

    tree: Path
    python: str
    folder: Path
    bytecode: bool
    runs: list[dict[str, float]] = field(default_factory=list)

    def call(self, part: str) -> str:
        """Run a part of first_step.py in the tree."""
        environment = {**os.environ, "PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "" if self.bytecode else "1"}
        if self.bytecode:
            environment |= {"PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}
        command = [self.python, str(FIRST_STEP), part, str(self.folder)]
        return subprocess.run(
            command, cwd=self.tree, env=environment, check=True, stdout=subprocess.PIPE
        ).stdout.decode()

    def prepare(self) -> None:
        """Write what the runs need, and with `bytecode` compile what they import."""
        self.folder.mkdir()
        self.call("prepare")
        if self.bytecode:
            self.call("run")

    def run(self) -> None:
        """Start one worker."""
        self.runs.append(json.loads(self.call("run").splitlines()[-1])["processor_s"])

    def row(self) -> str:
        """The medians, one column a part."""
        return "".join(f"{statistics.median(run[part] for run in self.runs):12.2f}" for part in self.runs[0])


def main() -> None:
    """Print what PERFORMANCE.md records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--against-python", default=sys.executable, help="the Python that runs it")
    parser.add_argument("--bytecode", action="store_true")
    arguments = parser.parse_args()

    environment = describe_environment()
    print(
        f"commit {environment['commit']}{' and changes' if environment['dirty'] else ''}, {time.strftime('%Y-%m-%d')}"
    )
    with tempfile.TemporaryDirectory(prefix="sldml-start-up-") as folder:
        sides = [Side(ROOT, sys.executable, Path(folder) / "this", arguments.bytecode)]
        if arguments.against is not None:
            tree = arguments.against.resolve()
            sides.append(Side(tree, arguments.against_python, Path(folder) / "other", arguments.bytecode))
        for side in sides:
            side.prepare()
        for _ in range(arguments.runs):
            for side in sides:
                side.run()
    print(f"{'processor seconds, median':<40}" + "".join(f"{part:>12}" for part in sides[0].runs[0]))
    for side in sides:
        print(f"{side.tree!s:<40}{side.row()}")
    if len(sides) == 2:
        totals = [[run["first step"] for run in side.runs] for side in sides]
        ratios = [this / other for this, other in zip(*totals, strict=True)]
        print(
            f"this / other: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
