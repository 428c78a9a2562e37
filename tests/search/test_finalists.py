"""Who is a finalist, in which order finalists leave the race, and what workers are asked for."""

from __future__ import annotations

import pytest
from support.made_finalists import CONFIG, finalists_of, free, scored_on, searched

from sldml.config.training import EvaluationConfig
from sldml.search.final import FoldScoring, FoldTraining, NothingToTrainError
from sldml.search.finalists import Finalists, best_of_each_baseline, fold_seed
from sldml.search.race import Finalist, FoldTask, Race

FREE = [0.70, 0.80, 0.75, 0.65, 0.85]
STEADY = [0.73, 0.83, 0.79, 0.68, 0.89]  # differences .03 .03 .04 .03 .04
LUCKY = [0.95, 0.75, 0.95, 0.60, 0.95]  # a higher mean, differences .25 -.05 .20 -.05 .10


def names(finalists: Finalists) -> list[str]:
    return [record.trial_id for record in finalists.trials]


def race_of(finalists: Finalists, history: object, **options: bool) -> Race:
    race = finalists.race(history, **options)  # type: ignore[arg-type]
    assert race is not None
    return race


def test_the_best_by_validation_and_the_default_configuration() -> None:
    history = searched(0.2, 0.9, 0.7, 0.8, default="t1", dtw_1nn=0.5)
    assert names(finalists_of(history, finalists=2)) == ["t2", "t4", "t1"]
    assert names(finalists_of(history, finalists=4)) == ["t2", "t4", "t3", "t1"]
    history.trials["t1"].state = "diverged"
    assert names(finalists_of(history, finalists=2)) == ["t2", "t4"]
    assert names(finalists_of(searched(0.2, 0.9, dtw_1nn=0.5), finalists=1)) == ["t2"]


def test_up_to_three_candidates_of_each_baseline_that_are_nearly_its_best() -> None:
    history = searched(0.5, raw_1nn=[0.3, 0.36, 0.4], dtw_1nn=[0.62, 0.58, 0.55])
    found = finalists_of(history).candidates
    assert found == (free("raw_1nn", 2), free("raw_1nn", 1), free("dtw_1nn", 0), free("dtw_1nn", 1))
    assert list(finalists_of(history).names().values()) == ["t1", "raw_1nn", "raw_1nn 2", "dtw_1nn", "dtw_1nn 2"]


def test_without_a_usable_trial_there_are_none() -> None:
    history = searched(0.5, dtw_1nn=0.5)
    history.trials["t1"].state = "failed"
    with pytest.raises(NothingToTrainError, match="all of them failed or diverged"):
        finalists_of(history)


def test_the_order_is_by_the_lower_end_against_the_best_baseline() -> None:
    history = searched(0.9, 0.8, 0.7, dtw_1nn=0.5)
    scored_on(history, ("t1", LUCKY), ("t2", STEADY), ("t3", ["boom"]), ("dtw_1nn", FREE))
    finalists = finalists_of(history)
    assert [record.trial_id for record in finalists.order(race_of(finalists, history))] == ["t2", "t1", "t3"]
    assert [record.trial_id for record in finalists.order(None)] == ["t1", "t2", "t3"]


def test_who_was_dropped_comes_after_those_who_stayed() -> None:
    history = searched(0.9, 0.8, 0.7, dtw_1nn=0.5)
    scored_on(history, ("t1", [0.2] * 5), ("t2", LUCKY), ("t3", STEADY), ("dtw_1nn", FREE))
    finalists = finalists_of(history)
    race = race_of(finalists, history)
    assert race.standing("t1").dropped
    assert [record.trial_id for record in finalists.order(race)] == ["t3", "t2", "t1"]


def test_the_race_has_the_epochs_of_all_trials_and_the_scores_of_the_journal() -> None:
    history = searched(0.9, 0.8, dtw_1nn=0.5)
    finalists = finalists_of(history, fold_repeats=3)
    assert finalists.race(history) is not None
    assert finalists_of(history, num_folds=0).race(history) is None
    scored_on(history, ("t1", LUCKY), ("t2", STEADY), ("dtw_1nn", FREE))
    race = race_of(finalists, history)  # 30 epochs for ten trainings, and all trials together had six
    assert (race.num_scored, race.ending) == (5, "the folds have cost as many epochs as the trials")
    assert race.standing("t1").accuracies == tuple(LUCKY)
    other = finalists_of(history, num_folds=4)
    assert race_of(other, history).num_scored == 0, "scores on other folds do not count"


def test_what_failed_is_out_unless_it_is_tried_again() -> None:
    history = scored_on(searched(0.9, 0.8, dtw_1nn=0.5), ("t1", [0.5, "boom"]), ("t2", STEADY), ("dtw_1nn", FREE))
    finalists = finalists_of(history)
    assert race_of(finalists, history).standing("t1").error == "fold 2, repeat 1: boom"
    again = race_of(finalists, history, tries_again=True)
    task = again.next()
    assert task is not None
    assert (task.finalist.key, task.repeat, task.fold) == ("t1", 1, 2)


def test_a_configuration_is_trained_on_a_fold_with_a_seed_of_the_fold_and_the_draws_of_all() -> None:
    finalists = finalists_of(searched(0.9, dtw_1nn=0.5))
    evaluation = EvaluationConfig(num_draws=7, seed=3, num_folds=4)
    found = finalists.to_score(FoldTask(Finalist("t1", True, 3), 2, 4), evaluation)
    assert isinstance(found, FoldTraining)
    shared = {"num_draws": 7, "seed": 3, "num_folds": 1}
    assert found.config == {**CONFIG, "seed": fold_seed(2, 4), "evaluation": shared}
    assert (found.num_epochs, found.num_folds, found.repeat, found.fold) == (3, 5, 2, 4)
    candidate = free("dtw_1nn")
    scoring = finalists.to_score(FoldTask(Finalist(candidate.key, False), 2, 4), evaluation)
    assert isinstance(scoring, FoldScoring)
    assert (scoring.candidate, scoring.evaluation.model_dump()) == (candidate, shared)
    assert scoring.name == "dtw_1nn fold 4, repeat 2"


def test_no_two_folds_share_a_seed_and_none_has_one_of_the_finals() -> None:
    seeds = {fold_seed(repeat, fold) for repeat in range(1, 21) for fold in range(1, 6)}
    assert len(seeds) == 100
    assert min(seeds) > 1_000


def test_the_best_candidate_over_the_folds_stands_for_its_baseline() -> None:
    history = searched(0.9, raw_1nn=0.4, dtw_1nn=[0.6, 0.59])
    better = [a + 0.05 + 0.01 * (i % 2) for i, a in enumerate(FREE)]
    scored_on(history, ("t1", FREE), ("raw_1nn", FREE), (free("dtw_1nn"), FREE), (free("dtw_1nn", 1), better))
    finalists = finalists_of(history)
    found = best_of_each_baseline(finalists.candidates, race_of(finalists, history))
    assert [candidate for candidate, _ in found] == [free("dtw_1nn", 1), free("raw_1nn")]
