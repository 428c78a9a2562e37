"""Faults of machines while trainings run: nothing is lost, nothing is taken for a result, and the search ends.

One search runs them all: each of its trials has a fault of its own.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from optuna.trial import TrialState
from ray import tune
from support.made_history import search_begun

from sldml.commands.progress import ProgressPrinter
from sldml.config.space_file import read_space
from sldml.config.training import EvaluationConfig
from sldml.errors import lacks_room
from sldml.journal import ALL, History, Journal, read_history
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.search import hanging, pool, run
from sldml.search.cluster import Slots, connected
from sldml.search.final import FinalTraining
from sldml.search.finalists import Finalists
from sldml.search.fold_stage import run_folds
from sldml.search.pool import Pool
from sldml.search.recorder import Recorder
from sldml.search.searcher import Proposals
from sldml.search.trainable import Job

pytestmark = pytest.mark.verify
SETTINGS = [
    *("search.scheduler=none", "train.max_epochs=3", "train.min_steps_per_epoch=1", "evaluation.num_draws=5"),
    *("representation.steps=32", "encoder.small_cnn.width=8", "normalize.view=face_camera"),
]
GOES_ON = {
    "t0001": "killed after its last report",
    "t0002": "checkpoint cut",
    "t0003": "hangs",
    "t0004": "no fault",
}
"""Ends in the same call."""
LOST = {"t0005": "killed again and again", "t0006": "bad disk"}
"""Ends in the next call."""
WRONG, FULL, SOUND = "t0007", "t0008", "t0004"
FAULTS = {
    **GOES_ON,
    **LOST,
    WRONG: "wrong configuration",
    FULL: "full disk",
    f"{SOUND} seed 1": "killed at its end",
    f"{SOUND} fold 2, repeat 1": "killed at its end",
}
REAL = ("killed after its last report", "checkpoint cut")
"""Trainings with these faults are real ones. The others are toys: their processes import little, and start quickly."""
NUM_EPOCHS = 3


def faulty(config: dict[str, Any], job: tuple[bytes, str]) -> None:
    """A training. What `FAULTS` says of it happens after one of its reports, as long as a file `faults` exists."""
    training = config.get("final") or config.get("fold")
    name = training.name if training is not None else config.get("trial_id", "warming up")
    fault, folder = FAULTS.get(name, "no fault"), Path(job[1])

    def report(metrics: dict[str, Any]) -> None:
        tune.report(metrics)
        if metrics.get("epoch") and (folder / "faults").exists():
            happen(fault, metrics["epoch"], folder / name, folder / "search" / "trials" / name / "last.pt")

    if fault in REAL or name == "warming up":
        from sldml.search import trainable

        module: Any = trainable
        module.tune = SimpleNamespace(report=report)
        trainable.train(config, pickle.loads(job[0]))
    else:
        try:
            for epoch in range(1, NUM_EPOCHS + 1):
                time.sleep(0.05)
                state = "completed" if epoch == NUM_EPOCHS else "running"
                report({"epoch": epoch, "state": state, "val/accuracy": 0.5})
        except RuntimeError as error:
            tune.report({"epoch": 0, "val/accuracy": 0.0, "state": "failed", "error": str(error)})


def happen(fault: str, epoch: int, happened: Path, checkpoint: Path) -> None:
    """The fault, after `epoch` was reported. Most happen once."""
    is_first = not happened.exists()
    match fault:
        case "killed after its last report" | "killed at its end" if epoch == NUM_EPOCHS and is_first:
            happened.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs" if epoch > 1 and is_first:
            happened.touch()
            time.sleep(600)
        case "checkpoint cut" if is_first:
            happened.touch()
            checkpoint.write_bytes(checkpoint.read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        case "killed again and again":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bad disk":
            raise OSError(errno.EIO, "Input/output error", f"{checkpoint} \udcff")
        case "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(checkpoint))
        case "wrong configuration":
            raise RuntimeError("a name \udcff that UTF-8 cannot hold")


class Faults:
    """A search of which each trial has a fault."""

    def __init__(self, folder: Path, prepared: PreparedSet, split: Split) -> None:
        self.folder, self.storage = folder, folder / "search"
        self.said: list[str] = []
        printer = ProgressPrinter()
        printer.say = self.said.append  # type: ignore[method-assign]
        self.recorder = Recorder(Journal(self.storage / "journal.jsonl"), History(), printer)
        self.recorder.record(search_begun())
        job = Job(str(self.storage), str(prepared.folder), None, split.development, 1)
        self.pool = Pool((pickle.dumps(job), str(folder)), Slots(2, 1.0, 0.0), self.said.append)  # type: ignore[arg-type]

    def call(self, num_trials: int, *, has_faults: bool) -> History:
        """Run trials; what the journal has afterwards."""
        if has_faults:
            (self.folder / "faults").touch()
        else:
            (self.folder / "faults").unlink()
        space = read_space("demo", SETTINGS)
        run.run_trials({ALL: space}, self.pool, self.recorder, num_trials=num_trials)
        return self.history()

    def history(self) -> History:
        """What the journal has."""
        return read_history(self.storage / "journal.jsonl")


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory, made_set: PreparedSet, made_split: Split) -> Iterator[Faults]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import it
    with pytest.MonkeyPatch.context() as patch, connected(None):
        patch.setattr(pool, "train", faulty)
        patch.setattr(pool, "_MACHINE_FAILURES", 1)  # each one starts a process
        patch.setattr(hanging, "SHORTEST_S", 3.0)
        patch.setattr(hanging, "START_UP_S", 60.0)
        patch.setattr(hanging, "EPOCHS", 1.0)
        patch.setattr(hanging, "_LOOK_EVERY_S", 0.2)
        made = Faults(tmp_path_factory.mktemp("faults"), made_set, made_split)
        yield made
        made.pool.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def first(faults: Faults) -> History:
    """The journal after a call with all faults but that of the search's own disk."""
    return faults.call(7, has_faults=True)


