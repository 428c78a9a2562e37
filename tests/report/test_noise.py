"""Whether a difference is noise: intervals by hand, what is compared with what, and how often they are right."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from support.made_history import candidate

from sldml.journal import OBJECTIVE, BaselineScore, Epoch, History, TrialRecord, TrialState
from sldml.report.noise import (
    Difference,
    Score,
    against_best,
    baseline_score,
    difference,
    indistinguishable,
    noise_sentence,
    trial_score,
)


def by_class(right: list[float], queries: list[float]) -> Score:
    return Score(sum(right) / sum(queries), 0.05, (), tuple(right), tuple(queries))


def by_fold(*accuracies: float) -> Score:
    return Score(float(np.mean(accuracies)), 0.05, accuracies)


# --------------------------------------------------------------------------------------------------- intervals


def test_over_classes_of_equal_size_it_is_the_paired_t_interval() -> None:
    # Differences .1, .2, .1: mean .1333, standard deviation .057735, standard error .033333, t(2) = 4.302653.
    found = difference(by_class([9, 8, 10], [10, 10, 10]), by_class([8, 6, 9], [10, 10, 10]))
    assert found.value == pytest.approx(0.4 / 3)
    assert found.ci95 == pytest.approx((0.4 / 3 - 0.143422, 0.4 / 3 + 0.143422), abs=1e-6)
    assert found.may_be_chance is True


def test_over_classes_of_unequal_size_each_counts_by_its_queries() -> None:
    # Differences 0 and .1, weights 1/4 and 3/4: mean .075. Weighted residuals ∓.01875, so the standard error is
    # sqrt(2/1 * 2 * .01875²) = .0375, and t(1) = 12.706205.
    found = difference(by_class([5, 15], [10, 30]), by_class([5, 12], [10, 30]))
    assert found.value == pytest.approx(0.075)
    assert found.ci95 == pytest.approx((0.075 - 0.476483, 0.075 + 0.476483), abs=1e-6)


def test_over_folds_each_fold_is_one_observation() -> None:
    # Differences .1, .05, .15: mean .1, standard deviation .05, standard error .0288675, t(2) = 4.302653.
    found = difference(by_fold(0.8, 0.7, 0.9), by_fold(0.7, 0.65, 0.75))
    assert found.value == pytest.approx(0.1)
    assert found.ci95 == pytest.approx((0.1 - 0.124207, 0.1 + 0.124207), abs=1e-6)
    assert found.may_be_chance is True


def test_what_is_hard_for_both_is_not_noise() -> None:
    first, second = by_class([3, 6, 9, 5], [10] * 4), by_class([1, 4, 7, 3], [10] * 4)
    found = difference(first, second)
    assert found.ci95 == pytest.approx((0.2, 0.2))
    assert found.may_be_chance is False
    assert difference(second, first).ci95 == pytest.approx((-0.2, -0.2))
    assert difference(first, first) == Difference(0.0, (0.0, 0.0))
    assert difference(first, first).may_be_chance is True


def test_the_spread_over_draws_decides_nothing() -> None:
    first, second = ([3, 6, 9, 5], [10] * 4), ([1, 5, 7, 3], [10] * 4)
    wide = [Score(s.value, 0.5, (), s.right, s.queries) for s in (by_class(*first), by_class(*second))]
    assert difference(*wide) == difference(by_class(*first), by_class(*second))


def test_classes_without_queries_say_nothing() -> None:
    first, second = by_class([3, 0, 6, 9], [10, 0, 10, 10]), by_class([2, 0, 6, 7], [10, 0, 10, 10])
    assert difference(first, second) == difference(by_class([3, 6, 9], [10] * 3), by_class([2, 6, 7], [10] * 3))


def test_a_trial_that_was_stopped_is_compared_on_the_folds_that_both_have_seen() -> None:
    assert difference(by_fold(0.8, 0.7), by_fold(0.7, 0.65, 0.1)) == difference(by_fold(0.8, 0.7), by_fold(0.7, 0.65))
    assert difference(by_fold(0.8, 0.1, 0.1), by_fold(0.7)).value == pytest.approx(0.1)


def test_a_single_class_or_fold_may_mean_anything() -> None:
    assert difference(by_class([9], [10]), by_class([1], [10])).ci95 == (-1.0, 1.0)
    assert difference(by_fold(0.9), by_fold(0.1)).ci95 == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (by_fold(0.8, 0.9), by_class([9, 8], [10, 10])),
        (by_class([9, 8], [10, 10]), by_fold(0.8, 0.9)),
        (by_class([9, 8], [10, 10]), by_class([9, 8, 7], [10, 10, 10])),
        (Score(0.8, 0.03), Score(0.5, 0.03)),
    ],
    ids=["folds, classes", "classes, folds", "other classes", "nothing known"],
)
def test_what_is_not_over_the_same_classes_has_no_interval(first: Score, second: Score) -> None:
    found = difference(first, second)
    assert found == Difference(first.value - second.value, None)
    assert found.may_be_chance is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Classes drawn at random, of random sizes: what one would find with another set of classes."""
    rng = np.random.default_rng(0)
    held, num_trials = 0, 1_000
    for _ in range(num_trials):
        queries = rng.integers(20, 40, size=10)
        hardness = rng.normal(0.6, 0.12, size=10)  # of both
        first, second = (hardness + gain + rng.normal(0, 0.04, size=10) for gain in (0.03, 0.0))
        scores = [by_class(list(queries * share), list(queries)) for share in (first, second)]
        low, high = difference(*scores).ci95 or (0.0, 0.0)
        held += low <= 0.03 <= high
    assert 0.93 <= held / num_trials <= 0.97


