"""The time budget: shares and estimates against values computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_history import epoch

from sldml.config.trial import TrialConfig
from sldml.journal import BaselinesScored, History, TrialRecord
from sldml.search.final import FinalTraining, FoldTraining
from sldml.search.time_budget import (
    Deadlines,
    Sizes,
    TimeBudget,
    images_per_s,
    share_s,
    training_s,
    wall_s,
)

BUDGET = TimeBudget(started=1000.0, seconds=600.0)
SIZES = Sizes(num_recordings=340, num_classes=10, num_validated=50, num_sealed=200)
CONFIG: dict[str, Any] = TrialConfig.model_validate(
    {"batch": {"num_classes": 16, "samples_per_class": 4}, "train": {"max_epochs": 10}}
).to_dict()


def test_trials_end_at_their_share_and_earlier_if_a_final_model_takes_long() -> None:
    assert BUDGET.end == 1600.0
    assert BUDGET.trainings_end(test_s=10.0) == 1600.0 - 30.0 - 10.0
    assert BUDGET.trials_end(first_final_s=100.0, test_s=10.0) == pytest.approx(1000.0 + 0.55 * 600.0)
    assert BUDGET.trials_end(first_final_s=300.0, test_s=10.0) == 1560.0 - 300.0
    assert BUDGET.trials_end(first_final_s=900.0, test_s=10.0) == 1000.0 + 0.25 * 600.0


def test_the_sealed_test_has_at_most_a_quarter() -> None:
    assert BUDGET.closing_s(test_s=10_000.0) == 150.0
    assert TimeBudget(0.0, 10.0).closing_s(test_s=0.0) == 2.5
    assert TimeBudget(0.0, 10.0).trials_end(0.0, 0.0) == pytest.approx(5.5)


@pytest.mark.parametrize(
    ("available", "own", "later", "least", "share"),
    [
        (100.0, 20.0, 30.0, 5.0, 70.0),  # enough for both: all that the later ones leave
        (100.0, 150.0, 50.0, 5.0, 75.0),  # too little: in proportion
        (100.0, 150.0, 50.0, 40.0, 60.0),  # what the later ones need at least is left
        (100.0, 30.0, 0.0, 0.0, 100.0),  # nothing follows
        (100.0, 0.0, 0.0, 0.0, 100.0),  # nothing is known
        (10.0, 20.0, 30.0, 30.0, 0.0),
        (-5.0, 20.0, 0.0, 0.0, 0.0),
    ],
)
def test_a_stage_leaves_time_for_the_later_ones(
    available: float, own: float, later: float, least: float, share: float
) -> None:
    assert share_s(available, own, later, least) == pytest.approx(share)


@pytest.mark.parametrize(
    ("durations", "num_slots", "wall"),
    [([], 2, 0.0), ([3.0, 1.0, 1.0, 2.0], 1, 7.0), ([3.0, 1.0, 1.0, 2.0], 2, 4.0), ([1.0, 1.0], 4, 1.0)],
)
def test_trainings_are_put_into_the_slot_that_is_free_first(
    durations: list[float], num_slots: int, wall: float
) -> None:
    assert wall_s(durations, num_slots) == wall


def trial(name: str, *paces: float, value: float = 0.5) -> TrialRecord:
    epochs = [epoch(number, value, images_per_s=pace) for number, pace in enumerate(paces, start=1)]
    return TrialRecord(name, CONFIG, 1000.0, "completed", epochs)


def history_of(*records: TrialRecord) -> History:
    return History(trials={record.trial_id: record for record in records})


def test_the_pace_is_that_of_the_trial_or_of_all() -> None:
    history = history_of(trial("t1", 10.0, 100.0, 110.0), trial("t2"))
    assert images_per_s(history, "t1") == 100.0
    assert images_per_s(history, "t2") == 100.0
    assert images_per_s(History(), "t1") is None


def test_a_training_takes_its_epochs_of_whole_batches() -> None:
    # 10 classes of 4 recordings in a batch, 340 / 40 = 8.5, rounded to 8 steps.
    final = FinalTraining("t1", CONFIG, num_epochs=10, seed=1)
    assert training_s(final, 100.0, 340, 10) == pytest.approx(2.0 + 1.2 * 10 * 8 * 40 / 100.0)
    assert training_s(final, 100.0, 10, 10) == pytest.approx(2.0 + 1.2 * 10 * 40 / 100.0), "one step at least"


def test_without_a_budget_nothing_ends() -> None:
    deadlines = Deadlines(None, history_of(trial("t1", 100.0)), SIZES, 2)
    plan = [FinalTraining("t1", CONFIG, 10, 1)]
    assert deadlines.end is None
    assert deadlines.trials_end(10) is None
    assert deadlines.baselines_end(1000.0) is None
    assert deadlines.stage_end(1000.0, plan) is None
    assert deadlines.has_time_for_test(1e12)


def test_deadlines_follow_the_journal() -> None:
    history = history_of(trial("t1", 15.0), trial("t2", 1000.0, value=0.4))
    deadlines = Deadlines(BUDGET, history, SIZES, num_slots=2)
    expected = 2.0 + 1.2 * 10 * 8 * 40 / 15.0  # 258 s, of the best trial
    plan = [FinalTraining("t1", CONFIG, 10, seed) for seed in (1, 2, 3)]
    assert deadlines.expected_s(plan[0]) == pytest.approx(expected)
    # Without a scored baseline the test is expected to take no time, and 30 s are for the report.
    assert deadlines.trials_end(10) == pytest.approx(1570.0 - expected)
    history.scorings.append(BaselinesScored(scores=(), worker="h:1", seconds=15.0))
    assert deadlines.test_s() == pytest.approx(60.0)  # 200 recordings instead of 50
    assert deadlines.trials_end(10) == pytest.approx(1570.0 - expected), "it is not computed all the time"
    history.updated += 6.0
    assert deadlines.trials_end(10) == pytest.approx(1510.0 - expected)
    assert deadlines.trials_end(None) == 1570.0, "nothing follows but the report"
    assert deadlines.baselines_end(1410.0) == pytest.approx(1410.0 + 0.3 * 100.0)
    # Three final models in two slots need 516 s; one fold afterwards 258 s: 100 s are shared two to one, but the fold
    # keeps what its training needs, which is all of it.
    folds = [FoldTraining("t1", CONFIG, 10, 2, 1, 1)]
    assert deadlines.stage_end(1410.0, plan, folds) == 1410.0
    assert deadlines.stage_end(1410.0, plan) == 1510.0
    folds = [FoldTraining("t2", CONFIG, 10, 2, 1, 1)]
    last = 2.0 + 1.2 * 10 * 8 * 40 / 1000.0
    assert deadlines.stage_end(1410.0, plan, folds) == pytest.approx(
        1410.0 + min(100.0 * 516 / (516 + last), 100 - last)
    )
    assert deadlines.has_time_for_test(1510.0)
    assert not deadlines.has_time_for_test(1511.0)