@pytest.fixture(scope="module")
def second(faults: Faults, first: History) -> History:
    """The journal after another call, without faults."""
    return faults.call(7, has_faults=False)


@pytest.mark.parametrize("trial_id", GOES_ON, ids=list(GOES_ON.values()))
def test_a_trial_goes_on_in_the_same_call(faults: Faults, first: History, trial_id: str) -> None:
    trial = first.trials[trial_id]
    assert trial.state == "completed"
    assert [epoch.epoch for epoch in trial.epochs] == [1, 2, 3]
    said = [line for line in faults.said if line.startswith(f"{trial_id} is tried again: ")]
    assert len(said) == (FAULTS[trial_id] != "no fault")
    assert "\n" not in "".join(said)


@pytest.mark.parametrize("trial_id", LOST, ids=list(LOST.values()))
def test_a_machine_that_keeps_failing_leaves_the_trial_unfinished_until_the_next_call(
    first: History, second: History, trial_id: str
) -> None:
    trial = first.trials[trial_id]
    assert (trial.state, trial.num_lost) == ("running", 1)
    assert trial.error is not None
    reason = "Input/output error" if FAULTS[trial_id] == "bad disk" else "its process crashed or was killed"
    assert reason in trial.error
    assert second.trials[trial_id].state == "completed"
    assert [epoch.epoch for epoch in second.trials[trial_id].epochs] == [1, 2, 3]


def test_the_sampler_is_told_nothing_of_a_lost_trial(first: History) -> None:
    space = read_space("demo", SETTINGS)
    told = Proposals({ALL: space}, earlier=first.by_choice(), num_trials=7).studies[ALL].trials
    assert [trial.state for trial in told] == [TrialState.COMPLETE] * len(GOES_ON)


def test_an_error_of_the_configuration_is_its_own(first: History, second: History) -> None:
    for history in (first, second):
        assert history.trials[WRONG].state == "failed"
        assert history.trials[WRONG].error == "a name \\udcff that UTF-8 cannot hold"


def test_final_models_and_class_folds_go_on_too(faults: Faults, second: History) -> None:
    (faults.folder / "faults").touch()
    finals = [FinalTraining(SOUND, second.trials[SOUND].config, NUM_EPOCHS, seed=1)]
    run.run_finals(finals, str(faults.storage), faults.pool, faults.recorder)
    finalists = Finalists((second.trials[SOUND],), (), num_folds=2, num_repeats=1)
    race = finalists.race(second)
    assert race is not None
    run_folds(finalists, race, EvaluationConfig(num_draws=5), faults.pool, faults.recorder)
    assert {path.name for path in faults.folder.glob(f"{SOUND} *")} == {f"{SOUND} seed 1", f"{SOUND} fold 2, repeat 1"}
    history = faults.history()
    final = history.finals[SOUND, 1]
    assert final.state == "completed"
    assert [epoch.epoch for epoch in final.epochs] == [1, 2, 3]
    assert history.fold_accuracies(SOUND) == [0.5, 0.5]


def test_a_full_disk_ends_the_search_and_no_trial(faults: Faults, second: History) -> None:
    with pytest.raises(OSError, match="No space left on device") as raised:
        faults.call(8, has_faults=True)
    assert lacks_room(raised.value)
    assert (faults.history().trials[FULL].state, faults.history().trials[FULL].num_lost) == ("running", 0)
