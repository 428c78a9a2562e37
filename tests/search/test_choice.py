"""What ships: the best over the class folds, or for want of evidence the best without training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.made_finalists import finalists_of, free, scored_on, searched
from support.small import subset_of

from sldml.journal import History
from sldml.protocols.split import Development, Subset
from sldml.search.choice import ShippingDecision, choose, fold_table, num_class_folds

DTW = [0.70, 0.80, 0.75, 0.65, 0.85]  # mean .75
BETTER = [0.80, 0.85, 0.85, 0.75, 0.90]  # mean .83; differences .10 .05 .10 .10 .05
LUCKY = [0.95, 0.75, 0.95, 0.60, 0.95]  # mean .84; differences .25 -.05 .20 -.05 .10
HALF = 2.776445 * 0.0273861 * 0.45**0.5
"""Of the interval of BETTER less DTW: Student's t, standard deviation, and 1/5 + 1/4 for five folds."""


def classes(first: int, last: int, recordings: int = 3) -> Subset:
    """Classes named by these numbers."""
    count = last - first
    labels = np.repeat(np.arange(count), recordings).tolist()
    subset = subset_of(labels, [4] * len(labels))
    return Subset(
        tuple(f"c{i}" for i in range(first, last)),
        subset.labels,
        subset.offsets,
        subset.lengths,
        subset.names,
        subset.subjects,
    )


def development(num_auxiliary: int, num_validation: int = 2, measure: Any = "one_shot_accuracy") -> Development:
    return Development(
        classes(0, num_auxiliary - num_validation), classes(num_auxiliary - num_validation, num_auxiliary), measure
    )


def decide(history: History, *tested: str, of: Development | None = None, num_folds: int = 5) -> ShippingDecision:
    finalists = finalists_of(history, num_folds=num_folds, finalists=9)
    names = tested or tuple(record.trial_id for record in finalists.trials)
    return choose(of or development(11), names, history, finalists)


# -------------------------------------------------------------------------------------------- how many folds


@pytest.mark.parametrize(
    ("num_auxiliary", "expected"),
    [(3, 0), (4, 2), (5, 2), (6, 3), (9, 4), (10, 5), (11, 5), (29, 5), (30, 5), (100, 5)],
)
def test_as_many_folds_as_there_are_pairs_of_classes_up_to_five(num_auxiliary: int, expected: int) -> None:
    assert num_class_folds(development(num_auxiliary)) == expected


def test_without_validation_classes_there_are_no_folds() -> None:
    assert num_class_folds(development(10, measure="map_at_r")) == 0


def test_every_fold_has_something_to_recognise() -> None:
    """Of ten classes the last four have one recording each: five folds of two would deal c6 to one without a query."""
    train, single = classes(0, 6), classes(6, 10, recordings=1)
    # Five folds: {c0 c5} {c1 c6} {c2 c7} {c3 c8} {c4 c9}: each has a class with more.
    assert num_class_folds(Development(train, single, "one_shot_accuracy")) == 5
    few = Development(classes(0, 2), classes(2, 10, recordings=1), "one_shot_accuracy")
    # Two folds: {c0 c2 ...} {c1 c3 ...}: each has one with more; with three, {c2 c5 c8} has none.
    assert num_class_folds(few) == 2
    alone = Development(classes(0, 5, recordings=1), classes(5, 10, recordings=1), "one_shot_accuracy")
    assert num_class_folds(alone) == 0


# --------------------------------------------------------------------------------------------- without class folds


@pytest.mark.parametrize(
    ("few", "reason"),
    [
        (development(3), "too few auxiliary classes (3) for class folds"),
        (development(5, measure="map_at_r"), "validation has no separate classes"),
        (development(40, measure="map_at_r"), "validation has no separate classes"),
    ],
)
def test_without_evidence_the_best_baseline_by_validation_ships(few: Development, reason: str) -> None:
    found = decide(searched(0.99, default="t1", raw_1nn=0.5, dtw_1nn=0.6), of=few, num_folds=0)
    assert (found.trial_id, found.candidate) == (None, free("dtw_1nn"))
    assert reason in found.reason
    assert (found.folds, found.better_than_default, found.better_than_baseline) == (None, None, None)


# ------------------------------------------------------------------------------------------------- by class folds


def test_a_trained_model_ships_if_its_interval_lies_above_zero() -> None:
    history = searched(0.3, raw_1nn=0.9, dtw_1nn=0.99)  # validation says otherwise, and does not count
    found = decide(scored_on(history, ("t1", BETTER), ("raw_1nn", [0.5] * 5), ("dtw_1nn", DTW)))
    assert (found.trial_id, found.candidate) == ("t1", free("dtw_1nn"))
    assert found.reason == (
        "best over 5 class folds of the 11 auxiliary classes (t1 0.830, best baseline dtw_1nn 0.750; difference "
        f"+0.080, 95 % interval [{0.08 - HALF:+.3f}, {0.08 + HALF:+.3f}])"
    )
    assert found.better_than_default is None, "there is no default"
    # Student's t of four degrees of freedom at .08 / (.0273861 * sqrt(.45)) = 4.3547.
    assert found.better_than_baseline == pytest.approx(0.99395, abs=1e-4)


def test_a_higher_mean_alone_is_not_enough() -> None:
    found = decide(scored_on(searched(0.99, dtw_1nn=0.1), ("t1", LUCKY), ("dtw_1nn", DTW)))
    assert (found.trial_id, found.candidate) == (None, free("dtw_1nn"))
    assert found.reason.startswith(
        "no trained model was clearly better over 5 class folds of the 11 auxiliary classes (best t1 0.840, best "
        "baseline dtw_1nn 0.750; difference +0.090, 95 % interval [-0.1"
    )
    assert found.better_than_baseline is None


