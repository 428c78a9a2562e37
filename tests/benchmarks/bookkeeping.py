"""What the platform itself costs: trivial trials through search, journal, MLflow on SQLite and Optuna's file.

    python -m tests.benchmarks.bookkeeping [--trials N]

Prints the wall time of a trial in each tenth of the search, the driver's memory, and the ratio of the last tenth to the
second one last.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.made_history import search_begun

from sldml.commands.progress import ProgressPrinter
from sldml.config.space_file import read_space
from sldml.journal import ALL, OBJECTIVE, History, Journal, read_history
from sldml.search import pool, run
from sldml.search.cluster import Slots, connected
from sldml.search.optuna_journal import OptunaJournal
from sldml.search.recorder import Recorder
from sldml.search.scheduler import make_scheduler
from sldml.search.trainable import WARM_UP
from sldml.tracking import Tracker, check, default_artifact_root, default_uri


def trivial(config: dict[str, Any], job: Any) -> None:
    """A trial that reports one epoch."""
    while WARM_UP in config:
        tune.report({"state": "ready"})
        time.sleep(0.1)
    value = config["params"]["optimizer.lr"]
    tune.report({"epoch": 1, "val/accuracy": value, OBJECTIVE: value, "state": "completed"})


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sampler", default="tpe")
    arguments = parser.parse_args()
    num_trials = arguments.trials
    settings = [f"search.trials={num_trials}", "search.scheduler=none", f"search.sampler={arguments.sampler}"]
    space = read_space("demo", settings)
    pool.train = trivial
    with tempfile.TemporaryDirectory() as scratch, connected(None):
        root = Path(scratch)
        folder, uri, begun = root / "made", default_uri(root), search_begun(name="made")
        check(uri)
        journal = Journal(folder / "journal.jsonl")
        recorder = Recorder(journal, History(), ProgressPrinter())
        recorder.record(begun)
        tracker = Tracker(folder, uri, begun, artifact_root=default_artifact_root(root))
        dashboard = OptunaJournal(folder, space, "made")
        slots = Slots(count=2, cpus=1.0, gpus=0.0)
        scheduler = make_scheduler(space.search, 1, [])
        with pool.Pool(ray.put(None), slots, print) as processes:  # type: ignore[arg-type]
            run.run_trials({ALL: space}, scheduler, processes, recorder, num_trials=num_trials)
        ended = time.time()
        tracker.close(600.0)
        dashboard.close(600.0)
        caught_up_s = time.time() - ended
        times = sorted(trial.ended or 0.0 for trial in read_history(journal.path).trials.values())
    tenth = num_trials // 10
    each = [(times[i + tenth - 1] - times[i]) / (tenth - 1) for i in range(0, tenth * 10, tenth)]
    print("ms a trial, by tenths: " + " ".join(f"{1000 * value:.0f}" for value in each))
    print(
        f"driver {psutil.Process().memory_info().rss / 2**30:.2f} GiB; MLflow {caught_up_s:.1f} s after the last trial"
    )
    print(f"ratio of the last tenth to the second: {each[-1] / each[1]:.2f}")


if __name__ == "__main__":
    main()
