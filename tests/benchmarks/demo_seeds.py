"""What the demo ships, over several seeds of its synthetic recordings, against DTW without training.

Run: python -m tests.benchmarks.demo_seeds [--seeds 0 1 2] [--folder results/demo_seeds]

Each seed has other bodies, actions and recordings, and is a whole search of `--space demo`. A seed that is done already
is read from its summary.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sldml.search.environment import describe_environment
from tests.benchmarks.measure import ROOT

BASELINE = "dtw_1nn"


def main() -> None:
    """Print a line for each seed, and how often what ships is at least as good as DTW."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "demo_seeds")
    arguments = parser.parse_args()
    environment = describe_environment()
    print(f"commit {environment.commit}, {environment.cores} cores, {time.strftime('%Y-%m-%d')}")
    print("seed  ships           sealed test    DTW   difference   trained, each seed        spread   minutes")
    differences = []
    for seed in arguments.seeds:
        summary, seconds = _search(seed, arguments.folder)
        shipped, dtw = summary["shipped"], summary["baselines"][BASELINE]["test"]
        seeds = summary["final"][0]["test_accuracy"]["values"] if summary["final"] else []
        differences.append(shipped["accuracy"] - dtw)
        name = shipped.get("trial_id") or shipped["candidate"]["baseline"]
        values = ", ".join(f"{value:.3f}" for value in seeds)
        print(
            f"{seed:>4}  {name:<14}{shipped['accuracy']:>13.3f}{dtw:>7.3f}{differences[-1]:>+13.3f}   {values:<24}"
            f"{np.ptp(seeds) if seeds else 0.0:>8.3f}{seconds / 60:>10.1f}",
            flush=True,
        )
    least = sum(difference >= 0 for difference in differences)
    print(f"at least DTW in {least} of {len(differences)}; mean difference {np.mean(differences):+.3f}")


def _search(seed: int, folder: Path) -> tuple[dict[str, Any], float]:
    """The summary of the search, and its wall time."""
    file, name = folder / f"{seed}.json", f"seed-{seed}"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["--space", "demo", "--name", name, "--set", f"data.seed={seed}"]
        command += ["--storage", str(folder), "--summary", str(file)]
        subprocess.run([sys.executable, "launch/tune.py", *command], cwd=ROOT, check=True, capture_output=True)
    summary: dict[str, Any] = json.loads(file.read_text())
    return summary, float(summary["timing"]["wall_s"])


if __name__ == "__main__":
    main()
