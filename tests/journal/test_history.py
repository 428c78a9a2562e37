"""What the events of a search say together."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_events import made_events, trial_events
from support.made_history import candidate, epoch, search_begun

from sldml.journal import (
    ALL,
    AttemptBegun,
    BaselineScore,
    BaselinesScored,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    History,
    LeftOut,
    TrialEpoch,
    TrialRecord,
)


def history_of(*events: Any) -> History:
    history = History()
    for event in events:
        history.apply(event)
    return history


def record(trial_id: str, state: Any, *values: float) -> TrialRecord:
    return TrialRecord(trial_id, {}, 0.0, state, [epoch(i, value) for i, value in enumerate(values, start=1)])


def test_a_whole_search():
    history = history_of(*made_events())
    assert history.search.name == "demo-20261122-133000"
    assert len(history.attempts) == 1
    assert history.ended is not None
    assert history.ended.state == "completed"
    assert {name: b.best.val for name, b in history.baselines.items()} == {
        "raw_1nn": 0.4,
        "dtw_1nn": 0.6,
        "untrained": 0.3,
    }
    assert history.baselines["dtw_1nn"].best.test == pytest.approx(0.5)
    trial = history.trials["t1"]
    assert (trial.value, trial.state) == (0.6, "completed")
    assert history.finals["t1", 1].state == "completed"
    assert history.shipped is not None
    assert history.shipped.name == "t1"
    assert history.counts() == {"completed": 1, "failed": 1}
    assert [training.trial_id for training in history.trainings()] == ["t1", "t2", "t1"]
    assert history.updated == history.ended.time


def test_baselines_are_in_the_order_of_the_space_in_whatever_order_they_are_scored():
    candidates = [candidate(name, center=center) for name in ("raw_1nn", "dtw_1nn") for center in ("none", "mean")]
    scores = [BaselineScore(candidate=found, place=place, val=0.5) for place, found in enumerate(candidates)]
    history = history_of(
        BaselinesScored(scores=scores[2:], worker="h:1", seconds=3.0),
        BaselinesScored(scores=scores[1:2], worker="h:2", seconds=2.0),
    )
    assert list(history.baselines) == ["raw_1nn", "dtw_1nn"]
    assert history.baselines["raw_1nn"].scores == (scores[1],)
    tested = [score.model_copy(update={"test": 0.4}) for score in scores]
    history.apply(BaselinesScored(scores=scores[:1], worker="h:1", seconds=1.0))
    assert history.baselines["raw_1nn"].scores == tuple(scores[:2])
    assert history.baselines["dtw_1nn"].best == scores[2], "the first of equals"
    history.apply(BaselinesScored(scores=tested))
    assert history.baselines["dtw_1nn"].scores == tuple(tested[2:]), "the sealed test adds no candidate"
    assert [event.seconds for event in history.scorings] == [3.0, 2.0, 1.0], "the work on validation"


def test_the_best_on_validation_and_those_on_class_folds_stand_for_a_baseline():
    centers = ("none", "mean", "every_frame")
    candidates = [candidate("dtw_1nn", center=center) for center in centers]
    scores = [
        BaselineScore(candidate=found, place=place, val=val)
        for place, (found, val) in enumerate(zip(candidates, (0.5, 0.7, 0.6), strict=True))
    ]
    history = history_of(BaselinesScored(scores=scores))
    assert history.standing() == [scores[1]]
    for place in (0, 1):
        history.apply(FoldScored(candidate=candidates[place], repeat=1, fold=1, num_folds=2, accuracy=0.5))
    assert history.standing() == scores[:2]


def test_what_a_call_left_out_is_forgotten_by_the_next():
    begun = search_begun()
    attempt = AttemptBegun(settings=begun.settings, slots=2, environment=begun.environment)
    history = history_of(begun, attempt, LeftOut(what="2 of 3 trials"), LeftOut(what="the sealed test"))
    assert history.left_out == ["2 of 3 trials", "the sealed test"]
    history.apply(attempt)
    assert history.left_out == []


def test_before_its_first_event_a_search_has_no_identity():
    assert History().by_choice() == {ALL: []}
    with pytest.raises(ValueError, match="has not begun"):
        _ = History().search


def test_epochs_reported_again_replace_the_later_ones():
    history = history_of(*trial_events("t", state="running"))
    for number, best in [(1, 0.1), (2, 0.2), (3, 0.9), (2, 0.3), (3, 0.4)]:
        history.apply(TrialEpoch(trial_id="t", **epoch(number, best).model_dump()))
    trial = history.trials["t"]
    assert [(e.epoch, e.value) for e in trial.epochs] == [(1, 0.1), (2, 0.3), (3, 0.4)]
    assert trial.value == 0.4


def test_final_epochs_reported_again_replace_the_later_ones():
    history = history_of(FinalStarted(trial_id="t", seed=0, config={}))
    for number in (1, 2, 3, 2):
        history.apply(FinalEpoch(trial_id="t", seed=0, epoch=number))
    assert [e.epoch for e in history.finals["t", 0].epochs] == [1, 2]


def test_events_of_trainings_that_never_started_are_refused():
    with pytest.raises(ValueError, match="epoch of a training that never started"):
        history_of(TrialEpoch(trial_id="t", epoch=1))
    with pytest.raises(ValueError, match="final_epoch of a training that never started"):
        history_of(FinalEpoch(trial_id="t", seed=0, epoch=1))


def test_folds_are_those_of_a_trial_or_a_candidate_in_their_order():
    def scored(fold: int, accuracy: float | None, repeat: int = 1, **who: Any) -> FoldScored:
        error = "boom" if accuracy is None else None
        return FoldScored(repeat=repeat, fold=fold, num_folds=2, accuracy=accuracy, error=error, **who)

    first, other = candidate("raw_1nn", center="a"), candidate("raw_1nn", center="b")
    events = [
        scored(1, 0.3, repeat=2, trial_id="t0"),
        scored(2, 0.2, trial_id="t0"),
        scored(1, None, trial_id="t0"),
        scored(1, 0.5, candidate=first),
        scored(1, 0.6, candidate=other),
    ]
    history = history_of(*events)
    assert history.fold_accuracies("t0") == [0.2, 0.3]
    assert history.fold_accuracies(first.key) == [0.5]
    assert history.folds[other.key, 1, 1] == events[-1]
    again = history_of(*events, scored(1, 0.1, trial_id="t0"))  # tried again by the next call
    assert again.fold_accuracies("t0") == [0.1, 0.2, 0.3]
    assert candidate("raw_1nn", center="a").key == first.key != other.key


def test_the_trial_of_the_default_configuration():
    history = History(search_begun(default={"optimizer.lr": 0.5}))
    for name, lr in (("t1", 0.1), ("t2", 0.5)):
        history.trials[name] = TrialRecord(name, {}, 0.0, params={"optimizer.lr": lr})
    assert history.default_trial is history.trials["t2"]
    history.begun = search_begun()
    assert history.default_trial is None


def test_a_trials_value_is_that_of_its_last_epoch():
    assert record("t", "completed", 0.2, 0.9, 0.5).value == 0.5
    assert record("t", "failed").value is None


def test_ranking_is_by_epochs_then_by_validation_then_by_time():
    trials = [
        record("t0", "pruned", 0.6),
        record("t1", "running", 0.7),
        record("t2", "completed", 0.2, 0.7),
        record("t3", "completed", 0.7),
        record("t4", "diverged", 0.9),
        record("t5", "failed", 0.95),
        record("t6", "running"),
        record("t7", "completed", 0.8),
        record("t8", "pruned", 0.7),
        record("t9", "completed", 0.0),
    ]
    history = History(trials={trial.trial_id: trial for trial in reversed(trials)})
    assert [trial.trial_id for trial in history.ranked()] == ["t2", "t7", "t1", "t3", "t8", "t0", "t9"]
    assert history.counts() == {"completed": 4, "pruned": 2, "running": 2, "diverged": 1, "failed": 1}


def test_trials_by_choice():
    compare = {"axis": "loss", "choices": ["arcface", "triplet_margin"], "against": "arcface", "num_folds": 3}
    history = History(search_begun(compare=compare))
    for name in ("triplet_margin", "arcface", "triplet_margin"):
        trial_id = f"t{len(history.trials)}"
        history.trials[trial_id] = TrialRecord(trial_id, {"loss": {"name": name}}, 0.0)
    by_choice = {choice: [t.trial_id for t in trials] for choice, trials in history.by_choice().items()}
    assert by_choice == {"arcface": ["t1"], "triplet_margin": ["t0", "t2"]}
