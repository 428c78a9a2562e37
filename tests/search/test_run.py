"""What the driver makes of the trials and class folds that workers report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial
from support.made_events import CONFIG

from sldml.commands.progress import ProgressPrinter
from sldml.journal import (
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldsScored,
    History,
    Journal,
    JournalReader,
    read_history,
)
from sldml.search import run
from sldml.search.final import FinalTraining, FoldTraining
from sldml.search.folders import final_folder
from sldml.search.hanging import HangWatch
from sldml.search.recorder import Recorder
from sldml.training.checkpoints import CheckpointFile


class FakeTrial:
    """What a callback sees of a trial of Tune's."""

    def __init__(self, trial_id: str, fold: int, result: dict[str, Any] | None, error: str | None = None) -> None:
        self.trial_id = f"{trial_id}-{fold}"
        self.config: dict[str, Any] = {"fold": FoldTraining(trial_id, {}, 4, 3, fold)}
        self.last_result = result
        self.status = Trial.ERROR if error else Trial.TERMINATED
        self._error = error

    def get_error(self) -> str | None:
        return self._error


def done(accuracy: float) -> dict[str, Any]:
    return {"epoch": 4, "state": "completed", "val/accuracy": accuracy}


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(Journal(tmp_path / "journal.jsonl"), History(), ProgressPrinter())


def complete(callback: Any, *trials: FakeTrial) -> None:
    for trial in trials:
        callback.on_trial_complete(0, [], trial)


class RunningTrial(FakeTrial):
    """A trial of the search whose last report was not its end."""

    def __init__(self, trial_id: str) -> None:
        super().__init__(trial_id, 1, {"epoch": 2, "state": "running"})
        self.config = {"trial_id": trial_id, "params": {"lr": 0.1}, "config": CONFIG}


class ToldNothing:
    """A searcher that remembers whether it was told to keep what it hears to itself."""

    stopped = False

    def abandon_running(self) -> None:
        self.stopped = True


