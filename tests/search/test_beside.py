"""Two stages that share the slots, and the scoring of baselines beside the trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.made_history import candidate

from sldml.commands.progress import ProgressPrinter
from sldml.config.training import EvaluationConfig
from sldml.journal import BaselineScore, BaselinesScored, History, Journal, read_history
from sldml.search.beside import Baselines, ScoringStage, Together
from sldml.search.recorder import Recorder

CENTERS = ("none", "every_frame", "first_frame")
CANDIDATES = [candidate(name, center=center) for name in ("raw_1nn", "dtw_1nn") for center in CENTERS]


class Listed:
    """A stage of so many trainings, which keeps what it is told."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.num_left, self.num_running = name, count, 0
        self.is_late = False
        self.told: list[str] = []

    def next(self, key: str) -> Any:
        if not self.num_left:
            return None
        self.num_left -= 1
        self.num_running += 1
        return {self.name: key}

    def is_over(self) -> bool:
        return not self.num_left and not self.num_running

    def has_expired(self) -> bool:
        return self.is_late

    def stops(self, key: str, config: Any, result: Any) -> bool:
        return self.name == "trial" and bool(result["stops"])

    def started(self, config: Any) -> None:
        self.told.append(f"started {config[self.name]}")

    def reported(self, key: str, config: Any, result: Any) -> None:
        self.told.append(f"reported {config[self.name]}")

    def ended(self, key: str, config: Any, result: Any) -> None:
        self.num_running -= 1
        self.told.append(f"ended {config[self.name]}")

    def retried(self, config: Any, error: str) -> None:
        self.told.append(f"retried {config[self.name]} {error}")

    def lost(self, key: str, config: Any, error: str) -> None:
        self.num_running -= 1
        self.told.append(f"lost {config[self.name]} {error}")


def kinds(configs: list[Any]) -> str:
    """`t` for a trial, `s` for work beside, `-` for nothing."""
    return "".join("-" if config is None else "t" if "trial" in config else "s" for config in configs)


@pytest.mark.parametrize(
    ("num_slots", "num_trials", "num_beside", "order"),
    [
        (4, 9, 9, "sstt"),
        (3, 9, 9, "stt"),
        (2, 9, 9, "st"),
        (4, 1, 9, "ssts"),  # slots that no trial needs
        (4, 9, 1, "sttt"),
        (4, 2, 1, "stt-"),
    ],
)
def test_work_beside_the_trials_takes_at_most_half_of_the_slots_that_they_need(
    num_slots: int, num_trials: int, num_beside: int, order: str
) -> None:
    stage = Together(Listed("trial", num_trials), Listed("side", num_beside), num_slots)
    configs = [stage.next(f"k{number}") for number in range(num_slots)]
    assert kinds(configs) == order
    # A slot that becomes free is taken by the same kind, as long as there is some.
    for number, config in enumerate(configs):
        if config is not None and "side" in config:
            (stage.lost if number else stage.ended)(f"k{number}", config, {})  # type: ignore[operator]
            following = stage.next(f"n{number}")
            assert following is None or "side" in following or num_beside <= order.count("s")


def test_with_one_slot_they_take_turns_and_the_first_is_a_trial() -> None:
    main, side = Listed("trial", 2), Listed("side", 4)
    stage = Together(main, side, 1)
    order = []
    for number in range(6):
        config = stage.next(f"k{number}")
        order.append(config)
        assert config is not None
        stage.ended(f"k{number}", config, {})
    assert kinds(order) == "tstsss"
    assert stage.is_over()


def test_each_stage_is_told_of_its_own() -> None:
    main, side = Listed("trial", 1), Listed("side", 1)
    stage = Together(main, side, 2)
    first, second = stage.next("k1"), stage.next("k2")
    assert first is not None
    assert second is not None
    for key, config in (("k1", first), ("k2", second)):
        stage.started(config)
        stage.retried(config, "killed")
        assert stage.stops(key, config, {"stops": True}) == (key == "k2")
        stage.reported(key, config, {})
    stage.ended("k1", first, {})
    assert not stage.is_over()
    stage.lost("k2", second, "gone")
    assert stage.is_over()
    assert side.told == ["started k1", "retried k1 killed", "reported k1", "ended k1"]
    assert main.told == ["started k2", "retried k2 killed", "reported k2", "lost k2 gone"]


@pytest.mark.parametrize("late", [0, 1])
def test_the_deadline_of_either_ends_both(late: int) -> None:
    parts = (Listed("trial", 1), Listed("side", 1))
    stage = Together(*parts, 2)
    assert not stage.has_expired()
    parts[late].is_late = True
    assert stage.has_expired()


# ---------------------------------------------------------------------------------------------------- baselines


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(Journal(tmp_path / "journal.jsonl"), History(), ProgressPrinter())


class Shown:
    """A watcher that keeps the counts."""

    def __init__(self) -> None:
        self.counts: list[tuple[str, int, int]] = []

    def beside(self, what: str, done: int, total: int) -> None:
        self.counts.append((what, done, total))


@pytest.fixture
def baselines(recorder: Recorder) -> Callable[[], tuple[Baselines, Shown]]:
    def make() -> tuple[Baselines, Shown]:
        shown: Any = Shown()
        return Baselines(CANDIDATES, EvaluationConfig(), recorder, shown), shown

    return make