def test_a_model_that_is_as_good_or_clearly_worse_does_not_ship() -> None:
    for accuracies in (DTW, [a - 0.1 for a in DTW]):
        found = decide(scored_on(searched(0.99, dtw_1nn=0.1), ("t1", accuracies), ("dtw_1nn", DTW)))
        assert found.trial_id is None


def test_the_highest_lower_end_ships_and_not_the_highest_mean() -> None:
    history = scored_on(searched(0.9, 0.8, dtw_1nn=0.1), ("t1", LUCKY), ("t2", BETTER), ("dtw_1nn", DTW))
    found = decide(history)
    assert found.trial_id == "t2"
    assert found.folds is not None
    assert [row.name for row in found.folds.rows] == ["dtw_1nn", "t2", "t1"]


def test_of_configurations_without_a_final_model_none_ships() -> None:
    history = scored_on(
        searched(0.9, 0.8, dtw_1nn=0.1), ("t1", BETTER), ("t2", [a - 0.01 for a in BETTER]), ("dtw_1nn", DTW)
    )
    assert decide(history).trial_id == "t1"
    assert decide(history, "t2").trial_id == "t2"


def test_the_probability_of_being_better_than_the_default() -> None:
    history = searched(0.9, 0.8, default="t2", dtw_1nn=0.1)
    scored_on(history, ("t1", BETTER), ("t2", DTW), ("dtw_1nn", [a - 0.001 for a in DTW]))
    found = decide(history)
    assert found.trial_id == "t1"
    assert found.better_than_default == pytest.approx(0.99395, abs=1e-4)
    history = searched(0.9, 0.8, default="t1", dtw_1nn=0.1)
    found = decide(scored_on(history, ("t1", BETTER), ("t2", LUCKY), ("dtw_1nn", DTW)))
    assert (found.trial_id, found.better_than_default) == ("t1", None), "it is the default"
    history = searched(0.9, default="t1", dtw_1nn=0.1)
    found = decide(scored_on(history, ("t1", DTW), ("dtw_1nn", BETTER)))
    assert (found.trial_id, found.better_than_baseline) == (None, None)
    assert found.better_than_default == pytest.approx(0.99395, abs=1e-4)


def test_each_baseline_stands_by_its_best_candidate_over_the_folds() -> None:
    """Validation preferred another normalisation, and another baseline: that does not count here."""
    history = searched(0.9, raw_1nn=0.99, dtw_1nn=[0.5, 0.46])
    scored_on(history, ("t1", BETTER), ("raw_1nn", [0.6] * 5), ("dtw_1nn", DTW), (free("dtw_1nn", 1), [0.9] * 5))
    found = decide(history)
    assert (found.trial_id, found.candidate) == (None, free("dtw_1nn", 1))
    assert found.folds is not None
    assert [(row.name, row.candidate) for row in found.folds.rows[:2]] == [
        ("dtw_1nn", free("dtw_1nn", 1)), ("raw_1nn", free("raw_1nn")),
    ]  # fmt: skip
    difference = found.folds.rows[-1].difference
    assert difference is not None
    assert difference.mean == pytest.approx(0.83 - 0.9)


def test_fewer_folds_than_a_repeat_are_what_is_known_where_the_time_was_up() -> None:
    history = searched(0.9, dtw_1nn=0.5)
    found = decide(scored_on(history, ("t1", [a + 0.2 for a in DTW[:3]]), ("dtw_1nn", DTW)))
    assert found.trial_id == "t1"
    assert found.folds is not None
    assert (found.folds.num_scored, found.folds.ending) == (3, "the time was up")
    for count in (0, 1):
        history = searched(0.9, raw_1nn=0.4, dtw_1nn=0.5)
        scored_on(history, ("t1", [0.9] * count), ("raw_1nn", [0.1] * count), ("dtw_1nn", [0.2] * count))
        found = decide(history)
        assert (found.trial_id, found.candidate) == (None, free("dtw_1nn"))
        assert found.better_than_default is None


def test_a_configuration_that_failed_on_a_fold_does_not_compete_and_says_why() -> None:
    history = scored_on(
        searched(0.9, 0.8, dtw_1nn=0.1), ("t1", [0.99, "the loss is not finite"]), ("t2", BETTER), ("dtw_1nn", DTW)
    )
    found = decide(history)
    assert found.trial_id == "t2"
    assert found.folds is not None
    last = found.folds.rows[-1]
    assert (last.name, last.accuracies, last.error) == ("t1", (0.99,), "fold 2, repeat 1: the loss is not finite")
    found = decide(scored_on(searched(0.9, dtw_1nn=0.1), ("t1", ["boom"]), ("dtw_1nn", DTW)))
    assert (found.trial_id, found.candidate) == (None, free("dtw_1nn"))
    assert found.reason == "no trained model completed over 5 class folds of the 11 auxiliary classes"


def test_rows_by_hand() -> None:
    history = searched(0.5, 0.4, default="t2", dtw_1nn=0.5)
    scored_on(history, ("t1", BETTER), ("t2", [0.1] * 5), ("dtw_1nn", DTW))
    finalists = finalists_of(history)
    race = finalists.race(history)
    assert race is not None
    baseline, trained, default = fold_table(history, finalists, race).rows
    assert (baseline.mean, baseline.std) == (pytest.approx(0.75), pytest.approx(0.0790569))
    assert (trained.mean, trained.std) == (pytest.approx(0.83), pytest.approx(0.0570088))
    assert trained.difference is not None
    assert trained.difference.mean == pytest.approx(0.08)
    assert (trained.error, trained.dropped, trained.is_default) == (None, False, False)
    assert (default.name, default.dropped, default.is_default) == ("t2", True, True)
