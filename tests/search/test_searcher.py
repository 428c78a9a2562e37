"""The study is told what really happened, and knows what earlier calls saw."""

import pytest
from optuna.trial import TrialState
from support.made_history import epoch

from sldml.config.space_file import parse_space
from sldml.config.space_tree import SpaceError
from sldml.journal import ALL, OBJECTIVE, TrialRecord
from sldml.search.searcher import Proposals
from sldml.search.study import study_trial

SPACE = """
search: {trials: 8, sampler: random}
space:
  optimizer: {lr: {float: [1.0e-4, 1.0e-1], log: true}}
  loss:
    choose:
      triplet_margin: {margin: {float: [0.05, 0.5]}}
      arcface: {}
  miner:
    when: {loss: [triplet_margin]}
    choose: {none: {}, batch_hard: {}}
"""


@pytest.fixture
def space():
    return parse_space(SPACE, "toy", "toy.yaml")


def proposals(space, earlier=()):
    return Proposals({ALL: space}, earlier={ALL: earlier}, num_trials=8)


def record(trial_id, state, curve, **params):
    params = {"optimizer.lr": 0.01, "loss.name": "arcface", **params}
    epochs = [epoch(e, v) for e, v in enumerate(curve, start=1)]
    return TrialRecord(trial_id, {}, 0.0, state, epochs, params=params)


def result(epoch, value, state="running"):
    return {"epoch": epoch, OBJECTIVE: value, "state": state, "training_iteration": 99}


def test_a_suggestion_names_the_trial_and_holds_its_whole_configuration(space):
    searcher = proposals(space)
    first, second = searcher.suggest("ray1"), searcher.suggest("ray2")
    assert [first["trial_id"], second["trial_id"]] == ["t0001", "t0002"]
    assert first["config"]["optimizer"]["lr"] == first["params"]["optimizer.lr"]
    assert first["config"]["loss"]["name"] == first["params"]["loss.name"]
    assert first["epochs_reported"] == 0


@pytest.mark.parametrize(
    ("state", "last", "told", "value"),
    [
        ("completed", result(5, 0.7), TrialState.COMPLETE, 0.7),
        ("pruned", result(5, 0.7), TrialState.PRUNED, None),
        ("diverged", result(5, 0.0), TrialState.PRUNED, None),
        ("failed", {}, TrialState.FAIL, None),
    ],
)
def test_the_study_is_told_how_a_trial_ended(space, state, last, told, value):
    searcher = proposals(space)
    searcher.suggest("ray1")
    searcher.reported("ray1", result(4, 0.6))
    if last:
        searcher.reported("ray1", last)
    searcher.ended("ray1", state, last)
    (trial,) = searcher.studies[ALL].trials
    assert trial.state == told
    if told == TrialState.PRUNED:
        # Optuna gives a pruned trial its last intermediate value: finite, and by epoch, not by report.
        assert trial.intermediate_values == {4: 0.6, 5: last[OBJECTIVE]}
    else:
        assert trial.value == value


def test_a_report_that_a_retry_repeats_is_told_once(space):
    searcher = proposals(space)
    searcher.suggest("ray1")
    searcher.reported("ray1", result(1, 0.5))
    searcher.reported("ray1", result(1, 0.9))
    assert searcher.studies[ALL].trials[0].intermediate_values == {1: 0.5}


def test_a_resumed_search_knows_ended_trials_and_hands_out_interrupted_ones_first(space):
    earlier = [
        record("t0001", "completed", [0.3, 0.6]),
        record("t0002", "running", [0.4], **{"optimizer.lr": 0.05}),
        record("t0003", "pruned", [0.2]),
        record("t0004", "diverged", [0.5, 0.0]),
        record("t0005", "failed", []),
    ]
    searcher = proposals(space, earlier)
    told = [(t.state, t.value if t.state == TrialState.COMPLETE else None) for t in searcher.studies[ALL].trials]
    assert told == [(TrialState.COMPLETE, 0.6), (TrialState.PRUNED, None), (TrialState.PRUNED, None)]
    assert searcher.studies[ALL].trials[2].intermediate_values == {2: 0.0}, "a diverged trial counts as the worst"

    resumed, new = searcher.suggest("ray1"), searcher.suggest("ray2")
    assert resumed["trial_id"] == "t0002"
    assert resumed["params"] == earlier[1].params
    assert resumed["epochs_reported"] == 1
    assert new["trial_id"] == "t0006"


def test_a_new_trial_never_has_the_name_of_an_earlier_one(space):
    """t0001 was proposed, and interrupted before its worker had started."""
    searcher = proposals(space, [record("t0002", "running", [0.4]), record("t0007", "completed", [0.5])])
    assert [searcher.suggest(f"ray{i}")["trial_id"] for i in range(3)] == ["t0002", "t0008", "t0009"]


def test_a_trial_of_another_space_is_refused(space):
    with pytest.raises(SpaceError, match=r"optimizer\.lr"):
        study_trial(space, record("t0001", "completed", [0.5], **{"optimizer.lr": 5.0}))


def test_a_paused_trial_that_continues_counts_once_with_what_it_reached(space):
    tpe = parse_space(SPACE.replace("random", "tpe"), "toy", "toy.yaml")
    searcher = proposals(tpe, [record("t0001", "paused", [0.4, 0.5])])
    assert searcher.num_left == 7, "a paused trial has begun"
    assert told_of(searcher) == [(TrialState.PRUNED, {1: 0.4, 2: 0.5})]
    paused = record("t0001", "paused", [0.4, 0.5])
    again = searcher.resume("ray1", paused)
    assert (again["trial_id"], again["params"], again["epochs_reported"]) == ("t0001", paused.params, 2)
    searcher.reported("ray1", {"epoch": 3, OBJECTIVE: 0.7})
    other = searcher.suggest("ray2")
    assert told_of(searcher)[0] == (TrialState.RUNNING, {1: 0.4, 2: 0.5, 3: 0.7}), "the paused one is gone"
    searcher.reported("ray1", {"epoch": 4, OBJECTIVE: 0.8})
    searcher.ended("ray1", "completed", {OBJECTIVE: 0.8})
    searcher.ended("ray2", "paused", {})
    searcher.suggest("ray3")
    found = told_of(searcher)
    assert found[0] == (TrialState.COMPLETE, {1: 0.4, 2: 0.5, 3: 0.7, 4: 0.8})
    assert [state for state, _ in found[1:]] == [TrialState.PRUNED, TrialState.RUNNING]
    assert searcher.studies[ALL].trials[1].params == other["params"]


def told_of(searcher):
    return [(trial.state, trial.intermediate_values) for trial in searcher.studies[ALL].trials]
