"""What the driver makes of the class folds that workers report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.made_finalists import finalists_of, free, searched

from sldml.commands.progress import ProgressPrinter
from sldml.config.training import EvaluationConfig
from sldml.journal import History, Journal, read_history
from sldml.search import fold_stage
from sldml.search.final import FoldTraining
from sldml.search.finalists import Finalists, fold_seed
from sldml.search.race import Race
from sldml.search.recorder import Recorder

EVALUATION = EvaluationConfig(num_draws=7)
ACCURACIES = {
    "t1": [0.70, 0.74, 0.69, 0.73, 0.72, 0.70],
    "t2": [0.72, 0.70, 0.71, 0.71, 0.70, 0.74],
    "dtw_1nn": [0.71, 0.71, 0.72, 0.70, 0.73, 0.71],
}


class Workers:
    """A pool whose workers report at once; after `limit` trainings they stop, as if the search were killed."""

    num_slots = 2

    def __init__(self, limit: int = 1_000, **failing: dict[str, Any]) -> None:
        self.limit, self.failing = limit, failing
        self.done: list[str] = []

    def run(self, stage: Any) -> None:
        while not stage.is_over() and len(self.done) < self.limit:
            configs = [(key, config) for key in ("a", "b") if (config := stage.next(key)) is not None]
            assert configs, "a slot waits for nothing"
            for _, config in configs:
                stage.started(config)
            for key, config in reversed(configs):  # the second one is faster
                self._work(stage, key, config)

    def _work(self, stage: Any, key: str, config: Any) -> None:
        fold = fold_stage._found(config)
        name = fold.trial_id if isinstance(fold, FoldTraining) else fold.candidate.baseline
        if len(self.done) >= self.limit:
            return
        self.done.append(fold.name)
        if (failed := self.failing.get(f"{name}_{fold.fold}")) is not None:
            stage.reported(key, config, {"epoch": 1, **failed})
            stage.ended(key, config, {"epoch": 1, **failed})
            return
        accuracy = ACCURACIES[name][(fold.repeat - 1) * 2 + fold.fold - 1]
        result = {"epoch": fold.num_epochs, "state": "completed", "val/accuracy": accuracy}
        if not stage.stops(key, config, result):
            stage.reported(key, config, result)
        stage.ended(key, config, result)


def recorder_at(folder: Path, history: History) -> Recorder:
    return Recorder(Journal(folder / "journal.jsonl"), history, ProgressPrinter())


def finalists_in(recorder: Recorder) -> tuple[Finalists, Race]:
    """Those of a search, which may cost 60 epochs, on two folds and up to three repeats."""
    for record in recorder.history.trials.values():
        record.epochs = record.epochs[:1] * 30
    finalists = finalists_of(recorder.history, num_folds=2, fold_repeats=3)
    race = finalists.race(recorder.history, tries_again=True)
    assert race is not None
    return finalists, race


def score(recorder: Recorder, workers: Workers) -> Race:
    """Run the folds of two configurations and a baseline."""
    finalists, race = finalists_in(recorder)
    fold_stage.run_folds(finalists, race, EVALUATION, workers, recorder, ProgressPrinter())  # type: ignore[arg-type]
    return race


def fold_events(folder: Path) -> History:
    return read_history(folder / "journal.jsonl")


def test_every_score_is_an_event(tmp_path: Path) -> None:
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    race = score(recorder, Workers())
    assert race.ending == "all repeats are done"
    folds = fold_events(tmp_path).folds
    assert folds == recorder.history.folds
    assert len(folds) == 3 * 6
    for name, accuracies in ACCURACIES.items():
        key = name if name[0] == "t" else free(name).key
        assert fold_events(tmp_path).fold_accuracies(key) == accuracies
    event = folds["t2", 2, 1]
    assert (event.trial_id, event.candidate, event.num_folds, event.seed) == ("t2", None, 2, fold_seed(2, 1))
    event = folds[free("dtw_1nn").key, 3, 2]
    assert (event.trial_id, event.candidate, event.seed, event.accuracy) == (None, free("dtw_1nn"), None, 0.71)


@pytest.mark.parametrize("limit", [1, 5, 8, 17])
def test_a_race_that_was_interrupted_goes_on_and_scores_nothing_twice(tmp_path: Path, limit: int) -> None:
    (tmp_path / "whole").mkdir()
    whole = recorder_at(tmp_path / "whole", searched(0.9, 0.8, dtw_1nn=0.5))
    everything = Workers()
    expected = score(whole, everything)
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    first, second = Workers(limit), Workers()
    assert score(recorder, first).ending is None
    race = score(recorder, second)
    assert sorted(first.done + second.done) == sorted(everything.done)
    assert (race.ending, race.standings()) == (expected.ending, expected.standings())
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == len(recorder.history.folds)
    over = Workers()
    assert score(recorder, over).ending == expected.ending
    assert over.done == []


def test_a_configuration_that_diverges_is_out_and_is_tried_again_by_the_next_call(tmp_path: Path) -> None:
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    diverged = {"state": "diverged", "error": "the loss is not finite in epoch 1"}
    first = Workers(t1_2=diverged)
    race = score(recorder, first)
    assert race.standing("t1").error == "fold 2, repeat 1: the loss is not finite in epoch 1"
    assert race.standing("t1").accuracies == (0.70,)
    assert not any(name.startswith("t1") and "repeat 2" in name for name in first.done)
    assert fold_events(tmp_path).folds["t1", 1, 2].error == diverged["error"]
    assert recorder.history.fold_accuracies("t1") == [0.70]
    again = Workers()
    race = score(recorder, again)
    assert race.standing("t1").error is None
    assert "t1 fold 2, repeat 1" in again.done
    assert "t1 fold 1, repeat 1" not in again.done


def test_a_fold_whose_process_died_is_told(tmp_path: Path) -> None:
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    finalists, race = finalists_in(recorder)
    stage = fold_stage._FoldStage(finalists, race, EVALUATION, recorder, None, None)
    config = stage.next("a")
    assert config is not None
    stage.lost("a", config, "its process crashed or was killed")
    assert recorder.history.folds["t1", 1, 1].error == "its process crashed or was killed"


def test_what_still_runs_when_the_race_is_over_ends_and_is_not_recorded(tmp_path: Path) -> None:
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    finalists, race = finalists_in(recorder)
    stage = fold_stage._FoldStage(finalists, race, EVALUATION, recorder, ProgressPrinter(), None)
    running = {}
    for number in range(7):  # the first repeat, and one training of the second
        config = stage.next(str(number))
        assert config is not None
        running[str(number)] = config
    for key in map(str, range(6)):
        fold = fold_stage._found(running[key])
        name = fold.trial_id if isinstance(fold, FoldTraining) else "dtw_1nn"
        accuracy = {"t1": 0.9, "t2": 0.4, "dtw_1nn": 0.5}[name] + 0.001 * fold.fold * (name == "t1")
        assert not stage.stops(key, running[key], {"epoch": 1, "state": "running"})
        stage.ended(key, running[key], {"epoch": 3, "state": "completed", "val/accuracy": accuracy})
    assert stage.is_over()
    assert stage.next("7") is None
    assert stage.stops("6", running["6"], {"epoch": 1, "state": "running"})
    stage.ended("6", running["6"], {"epoch": 1, "state": "running"})
    assert len(recorder.history.folds) == 6


def test_the_stage_expires_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sldml.search.fold_stage.time.time", lambda: now[0])
    recorder = recorder_at(tmp_path, searched(0.9, dtw_1nn=0.5))
    finalists, race = finalists_in(recorder)
    stage = fold_stage._FoldStage(finalists, race, EVALUATION, recorder, None, 160.0)
    assert not stage.has_expired()
    now[0] = 160.1
    assert stage.has_expired()


def test_folds_that_a_time_budget_leaves_out_are_told(tmp_path: Path) -> None:
    recorder = recorder_at(tmp_path, searched(0.9, 0.8, dtw_1nn=0.5))
    finalists, race = finalists_in(recorder)
    few, others = Workers(8), Workers()
    fold_stage.run_folds(finalists, race, EVALUATION, few, recorder, ProgressPrinter(), deadline=1.0)  # type: ignore[arg-type]
    assert recorder.history.left_out == [f"class folds after the first {race.num_scored}"]
    finalists, race = finalists_in(recorder)
    fold_stage.run_folds(finalists, race, EVALUATION, others, recorder, ProgressPrinter(), deadline=1.0)  # type: ignore[arg-type]
    assert race.ending == "all repeats are done"
    assert len(recorder.history.left_out) == 1