def test_a_trial_that_the_scheduler_ends_is_pruned_and_one_that_the_deadline_ends_is_unfinished(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("sldml.search.run.time.time", lambda: now[0])
    searcher: Any = ToldNothing()
    deadline = run._Deadline(160.0, searcher)
    callback: Any = run._Callback(run._TrialEvents(recorder, deadline), HangWatch(print))
    for trial_id in ("t1", "t2"):
        callback.on_trial_start(0, [], RunningTrial(trial_id))
    now[0] = 160.0
    assert not deadline.stop_all()
    complete(callback, RunningTrial("t1"))
    now[0] = 160.1
    assert deadline.stop_all()
    assert deadline.stop_all()
    complete(callback, RunningTrial("t2"))
    assert {trial_id: trial.state for trial_id, trial in recorder.history.trials.items()} == {
        "t1": "pruned",
        "t2": "running",
    }
    assert searcher.stopped
    assert not deadline("t3", {}), "one trial alone is never ended by the deadline"
    assert not run._Deadline().stop_all()


class LostTrial(RunningTrial):
    """A trial of the search whose process died after every retry."""

    def __init__(self, trial_id: str) -> None:
        super().__init__(trial_id)
        self.status, self._error = Trial.ERROR, "Traceback\nray.exceptions.WorkerCrashedError: out of \udcffmemory"


def test_a_trial_whose_process_died_is_unfinished_until_it_was_lost_in_several_calls(
    recorder: Recorder, tmp_path: Path
) -> None:
    for call in range(1, 4):
        callback: Any = run._Callback(run._TrialEvents(recorder, run._Deadline()), HangWatch(print))
        callback.on_trial_start(0, [], LostTrial("t1"))
        callback.on_trial_error(0, [], LostTrial("t1"))
        record = read_history(tmp_path / "journal.jsonl").trials["t1"]
        assert record.state == ("running" if call < 3 else "failed")
        assert record.error == "ray.exceptions.WorkerCrashedError: out of \\udcffmemory"
    assert [e.event for e in JournalReader(tmp_path / "journal.jsonl").read()] == [
        *("trial_started", "trial_lost", "trial_lost", "trial_ended"),
    ]


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_final_model_without_its_checkpoint_is_trained_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(run, "_fit", lambda *_, param_space, **__: asked.extend(param_space["final"]["grid_search"]))
    plan = [FinalTraining("t1", {}, 2, seed) for seed in (1, 2)]
    for final in plan:
        recorder.record(FinalStarted(trial_id="t1", seed=final.seed, config={}))
        for epoch in (1, 2):
            recorder.record(FinalEpoch(trial_id="t1", seed=final.seed, epoch=epoch))
        recorder.record(FinalEnded(trial_id="t1", seed=final.seed, state="completed"))
        file = CheckpointFile(f"{tmp_path}/{final_folder('t1', final.seed, 2)}")
        file.save({"training": {"encoder": {"weight": torch.ones(3)}}}, must=True)
    job: Any = SimpleNamespace(storage=str(tmp_path))
    slots: Any = SimpleNamespace(count=1)
    run.run_finals(plan, job, slots, recorder)
    assert asked == []
    path = tmp_path / final_folder("t1", 2, 2) / "last.pt"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    run.run_finals(plan, job, slots, recorder)
    assert asked == plan[1:]


def test_folds_are_told_in_order_once_all_have_ended(recorder: Recorder, tmp_path: Path) -> None:
    callback = run._Callback(run._FoldEvents(recorder), HangWatch(print))
    complete(callback, FakeTrial("t1", 3, done(0.3)), FakeTrial("t2", 1, done(0.9)), FakeTrial("t1", 1, done(0.1)))
    assert recorder.history.folds == {}
    complete(callback, FakeTrial("t1", 2, done(0.2)))
    history = read_history(tmp_path / "journal.jsonl")
    assert set(history.folds) == {"t1"}
    assert history.folds["t1"].accuracies == (0.1, 0.2, 0.3)
    assert history.has_folds("t1", 4, 3)


def test_a_fold_that_failed_leaves_no_score_and_its_reason(recorder: Recorder) -> None:
    callback = run._Callback(run._FoldEvents(recorder), HangWatch(print))
    diverged = {"epoch": 2, "state": "diverged", "error": "the loss is not finite in epoch 2"}
    complete(callback, FakeTrial("t1", 2, diverged), FakeTrial("t1", 1, done(0.5)))
    callback.on_trial_error(0, [], FakeTrial("t1", 3, None, error="Traceback\nOSError: the disk is full"))
    record = recorder.history.folds["t1"]
    assert record.accuracies is None
    assert record.error == "fold 2: the loss is not finite in epoch 2; fold 3: OSError: the disk is full"
    assert not recorder.history.has_folds("t1", 4, 3)


def test_only_what_was_not_scored_is_run(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces: list[Any] = []
    monkeypatch.setattr(run, "_fit", lambda *_, param_space, **__: spaces.append(param_space["fold"]["grid_search"]))
    plan = [FoldTraining(f"t{i}", {}, 4, 3, fold) for i in (1, 2, 3) for fold in (1, 2, 3)]
    recorder.record(FoldsScored(trial_id="t1", num_epochs=4, num_folds=3, accuracies=(0.1, 0.2, 0.3)))
    recorder.record(FoldsScored(trial_id="t2", num_epochs=4, num_folds=3, accuracies=None, error="fold 1: boom"))
    arguments: Any = (None, None, recorder)
    run.run_folds(plan, *arguments)
    assert [(fold.trial_id, fold.fold) for fold in spaces[0]] == [
        ("t2", 1), ("t2", 2), ("t2", 3), ("t3", 1), ("t3", 2), ("t3", 3),
    ]  # fmt: skip
    run.run_folds(plan[:3], *arguments)
    assert len(spaces) == 1, "there was nothing to run"
