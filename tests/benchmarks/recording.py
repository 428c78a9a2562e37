"""What a trial waits for when it reports: an event in the journal, while MLflow and Optuna's file follow it.

    python -m tests.benchmarks.recording [--trials N] [--epochs N]

Prints the time of `Recorder.record` in milliseconds, alone and with both followers, and the ratio of the medians last.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.made_history import epoch, search_begun

from sldml.config.space_file import read_space
from sldml.journal import History, Journal, TrialEnded, TrialEpoch, TrialStarted
from sldml.search.optuna_journal import OptunaJournal
from sldml.search.recorder import Recorder
from sldml.search.study import Study
from sldml.tracking import Tracker, check, default_artifact_root, default_uri

SPACE = read_space("demo", ["search.sampler=random"])


class Silent:
    """A watcher that shows nothing."""

    def happened(self, event: object, history: History) -> None: ...


def record_all(folder: Path, num_trials: int, num_epochs: int, *, followed: bool) -> tuple[list[float], float]:
    """Milliseconds of each event, and seconds until the followers have caught up."""
    begun, study = search_begun(), Study(SPACE, earlier=[], seed=0)
    recorder = Recorder(Journal(folder / "journal.jsonl"), History(), Silent())  # type: ignore[arg-type]
    followers: list[Tracker | OptunaJournal] = []
    if followed:
        check(default_uri(folder.parent))
        root = default_artifact_root(folder.parent)
        followers = [Tracker(folder, default_uri(folder.parent), begun, artifact_root=root)]
        followers.append(OptunaJournal(folder, SPACE, "made"))
    events: list[object] = [begun]
    for number in range(num_trials):
        name = f"t{number:04d}"
        proposal = study.propose(name, lambda name=name: name)
        assert proposal is not None
        events.append(TrialStarted(trial_id=name, params=proposal["params"], config=proposal["config"]))
        more = {f"train/loss_{i}": 0.5 for i in range(12)}
        events += [TrialEpoch(trial_id=name, **epoch(e, 0.5, **more).model_dump()) for e in range(1, num_epochs + 1)]
        events.append(TrialEnded(trial_id=name, state="completed"))
    took = []
    for event in events:
        started = time.perf_counter()
        recorder.record(event)  # type: ignore[arg-type]
        took.append(1000 * (time.perf_counter() - started))
    started = time.perf_counter()
    for follower in followers:
        follower.close(600.0)
    return took, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    medians = []
    for followed in (False, True):
        with tempfile.TemporaryDirectory() as scratch:
            took, left_s = record_all(Path(scratch) / "made", given.trials, given.epochs, followed=followed)
        middle, high = np.percentile(took, [50, 99])
        medians.append(middle)
        tail = f", {left_s:.1f} s more until both have caught up" if followed else ""
        name = "with MLflow and Optuna's file" if followed else "journal alone"
        print(f"{name}: {len(took)} events, median {middle:.3f} ms, 99th percentile {high:.3f} ms{tail}")
    print(f"ratio of the medians: {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main()