def test_it_is_scipys_paired_interval() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.uniform(size=(2, 7))
    expected = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
    for scores in (
        [by_class(list(20 * shares), [20] * 7) for shares in (first, second)],
        [by_fold(*shares) for shares in (first, second)],
    ):
        assert difference(*scores).ci95 == pytest.approx((expected.low, expected.high))


# ------------------------------------------------------------------------------------------------ whole searches


def trial(trial_id: str, *epochs: Epoch, state: TrialState = "completed") -> TrialRecord:
    numbered = [epoch.model_copy(update={"epoch": i}) for i, epoch in enumerate(epochs, 1)]
    return TrialRecord(trial_id, {}, 0.0, state, numbered)


def epoch(best: float, *right: float, **metrics: float) -> Epoch:
    """With these parts, or with other metrics alone."""
    values = {"val/accuracy": best, "val/accuracy_std": 0.03} if right else {}
    queries = [10] * len(right)
    return Epoch(
        epoch=1, metrics={**values, OBJECTIVE: best, **metrics}, right_per_class=right, queries_per_class=queries
    )


def test_a_trials_score_is_that_of_its_last_epoch() -> None:
    found = trial_score(trial("t1", epoch(0.9, 9, 9), epoch(0.8, 9, 7)))
    assert found == Score(0.8, 0.03, (), (9, 7), (10, 10))
    folds = {"val/num_folds": 2, "val/accuracy_std": 0.03, "val/accuracy_fold_1": 0.7, "val/accuracy_fold_2": 0.9}
    found = trial_score(trial("t2", epoch(0.8, **folds)))
    assert found == Score(0.8, 0.03, (0.7, 0.9))
    assert found.fold_std == pytest.approx(0.02**0.5)
    assert trial_score(trial("t3")) is None


def test_retrieval_has_no_draws_and_so_no_spread() -> None:
    found = trial_score(trial("t1", epoch(0.4, **{"val/accuracy_std": 0.0})))
    assert found == Score(0.4, None)
    assert baseline_score(BaselineScore(candidate=candidate("raw_1nn"), val=0.4, val_std=0.0)) == Score(0.4, None)


def test_every_ranked_trial_is_compared_with_the_best() -> None:
    records = [
        trial("t1", epoch(0.5, 5, 6, 4)),
        trial("t2", epoch(0.8, 8, 9, 7)),
        trial("t3", epoch(0.7667, 9, 8, 6), state="pruned"),
        trial("t4", epoch(0.9, 9, 9, 9), state="diverged"),
        trial("t5", epoch(0.6)),
        trial("t6"),
    ]
    history = History(trials={record.trial_id: record for record in records})
    found = against_best(history)
    assert list(found) == ["t3", "t5", "t1"]
    assert found["t3"].may_be_chance is True  # +.1, -.1, -.1
    assert found["t5"].may_be_chance is None
    assert found["t1"].may_be_chance is False  # -.3 in each class
    assert found["t1"].value == pytest.approx(-0.3)
    assert indistinguishable(found) == ["t3"]
    assert indistinguishable({"t5": found["t5"]}) is None
    assert against_best(History()) == {}


def test_only_trials_that_were_trained_for_as_long_are_compared_with_the_best() -> None:
    longer, short = trial("t1", epoch(0.2, 2, 2), epoch(0.6, 6, 6)), trial("t2", epoch(0.9, 9, 9))
    other = trial("t3", epoch(0.9, 9, 9), epoch(0.5, 5, 5))
    history = History(trials={each.trial_id: each for each in (longer, short, other)})
    assert list(against_best(history)) == ["t3"]


def test_in_words() -> None:
    best = trial("t2", epoch(0.8, 8, 9, 7))
    assert noise_sentence(best, 0, []) is None
    assert noise_sentence(best, 4, ["t3", "t4"]) == (
        "2 of the 4 other configurations that were trained for as long are not distinguishable from the best, t2 "
        "(0.800 ± 0.030 over exemplar draws), by the 95 % intervals of their differences over 3 validation classes "
        "(t3, t4)."
    )
    assert str(noise_sentence(best, 2, ["t3", "t4"])).startswith("All 2 other configurations that were trained for")
    assert str(noise_sentence(best, 9, [f"t{i}" for i in range(3, 11)])).endswith("(t3, t4, t5, t6, t7 and 3 more).")
    assert noise_sentence(best, 4, []) == (
        "t2 (0.800 ± 0.030 over exemplar draws) is better than all 4 others that were trained for as long (95 % "
        "intervals over 3 validation classes)."
    )
    assert "is unknown" in str(noise_sentence(best, 4, None))
    folds = trial("t1", epoch(0.8, **{"val/num_folds": 2, "val/accuracy_fold_1": 0.7, "val/accuracy_fold_2": 0.9}))
    assert "t1 (0.800 ± 0.141 over class folds) is better than all 1" in str(noise_sentence(folds, 1, []))
