"""The race over class folds: who is next, who is dropped, and when it ends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from sldml.search.race import Finalist, FoldTask, Race

NOISE = (0.02, -0.03, 0.01, 0.03, -0.02, 0.0, -0.01, 0.02, -0.02, 0.01)


def finalists(*names: str, num_epochs: int = 10) -> list[Finalist]:
    """Those whose name begins with t are trained."""
    return [Finalist(name, name[0] == "t", num_epochs if name[0] == "t" else 0) for name in names]


def make(*names: str, num_folds: int = 5, num_repeats: int = 3, max_epochs: int = 10_000, **fields: Any) -> Race:
    return Race(finalists(*names), num_folds=num_folds, num_repeats=num_repeats, max_epochs=max_epochs, **fields)


def place(task: FoldTask) -> tuple[str, int, int]:
    return task.finalist.key, task.repeat, task.fold


def accuracy(name: str, task: FoldTask, means: Mapping[str, float]) -> float:
    """Its mean with noise that is its own: the differences vary from fold to fold."""
    return means[name] + NOISE[(7 * (ord(name[-1]) % 10) + 3 * task.fold + task.repeat) % len(NOISE)]


def run(race: Race, means: Mapping[str, float], num_slots: int = 1, seed: int = 0) -> list[tuple[str, int, int]]:
    """Race to the end on some slots, in which tasks end in any order. Returns what was handed out."""
    rng, running, handed_out = random.Random(seed), list[FoldTask](), []
    while race.ending is None:
        while len(running) < num_slots and (task := race.next()) is not None:
            running.append(task)
            handed_out.append(place(task))
        assert running, "a slot waits for nothing"
        task = running.pop(rng.randrange(len(running)))
        if race.needs(task):
            race.scored(task, accuracy(task.finalist.key, task, means))
    return handed_out


def test_rounds_are_handed_out_in_order_the_first_repeat_and_one_more() -> None:
    race = make("t1", "t2", "dtw", num_folds=2)
    tasks = list(iter(race.next, None))
    assert [place(task) for task in tasks] == [
        ("t1", 1, 1), ("t2", 1, 1), ("dtw", 1, 1), ("t1", 1, 2), ("t2", 1, 2), ("dtw", 1, 2),
        ("t1", 2, 1), ("t2", 2, 1), ("dtw", 2, 1),
    ]  # fmt: skip
    for task in tasks[:6]:
        race.scored(task, 0.5 + 0.1 * task.fold)
    assert race.num_scored == 2
    assert race.next() is not None, "while the third round runs, the fourth begins"


def test_a_clear_leader_ends_the_race_after_one_repeat() -> None:
    race = make("t1", "t2", "dtw")
    handed_out = run(race, {"t1": 0.9, "t2": 0.5, "dtw": 0.6})
    assert race.num_scored == 5
    assert race.ending is not None
    assert "clear" in race.ending
    assert handed_out == [(name, 1, fold) for fold in range(1, 6) for name in ("t1", "t2", "dtw")]


def test_a_baseline_that_is_clearly_better_ends_it_too() -> None:
    race = make("t1", "t2", "dtw", "raw")
    run(race, {"t1": 0.6, "t2": 0.3, "dtw": 0.9, "raw": 0.2})
    assert (race.num_scored, race.best_free()) == (5, "dtw")
    assert not race.standing("t1").dropped, "the best of each kind are compared to the end"
    assert race.standing("t2").dropped
    assert race.standing("raw").dropped


def test_equals_are_scored_on_all_repeats() -> None:
    race = make("t1", "t2", "dtw")
    run(race, {"t1": 0.7, "t2": 0.7, "dtw": 0.7})
    assert race.num_scored == 15
    assert race.ending == "all repeats are done"


def test_the_race_ends_when_its_epochs_are_spent_but_not_within_the_first_repeat() -> None:
    # Two trainings of ten epochs a round.
    for max_epochs, num_scored in ((1, 5), (100, 5), (101, 6), (120, 6), (121, 7)):
        race = make("t1", "t2", "dtw", max_epochs=max_epochs)
        handed_out = run(race, {"t1": 0.7, "t2": 0.7, "dtw": 0.7})
        assert (race.num_scored, race.ending) == (num_scored, "the folds have cost as many epochs as the trials")
        assert len(handed_out) == 3 * num_scored, "nothing is begun that is beyond the budget"


def test_who_is_dropped_is_not_handed_out_again() -> None:
    race = make("t1", "t2", "t3", "dtw")
    handed_out = run(race, {"t1": 0.7, "t2": 0.7, "t3": 0.3, "dtw": 0.7})
    assert race.standing("t3").dropped
    assert len(race.standing("t3").accuracies) == 5
    assert max(entry[1:] for entry in handed_out if entry[0] == "t3") == (1, 5)
    assert race.difference("t1", "t3").better > 0.99
    assert not race.needs(FoldTask(Finalist("t3", True, 10), 2, 1))


def test_a_running_heat_is_not_needed_once_its_finalist_is_dropped() -> None:
    race = make("t1", "t2", "t3", "dtw", num_folds=2)
    tasks = list(iter(race.next, None))
    means = {"t1": (0.70, 0.71), "t2": (0.71, 0.70), "t3": (0.2, 0.21), "dtw": (0.70, 0.72)}
    for task in tasks[:7]:
        assert race.scored(task, means[task.finalist.key][task.fold - 1]) == []
    dropped = race.scored(tasks[7], means["dtw"][1])
    assert dropped == ["t3"]
    assert [race.needs(task) for task in tasks[8:]] == [True, True, False, True]


@pytest.mark.parametrize("num_slots", [2, 3, 8])
def test_the_order_of_arrival_changes_no_decision(num_slots: int) -> None:
    means = {"t1": 0.71, "t2": 0.70, "t3": 0.66, "dtw": 0.68, "raw": 0.4}
    expected = make(*means)
    run(expected, means)
    for seed in range(10):
        race = make(*means)
        run(race, means, num_slots, seed)
        assert race.ending == expected.ending
        assert race.standings() == expected.standings()


def test_a_race_that_is_rebuilt_from_its_scores_goes_on_where_it_was() -> None:
    means = {"t1": 0.71, "t2": 0.70, "t3": 0.3, "dtw": 0.68}
    whole = make(*means)
    handed_out = run(whole, means)
    scores = {key: accuracy(key[0], FoldTask(Finalist(key[0], True), *key[1:]), means) for key in handed_out}
    for count in (0, 1, 7, 19, 20, 21, 25, len(scores)):
        known = dict(itertools.islice(scores.items(), count))
        race = make(*means, scores=known)
        assert run(race, means) == handed_out[count:]
        assert race.standings() == whole.standings()
        assert race.ending == whole.ending


def test_scores_of_others_are_left_out() -> None:
    race = make("t1", "dtw", scores={("t9", 1, 1): 0.9, ("t1", 1, 1): 0.5})
    task = race.next()
    assert task is not None
    assert place(task) == ("dtw", 1, 1)


def test_who_fails_on_a_fold_is_out_from_that_round() -> None:
    race = make("t1", "t2", "dtw")
    tasks = list(iter(race.next, None))
    for task in tasks[:-3]:
        score: float | str = accuracy(task.finalist.key, task, {"t1": 0.7, "t2": 0.7, "dtw": 0.7})
        race.scored(task, "diverged" if place(task) == ("t1", 1, 3) else score)
    standing = race.standing("t1")
    assert (len(standing.accuracies), standing.error, standing.is_racing) == (2, "diverged", False)
    assert race.num_scored == 5
    assert [race.needs(task) for task in tasks[-3:]] == [False, True, True]


def test_without_a_trained_finalist_the_baselines_have_one_repeat() -> None:
    race = make("t1", "dtw", "raw")
    while race.ending is None:
        task = race.next()
        assert task is not None
        race.scored(task, "diverged" if task.finalist.is_trained else 0.5)
    assert (race.num_scored, race.ending) == (5, "no trained configuration is left")
    assert len(race.standing("dtw").accuracies) == 5


def test_of_equal_means_the_first_is_the_best_baseline() -> None:
    race = make("t1", "dtw", "raw", scores={(name, 1, 1): 0.5 for name in ("t1", "dtw", "raw")})
    assert race.best_free() == "dtw"
    assert make("t1", "dtw").best_free() is None
    assert make("t1", scores={("t1", 1, 1): 0.5}).best_free() is None


def shipped(accuracies: Mapping[str, Sequence[float]], max_epochs: int = 10_000) -> bool:
    """Whether a trained model would be saved, of finalists that have these accuracies round by round."""
    race = make(*accuracies, max_epochs=max_epochs)
    while race.ending is None:
        task = race.next()
        assert task is not None
        race.scored(task, accuracies[task.finalist.key][(task.repeat - 1) * 5 + task.fold - 1])
    free = race.best_free()
    assert free is not None
    racing = [s.finalist.key for s in race.standings() if s.finalist.is_trained and s.is_racing]
    return max(race.difference(key, free).ci95[0] for key in racing) > 0.0


def simulated(rng: np.random.Generator, means: Mapping[str, float]) -> dict[str, list[float]]:
    """Accuracies on 15 folds: what a fold has for all, and what each finalist has of its own, correlated by 1/5."""
    hard = rng.normal(size=15) * 0.08
    found = {}
    for name, mean in means.items():
        own = 0.05 * (rng.normal() * 0.2**0.5 + rng.normal(size=15) * 0.8**0.5)
        found[name] = (mean + hard + own).tolist()
    return found


def test_a_trained_model_that_is_no_better_is_rarely_saved_and_a_better_one_mostly() -> None:
    """Three configurations against three candidates; against a single one as good, a tenth would be saved."""
    rng, count = np.random.default_rng(1), 200
    equal = {"t1": 0.7, "t2": 0.7, "t3": 0.7, "dtw": 0.7, "dtw b": 0.7, "dtw c": 0.69}
    better = {**equal, "t1": 0.85, "t2": 0.82}
    wrong = np.mean([shipped(simulated(rng, equal)) for _ in range(count)])
    right = np.mean([shipped(simulated(rng, better)) for _ in range(count)])
    assert wrong < 0.05
    assert right > 0.9
