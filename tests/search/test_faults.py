"""Faults of machines while trials run: nothing is lost, nothing is taken for a result, and the search ends."""

from __future__ import annotations

import os
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
from sldml.journal import ALL, History, Journal, read_history
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.search import hanging, pool, run, trainable
from sldml.search.cluster import Slots, connected
from sldml.search.folders import trial_folder
from sldml.search.pool import Pool
from sldml.search.recorder import Recorder
from sldml.search.scheduler import make_scheduler
from sldml.search.searcher import Proposals
from sldml.search.trainable import Job

pytestmark = pytest.mark.verify
SETTINGS = [
    *("search.trials=3", "search.scheduler=none", "train.max_epochs=3", "train.min_steps_per_epoch=1"),
    *("representation.steps=32", "encoder.small_cnn.width=8", "evaluation.num_draws=5", "normalize.view=face_camera"),
]
FAULTY, SOUND = "t0001", ("t0002", "t0003")


def faulty(config: dict[str, Any], job: tuple[Job, str]) -> None:
    """A real trial. After some epoch of the first one, what the file `fault` names happens."""
    real, folder = job
    fault = Path(folder, "fault").read_text()

    def report(metrics: dict[str, Any]) -> None:
        tune.report(metrics)
        if config.get("trial_id") == FAULTY and metrics["epoch"] > 0:
            happen(fault, metrics["epoch"], Path(folder), Path(real.storage))

    module: Any = trainable
    module.tune = SimpleNamespace(report=report)
    trainable.train(config, real)


def happen(fault: str, epoch: int, folder: Path, storage: Path) -> None:
    """The fault, after `epoch` was reported."""
    happened = folder / "happened"
    is_first = not happened.exists()
    happened.touch()
    checkpoint = storage / trial_folder(FAULTY) / "last.pt"
    match fault:
        case "killed after its last report" if epoch == 3 and not (folder / "last").exists():
            (folder / "last").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case "killed again and again":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bad disk":
            raise OSError(5, "Input/output error", str(checkpoint))
        case "hangs" if is_first:
            time.sleep(600)
        case "checkpoint cut" if is_first:
            checkpoint.write_bytes(checkpoint.read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        case "checkpoint empty" if is_first:
            checkpoint.write_bytes(b"")
            os.kill(os.getpid(), signal.SIGKILL)
        case "checkpoint missing" if is_first:
            checkpoint.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case "error of the configuration":
            raise RuntimeError("a name \udcff that UTF-8 cannot hold")


class Faults:
    """The search folder and the processes of all tests of this module."""

    def __init__(self, folder: Path, prepared: PreparedSet, split: Split) -> None:
        self.folder, self.storage = folder, folder / "search"
        self.storage.mkdir()
        (self.storage / "journal.jsonl").touch()
        job = Job(str(self.storage), str(prepared.folder), None, split.development, 1)
        self.pool = Pool((job, str(folder)), Slots(2, 1.0, 0.0), print)  # type: ignore[arg-type]

    def begin(self, fault: str) -> Recorder:
        """A search with a fault; no earlier one has left anything."""
        for name in ("happened", "last"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "fault").write_text(fault)
        for file in self.storage.glob("trials/*/*"):
            file.unlink()
        path = self.storage / "journal.jsonl"
        path.unlink()
        recorder = Recorder(Journal(path), History(), ProgressPrinter())
        recorder.record(search_begun())
        return recorder

    def call(self, recorder: Recorder) -> History:
        """Run the trials; what the journal has afterwards."""
        space = read_space("demo", SETTINGS)
        scheduler = make_scheduler(space.search, 3, [])
        run.run_trials({ALL: space}, scheduler, self.pool, recorder, num_trials=3)
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


@pytest.mark.parametrize(
    "fault",
    ["killed after its last report", "hangs", "checkpoint cut", "checkpoint empty", "checkpoint missing"],
)
def test_a_trial_goes_on_in_the_same_call(faults: Faults, fault: str) -> None:
    recorder = faults.begin(fault)
    history = faults.call(recorder)
    assert (faults.folder / "happened").exists()
    assert_all_completed(history)
    assert [e.epoch for e in history.trials[FAULTY].epochs] == [1, 2, 3]


@pytest.mark.parametrize("fault", ["killed again and again", "bad disk"])
def test_a_machine_that_keeps_failing_leaves_the_trial_unfinished_until_the_next_call(
    faults: Faults, fault: str
) -> None:
    recorder = faults.begin(fault)
    history = faults.call(recorder)
    assert history.trials[FAULTY].state == "running"
    assert history.trials[FAULTY].num_lost == 1
    assert all(history.trials[trial_id].state == "completed" for trial_id in SOUND)
    space = read_space("demo", SETTINGS)
    known = Proposals({ALL: space}, earlier=history.by_choice(), num_trials=3).studies[ALL].trials
    assert [trial.state for trial in known] == [TrialState.COMPLETE] * 2, "the sampler is told nothing of it"

    (faults.folder / "fault").write_text("none")
    assert_all_completed(faults.call(recorder))


def test_an_error_of_the_configuration_is_its_own(faults: Faults) -> None:
    history = faults.call(faults.begin("error of the configuration"))
    failed = history.trials[FAULTY]
    assert failed.state == "failed"
    assert failed.error == "RuntimeError: a name \\udcff that UTF-8 cannot hold"
    assert all(history.trials[trial_id].state == "completed" for trial_id in SOUND)


def assert_all_completed(history: History) -> None:
    assert {trial_id: trial.state for trial_id, trial in history.trials.items()} == dict.fromkeys(
        (FAULTY, *SOUND), "completed"
    )
