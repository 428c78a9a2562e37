"""What the driver makes of the trials and final models that workers report."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sldml.commands.progress import ProgressPrinter
from sldml.config.space_file import read_space
from sldml.journal import (
    ALL,
    OBJECTIVE,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    History,
    Journal,
    JournalReader,
    TrialEpoch,
    TrialStarted,
    read_history,
)
from sldml.search import run
from sldml.search.final import FinalTraining
from sldml.search.folders import final_folder
from sldml.search.recorder import Recorder
from sldml.search.scheduler import make_scheduler
from sldml.search.searcher import Proposals
from sldml.training.checkpoints import CheckpointFile


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(Journal(tmp_path / "journal.jsonl"), History(), ProgressPrinter())


@pytest.fixture
def trial_stage(recorder: Recorder) -> Callable[..., run._TrialStage]:
    """Makes the stage of a search of three trials."""

    def make(deadline: Callable[[], float | None] = lambda: None) -> run._TrialStage:
        settings = ["search.trials=3", "search.scheduler=asha", "search.grace_period=2", "search.reduction_factor=2"]
        settings.append("train.max_epochs=8")
        space = read_space("demo", settings)
        proposals = Proposals({ALL: space}, earlier=recorder.history.by_choice(), num_trials=3)
        scheduler = make_scheduler(space, list(recorder.history.trials.values()))
        return run._TrialStage(proposals, scheduler, recorder, deadline)

    return make


def begin(stage: Any, key: str) -> Any:
    config = stage.next(key)
    stage.started(config)
    return config


def report(stage: Any, key: str, config: Any, epoch: int, value: float, state: str = "running") -> bool:
    """One epoch; whether the stage ends the trial."""
    result = {"epoch": epoch, "state": state, "val/accuracy": value, OBJECTIVE: value}
    stops: bool = stage.stops(key, config, result)
    stage.reported(key, config, result)
    if stops or state != "running":
        stage.ended(key, config, result)
    return stops


def test_a_trial_that_the_scheduler_ends_is_pruned(recorder: Recorder, trial_stage: Any) -> None:
    stage = trial_stage()
    configs = {key: begin(stage, key) for key in ("k1", "k2")}
    for epoch in (1, 2):
        assert not report(stage, "k1", configs["k1"], epoch, 0.9)
        assert report(stage, "k2", configs["k2"], epoch, 0.1) == (epoch == 2)
    assert not report(stage, "k1", configs["k1"], 3, 0.9, "completed")
    assert not stage.is_over(), "the third one is missing"
    config = begin(stage, "k3")
    assert stage.next("k4") is None
    report(stage, "k3", config, 1, 0.5, "completed")
    assert stage.is_over()
    assert [trial.state for trial in recorder.history.trials.values()] == ["completed", "pruned", "completed"]


PROMOTION = ["search.trials=3", "search.scheduler=promotion", "search.grace_period=1", "search.reduction_factor=2"]


class StepPool:
    """Runs a stage one training and one epoch at a time, until it is over or `most` epochs were trained."""

    num_slots = 1

    def __init__(self, values: dict[str, float], max_epochs: int = 4, most: float = float("inf")) -> None:
        self.values, self.max_epochs, self.most = values, max_epochs, most
        self.segments: list[tuple[str, int, int]] = []
        """The trainings in their order: trial, first and last epoch."""

    def run(self, stage: Any) -> None:
        number = itertools.count()
        while not stage.is_over():
            key = f"k{next(number)}"
            config = begin(stage, key)
            name, first = config["trial_id"], config["epochs_reported"] + 1
            for epoch in range(first, self.max_epochs + 1):
                if self.most <= 0:
                    raise KeyboardInterrupt
                self.most -= 1
                state = "completed" if epoch == self.max_epochs else "running"
                if report(stage, key, config, epoch, self.values[name], state) or state != "running":
                    break
            self.segments.append((name, first, epoch))


def search_of(recorder: Recorder, pool: Any) -> None:
    space = read_space("demo", [*PROMOTION, "train.max_epochs=4"])
    run.run_trials({ALL: space}, pool, recorder, num_trials=3)


def test_trials_pause_at_rungs_and_the_best_ones_continue(recorder: Recorder, tmp_path: Path) -> None:
    pool = StepPool({"t0001": 0.3, "t0002": 0.5, "t0003": 0.4})
    search_of(recorder, pool)
    assert pool.segments == [
        ("t0001", 1, 1),
        ("t0002", 1, 2),  # the better one of two at the first rung, and alone at the second
        ("t0003", 1, 1),
        ("t0003", 2, 2),  # no more start: two of each rung continue
        ("t0002", 3, 4),
        ("t0003", 3, 4),
    ]
    states = {name: trial.state for name, trial in read_history(tmp_path / "journal.jsonl").trials.items()}
    assert states == {"t0001": "pruned", "t0002": "completed", "t0003": "completed"}


@pytest.mark.parametrize("most", range(9))
def test_a_search_that_is_interrupted_anywhere_trains_the_same_epochs(
    recorder: Recorder, tmp_path: Path, most: int
) -> None:
    values = {"t0001": 0.3, "t0002": 0.5, "t0003": 0.4}
    with pytest.raises(KeyboardInterrupt):
        search_of(recorder, StepPool(values, most=most))
    history = read_history(tmp_path / "journal.jsonl")
    resumed = StepPool(values)
    search_of(Recorder(Journal(tmp_path / "journal.jsonl"), history, ProgressPrinter()), resumed)
    epochs = {name: [e.epoch for e in t.epochs] for name, t in read_history(tmp_path / "journal.jsonl").trials.items()}
    assert epochs == {"t0001": [1], "t0002": [1, 2, 3, 4], "t0003": [1, 2, 3, 4]}
    assert most + sum(last - first + 1 for _, first, last in resumed.segments) == 9, "no epoch is trained twice"


def test_a_trial_killed_at_a_rung_before_it_was_paused_is_not_promoted_by_that(recorder: Recorder) -> None:
    space = read_space("demo")
    params = space.visit(lambda leaf: leaf.ends()[0])
    for name, value in (("t0001", 0.3), ("t0002", 0.5)):
        recorder.record(TrialStarted(trial_id=name, params=params, config=space.configure(params).to_dict()))
        recorder.record(TrialEpoch(trial_id=name, epoch=1, metrics={OBJECTIVE: value}))
    pool = StepPool({"t0001": 0.3, "t0002": 0.5, "t0003": 0.4})
    search_of(recorder, pool)
    assert pool.segments[0] == ("t0002", 2, 2)
    assert ("t0001", 2, 2) not in pool.segments


def test_a_stage_expires_at_its_deadline(trial_stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sldml.search.run.time.time", lambda: now[0])
    ends = [160.0]
    stage = trial_stage(lambda: ends[0])
    begin(stage, "k1")
    now[0] = 160.0
    assert not stage.has_expired()
    now[0] = 160.1
    assert stage.has_expired()
    ends[0] = 170.0
    assert not stage.has_expired(), "the deadline may move"
    assert not trial_stage().has_expired(), "there is no deadline"


def test_a_trial_whose_process_died_is_unfinished_until_it_was_lost_in_several_calls(
    recorder: Recorder, trial_stage: Any, tmp_path: Path
) -> None:
    for call in range(1, 4):
        stage = trial_stage()
        config = begin(stage, "k1")
        stage.lost("k1", config, "ray.exceptions.WorkerCrashedError: out of \udcffmemory")
        record = read_history(tmp_path / "journal.jsonl").trials["t0001"]
        assert record.state == ("running" if call < 3 else "failed")
        assert record.error == "ray.exceptions.WorkerCrashedError: out of \\udcffmemory"
    assert [e.event for e in JournalReader(tmp_path / "journal.jsonl").read()] == [
        *("trial_started", "trial_lost", "trial_lost", "trial_ended"),
    ]


class ListingPool:
    """Keeps what the stages that it is given hand out."""

    num_slots = 1

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []

    def run(self, stage: Any) -> None:
        self.asked.append([*itertools.chain.from_iterable(c.values() for c in iter(lambda: stage.next("k"), None))])


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_final_model_without_its_checkpoint_is_trained_again(recorder: Recorder, tmp_path: Path, damage: str) -> None:
    pool: Any = ListingPool()
    plan = [FinalTraining("t1", {}, 2, seed) for seed in (1, 2)]
    for final in plan:
        recorder.record(FinalStarted(trial_id="t1", seed=final.seed, config={}))
        for epoch in (1, 2):
            recorder.record(FinalEpoch(trial_id="t1", seed=final.seed, epoch=epoch))
        recorder.record(FinalEnded(trial_id="t1", seed=final.seed, state="completed"))
        file = CheckpointFile(f"{tmp_path}/{final_folder('t1', final.seed, 2)}")
        file.save({"training": {"encoder": {"weight": torch.ones(3)}}}, must=True)
    run.run_finals(plan, str(tmp_path), pool, recorder)
    assert pool.asked == []
    path = tmp_path / final_folder("t1", 2, 2) / "last.pt"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    run.run_finals(plan, str(tmp_path), pool, recorder)
    assert pool.asked == [plan[1:]]


def test_final_models_that_would_not_end_in_time_are_left_out_but_for_the_first(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sldml.search.run.time.time", lambda: 100.0)
    pool: Any = ListingPool()
    plan = [FinalTraining("t1", {}, 2, seed) for seed in (1, 2, 3)]
    durations = {1: 90.0, 2: 50.0, 3: 60.5}
    run.run_finals(plan, str(tmp_path), pool, recorder, deadline=160.0, expected_s=lambda final: durations[final.seed])
    assert pool.asked == [plan[:2]]
    assert recorder.history.left_out == ["3 of 3 final models (t1 seed 1, t1 seed 2, t1 seed 3)"], "none was trained"
    run.run_finals(plan, str(tmp_path), pool, recorder, expected_s=lambda final: durations[final.seed])
    assert pool.asked[1] == plan, "without a budget"
    assert len(recorder.history.left_out) == 1


def test_the_stage_of_final_models_expires(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sldml.search.run.time.time", lambda: now[0])
    stage = run._FinalStage([FinalTraining("t1", {}, 2, 1)], recorder, 160.0)
    for now[0], expired in ((160.0, False), (160.1, True)):
        assert stage.has_expired() == expired


class ExpiringPool:
    """A pool whose stages expire after so many trainings, one of which is not over then."""

    num_slots = 1

    def __init__(self, count: int) -> None:
        self.count = count
        self.kinds: list[str] = []

    def run(self, stage: Any) -> None:
        for number in range(self.count):
            config = stage.next(f"k{number}")
            self.kinds.append("side" if "side" in config else "trial")
            if self.kinds[-1] == "trial":
                stage.started(config)
            if number < self.count - 1:
                stage.ended(f"k{number}", config, {"state": "diverged"})


class Side:
    """Two pieces of work beside the trials."""

    def __init__(self) -> None:
        self.num_left, self.num_running = 2, 0

    def next(self, key: str) -> Any:
        if not self.num_left:
            return None
        self.num_left, self.num_running = self.num_left - 1, self.num_running + 1
        return {"side": key}

    def is_over(self) -> bool:
        return not self.num_left and not self.num_running

    def ended(self, key: str, config: Any, result: Any) -> None:
        self.num_running -= 1


def test_trials_run_with_other_work_beside_them_and_what_the_budget_left_is_told(recorder: Recorder) -> None:
    space, side = read_space("demo", ["search.trials=3", "search.scheduler=none"]), Side()
    pool: Any = ExpiringPool(5)
    run.run_trials({ALL: space}, pool, recorder, num_trials=3, deadline=lambda: 1.0, beside=side)  # type: ignore[arg-type]
    assert pool.kinds == ["trial", "side", "trial", "side", "trial"]
    assert recorder.history.left_out == ["1 of 3 trials (1 of them begun)"]
    pool = ExpiringPool(1)
    run.run_trials({ALL: space}, pool, recorder, num_trials=3, beside=side)  # type: ignore[arg-type]
    assert pool.kinds == ["trial"]
    assert len(recorder.history.left_out) == 1, "without a budget nothing is left out"