def result_of(config: Any, value: float = 0.5) -> dict[str, Any]:
    """What a worker reports at the end."""
    scores = [BaselineScore(candidate=found, val=value).model_dump() for found in config["baselines"].candidates]
    return {"state": "completed", "scores": scores, "seconds": 2.0, "worker": "h:1"}


def places(stage: ScoringStage) -> list[tuple[int, ...]]:
    """The candidates that a stage hands out."""
    return [config["baselines"].places for config in iter(lambda: stage.next("k"), None)]


def test_each_group_is_in_the_journal_when_it_is_scored_and_a_resume_scores_the_others(
    recorder: Recorder, tmp_path: Path, baselines: Any
) -> None:
    scoring, shown = baselines()
    stage = scoring.stage()
    first, second, third = (stage.next(f"k{number}") for number in range(3))
    assert stage.next("k3") is None
    stage.reported("k1", second, {"state": "running"})
    stage.ended("k1", second, result_of(second))
    known = read_history(tmp_path / "journal.jsonl")
    assert [score.place for score in known.baselines["raw_1nn"].scores] == [1]
    assert [score.candidate for score in known.baselines["dtw_1nn"].scores] == [CANDIDATES[4]]
    assert [(event.worker, event.seconds) for event in known.scorings] == [("h:1", 2.0)]
    assert not stage.is_over()

    again, _ = baselines()  # after the driver was killed
    assert places(again.stage()) == [(0, 3), (2, 5)]
    stage.ended("k2", third, result_of(third, 0.7))
    stage.ended("k0", first, result_of(first))
    assert stage.is_over()
    assert shown.counts == [("baselines", done, 6) for done in (0, 2, 4, 6)]
    history = read_history(tmp_path / "journal.jsonl")
    assert list(history.baselines) == ["raw_1nn", "dtw_1nn"]
    assert [score.candidate for score in history.baselines["dtw_1nn"].scores] == CANDIDATES[3:]
    assert history.baselines["dtw_1nn"].best.candidate == CANDIDATES[5]
    assert baselines()[0].stage().is_over()


def test_what_failed_or_was_lost_is_told_and_scored_by_a_resume(
    recorder: Recorder, baselines: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scoring, _ = baselines()
    stage = scoring.stage()
    first, second, third = (stage.next(f"k{number}") for number in range(3))
    stage.ended("k0", first, {"state": "failed", "error": "ValueError: too narrow"})
    stage.retried(second, "its process was killed")
    stage.lost("k1", second, "its process was killed")
    stage.ended("k2", third, result_of(third))
    assert stage.is_over()
    assert capsys.readouterr().out.splitlines() == [
        "baselines raw_1nn, dtw_1nn (candidates 1, 4): ValueError: too narrow",
        "baselines raw_1nn, dtw_1nn (candidates 2, 5) is tried again: its process was killed",
        "baselines raw_1nn, dtw_1nn (candidates 2, 5): lost (its process was killed); scored when the search is "
        "resumed",
    ]
    assert places(scoring.stage()) == [(0, 3), (1, 4)]
    scoring.show()
    assert capsys.readouterr().out.splitlines() == [
        "baseline raw_1nn: validation 0.500 (center first_frame)",
        "baseline dtw_1nn: validation 0.500 (center first_frame)",
    ]


class Scores:
    """A pool that scores so many groups of a stage before its deadline."""

    def __init__(self, count: int) -> None:
        self.count, self.num_runs = count, 0

    def run(self, stage: ScoringStage) -> None:
        self.num_runs += 1
        for number in range(self.count):
            config = stage.next(f"k{number}")
            assert config is not None
            stage.ended(f"k{number}", config, result_of(config))


def test_what_the_trials_deadline_left_has_time_of_its_own(
    recorder: Recorder, baselines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("sldml.search.beside.time.time", lambda: now[0])
    scoring, _ = baselines()
    stage = scoring.stage(150.0)
    now[0] = 150.0
    assert not stage.has_expired()
    now[0] = 150.1
    assert stage.has_expired()
    assert not scoring.stage().has_expired(), "there is no deadline"
    pool: Any = Scores(1)
    scoring.run_rest(pool, None)
    scoring.run_rest(pool, 150.0)
    assert pool.num_runs == 0, "without a budget all are scored beside the trials, and after the deadline none"
    assert recorder.history.left_out == ["6 of 6 candidates of the baselines"]
    scoring.run_rest(pool, 200.0)
    assert recorder.history.left_out[1:] == ["4 of 6 candidates of the baselines"]
    pool.count = 2
    scoring.run_rest(pool, 200.0)
    assert len(recorder.history.left_out) == 2
    scoring.run_rest(pool, 200.0)
    assert pool.num_runs == 2, "nothing is left to score"


def test_scores_of_earlier_calls_count(recorder: Recorder, baselines: Any) -> None:
    recorder.record(BaselinesScored(scores=[BaselineScore(candidate=CANDIDATES[0], val=0.1)]))
    scoring, shown = baselines()
    assert places(scoring.stage()) == [(1, 4), (2, 5), (3,)]
    assert shown.counts == [("baselines", 1, 6)]
