"""What ships: by validation, by class folds, or for want of evidence without training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.small import subset_of

from sldml.config.dotted import ConfigTree
from sldml.config.representation import NormalizeConfig
from sldml.journal import (
    Accuracy,
    Baseline,
    BaselineFoldsScored,
    BaselineScore,
    Candidate,
    CandidateFolds,
    FinalResult,
    FoldsScored,
    History,
)
from sldml.protocols.split import Development, Subset
from sldml.search.choice import FEWEST_CLASSES_TO_TRUST, choose, fold_rows, num_deciding_folds

NORMALIZE = NormalizeConfig().model_dump()
OTHER = NormalizeConfig(view="face_camera").model_dump()


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


def final(trial_id: str, val_accuracy: float, num_epochs: int = 6) -> FinalResult:
    return FinalResult(
        trial_id=trial_id,
        config={},
        val_accuracy=val_accuracy,
        num_epochs=num_epochs,
        seeds=(1,),
        test_accuracy=Accuracy(mean=0.5, ci95=None, values=(0.5,)),
        confusions=(),
    )


def free(name: str, accuracies: list[float], normalize: ConfigTree = NORMALIZE) -> CandidateFolds:
    return CandidateFolds(candidate=Candidate(baseline=name, normalize=normalize), accuracies=accuracies)


def history(trained: dict[str, list[float] | None] | None = None, *candidates: CandidateFolds, **val: float) -> History:
    past = History()
    for name, value in val.items():
        known = BaselineScore(candidate=Candidate(baseline=name, normalize=NORMALIZE), val=value)
        past.baselines[name] = Baseline(name, (known,))
    if candidates:
        past.baseline_folds = BaselineFoldsScored(num_folds=5, scores=candidates)
    for trial_id, accuracies in (trained or {}).items():
        error = None if accuracies else "fold 2: the loss is not finite in epoch 1"
        past.folds[trial_id] = FoldsScored(
            trial_id=trial_id, num_epochs=6, num_folds=5, accuracies=accuracies, error=error
        )
    return past


DTW = [0.70, 0.80, 0.75, 0.65, 0.85]  # mean .75
BETTER = [0.80, 0.85, 0.85, 0.75, 0.90]  # mean .83; differences .10 .05 .10 .10 .05: .08 +- .034
LUCKY = [0.95, 0.75, 0.95, 0.60, 0.95]  # mean .84; differences .25 -.05 .20 -.05 .10: .09 +- .172


# -------------------------------------------------------------------------------------------- how many folds


@pytest.mark.parametrize(
    ("num_auxiliary", "expected"),
    [(3, 0), (4, 2), (5, 2), (6, 3), (9, 4), (10, 5), (11, 5), (29, 5), (30, 0), (100, 0)],
)
def test_as_many_folds_as_there_are_pairs_of_classes_up_to_five(num_auxiliary: int, expected: int) -> None:
    assert num_deciding_folds(development(num_auxiliary)) == expected


def test_without_validation_classes_folds_do_not_decide() -> None:
    assert num_deciding_folds(development(10, measure="map_at_r")) == 0


def test_every_fold_has_something_to_recognise() -> None:
    """Of ten classes the last four have one recording each: five folds of two would deal c6 to one without a query."""
    train, single = classes(0, 6), classes(6, 10, recordings=1)
    # Five folds: {c0 c5} {c1 c6} {c2 c7} {c3 c8} {c4 c9}: each has a class with more.
    assert num_deciding_folds(Development(train, single, "one_shot_accuracy")) == 5
    few = Development(classes(0, 2), classes(2, 10, recordings=1), "one_shot_accuracy")
    # Two folds: {c0 c2 ...} {c1 c3 ...}: each has one with more; with three, {c2 c5 c8} has none.
    assert num_deciding_folds(few) == 2
    alone = Development(classes(0, 5, recordings=1), classes(5, 10, recordings=1), "one_shot_accuracy")
    assert num_deciding_folds(alone) == 0


# ----------------------------------------------------------------------------------------------- by validation


def test_with_many_classes_validation_decides() -> None:
    many = development(FEWEST_CLASSES_TO_TRUST)
    past = history(None, raw_1nn=0.5, dtw_1nn=0.6)
    choice = choose(many, [final("t1", 0.61), final("t2", 0.605)], past)
    assert (choice.trial_id, choice.candidate.baseline, choice.folds) == ("t1", "dtw_1nn", None)
    assert "dtw_1nn: 0.600" in choice.reason
    choice = choose(many, [final("t1", 0.6)], past)
    assert choice.trial_id is None
    assert "no trained model is better than dtw_1nn" in choice.reason


@pytest.mark.parametrize(
    ("few", "reason"),
    [
        (development(3), "too few validation classes to choose reliably (3 auxiliary classes)"),
        (development(5, measure="map_at_r"), "validation has no separate classes"),
        (development(40, measure="map_at_r"), "validation has no separate classes"),
    ],
)
def test_without_evidence_the_training_free_way_ships(few: Development, reason: str) -> None:
    choice = choose(few, [final("t1", 0.99)], history(None, raw_1nn=0.5, dtw_1nn=0.6))
    assert (choice.trial_id, choice.candidate.baseline) == (None, "dtw_1nn")
    assert reason in choice.reason


# ---------------------------------------------------------------------------------------------- by class folds


def test_a_trained_model_ships_if_the_paired_interval_lies_above_zero() -> None:
    past = history({"t1": BETTER}, free("raw_1nn", [0.5] * 5), free("dtw_1nn", DTW), raw_1nn=0.9, dtw_1nn=0.99)
    choice = choose(development(11), [final("t1", 0.3)], past)  # validation says otherwise, and does not count
    assert choice.trial_id == "t1"
    assert choice.candidate.baseline == "dtw_1nn"
    # By hand: mean .08, standard deviation .027386, Student's t for four degrees of freedom 2.77645.
    half = 2.77645 * 0.0273861 / 5**0.5
    assert choice.reason == (
        "best over 5 folds of the 11 auxiliary classes (t1 0.830, best baseline dtw_1nn 0.750; difference +0.080, "
        f"paired 95 % interval [{0.08 - half:+.3f}, {0.08 + half:+.3f}])"
    )
    assert choice.folds is not None
    assert choice.folds.num_folds == 5
    assert [row.name for row in choice.folds.rows] == ["dtw_1nn", "raw_1nn", "t1"]


def test_a_higher_mean_alone_is_not_enough() -> None:
    past = history({"t1": LUCKY}, free("dtw_1nn", DTW), dtw_1nn=0.1)
    choice = choose(development(11), [final("t1", 0.99)], past)
    assert choice.trial_id is None
    assert choice.reason.startswith(
        "no trained model was significantly better over 5 folds of the 11 auxiliary classes (best t1"
    )
    assert "paired 95 % interval [-0.082, +0.262])" in choice.reason


def test_a_model_that_is_as_good_or_clearly_worse_does_not_ship() -> None:
    for accuracies in (DTW, [a - 0.1 for a in DTW]):
        past = history({"t1": accuracies}, free("dtw_1nn", DTW), dtw_1nn=0.1)
        assert choose(development(11), [final("t1", 0.99)], past).trial_id is None


def test_the_best_over_the_folds_stands_for_the_trained_ones_and_ties_keep_validations_order() -> None:
    worse = [a - 0.01 for a in BETTER]
    past = history({"t1": worse, "t2": BETTER, "t3": list(BETTER)}, free("dtw_1nn", DTW), dtw_1nn=0.1)
    finals = [final("t1", 0.9), final("t3", 0.8), final("t2", 0.7)]
    assert choose(development(11), finals, past).trial_id == "t3"
    rows = fold_rows(finals, past, 5)
    assert [row.name for row in rows] == ["dtw_1nn", "t3", "t2", "t1"]


def test_each_training_free_way_stands_by_its_best_candidate_over_the_folds() -> None:
    """Validation preferred another normalisation, and another way: that does not count here."""
    past = history(
        {"t1": BETTER},
        free("raw_1nn", [0.6] * 5),
        free("dtw_1nn", DTW, NORMALIZE),
        free("dtw_1nn", [0.9] * 5, OTHER),
        raw_1nn=0.99,
        dtw_1nn=0.5,
    )
    choice = choose(development(11), [final("t1", 0.9)], past)
    assert (choice.trial_id, choice.candidate) == (None, Candidate(baseline="dtw_1nn", normalize=OTHER))
    assert choice.folds is not None
    row = choice.folds.rows[-1]
    assert row.difference is not None
    assert row.difference.mean == pytest.approx(0.83 - 0.9)


def test_rows_by_hand() -> None:
    free_row, trained = fold_rows([final("t1", 0.5)], history({"t1": BETTER}, free("dtw_1nn", DTW)), 5)
    assert (free_row.mean, free_row.std) == (pytest.approx(0.75), pytest.approx(0.0790569))
    assert (trained.mean, trained.std) == (pytest.approx(0.83), pytest.approx(0.0570088))
    assert trained.difference is not None
    assert trained.difference.mean == pytest.approx(0.08)
    assert trained.error is None


def test_a_configuration_that_failed_on_a_fold_does_not_compete_and_says_why() -> None:
    past = history({"t1": None, "t2": BETTER}, free("dtw_1nn", DTW), dtw_1nn=0.1)
    finals = [final("t1", 0.9), final("t2", 0.8)]
    assert choose(development(11), finals, past).trial_id == "t2"
    last = fold_rows(finals, past, 5)[-1]
    assert (last.name, last.mean, last.difference) == ("t1", None, None)
    assert last.error == "fold 2: the loss is not finite in epoch 1"
    choice = choose(development(11), finals[:1], past)
    assert choice.trial_id is None
    assert "no trained model completed over 5 folds" in choice.reason


def test_scores_of_another_number_of_epochs_do_not_count() -> None:
    past = history({"t1": BETTER}, free("dtw_1nn", DTW), dtw_1nn=0.1)
    choice = choose(development(11), [final("t1", 0.9, num_epochs=7)], past)
    assert choice.trial_id is None
