"""Which trials pause at a rung, and which of them continue."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from support.made_history import epoch

from sldml.journal import TrialRecord, TrialState
from sldml.search.promotion import Promotion, expected_epochs, rungs_of


@pytest.mark.parametrize(
    ("first", "factor", "max_epochs", "expected"),
    [
        (1, 2, 15, [1, 2, 4, 8]),
        (2, 2, 30, [2, 4, 8, 16]),
        (1, 2, 16, [1, 2, 4, 8]),  # not 16, which is the end
        (4, 3, 30, [4, 12]),
        (1, 2, 11, [1, 2, 4]),  # not 8: the end is less than a factor of 1.41 later
        (3, 2, 3, []),
        (5, 2, 3, []),
        (1, 1.2, 4, [1, 2, 3]),  # 1, 1.2, 1.44, 1.7, 2.1, 2.5, 3.0, 3.6
    ],
)
def test_rungs(first: int, factor: float, max_epochs: int, expected: list[int]) -> None:
    assert rungs_of(first, factor, max_epochs) == expected


@pytest.mark.parametrize(
    ("num_folds", "factor", "expected"), [(1, 2, []), (2, 2, [15]), (5, 2, [15, 30, 60]), (5, 3, [15, 45])]
)
def test_the_ends_of_folds_are_rungs_too(num_folds: int, factor: float, expected: list[int]) -> None:
    assert rungs_of(15, factor, 15, num_folds) == expected
    assert rungs_of(2, 2, 15, num_folds)[:3] == [2, 4, 8]


def record(name: str, *values: float, state: TrialState = "paused") -> TrialRecord:
    return TrialRecord(name, {}, 0.0, state, [epoch(number, value) for number, value in enumerate(values, start=1)])


def reach(promotion: Promotion, name: str, rung: int, value: float) -> bool:
    """A trial reaches a rung; whether it pauses."""
    stops = promotion.stops(name, rung, value)
    if stops:
        promotion.pause(name)
    return stops


def test_one_in_two_continues_and_nothing_waits_for_a_full_rung() -> None:
    promotion = Promotion([1, 2], 2)
    for name in "abcd":
        promotion.start(name)
    assert reach(promotion, "a", 1, 0.5), "of one trial nothing is known"
    assert promotion.best_waiting(are_all_started=False) is None
    assert reach(promotion, "b", 1, 0.3)
    assert promotion.best_waiting(are_all_started=False) == "a", "the better one of two"
    promotion.promote("a")
    assert promotion.best_waiting(are_all_started=False) is None, "it has gone on"
    assert reach(promotion, "c", 1, 0.4), "one of three, and that is a"
    assert not reach(promotion, "d", 1, 0.6), "the best of four continues without a pause"
    assert promotion.best_waiting(are_all_started=False) is None, "d and a are the two best of four"
    assert reach(promotion, "a", 2, 0.5)
    assert reach(promotion, "d", 2, 0.4)
    promotion.start("e")
    assert reach(promotion, "e", 1, 0.45), "the third of five"
    promotion.start("f")
    assert reach(promotion, "f", 1, 0.1)
    # One of two at the second rung is before one of three in the first.
    assert promotion.best_waiting(are_all_started=False) == "a"
    promotion.promote("a")
    assert promotion.best_waiting(are_all_started=False) == "e"


def test_after_the_last_start_two_of_each_rung_continue_that_nothing_can_reach_any_more() -> None:
    promotion = Promotion([1, 2], 4)
    for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        promotion.start(name)
        assert reach(promotion, name, 1, value)
    promotion.start("d")
    assert promotion.best_waiting(are_all_started=False) is None, "none of three is among a quarter"
    assert promotion.best_waiting(are_all_started=True) is None, "d may still be better"
    assert reach(promotion, "d", 1, 0.0)
    assert promotion.best_waiting(are_all_started=False) == "c", "one of four"
    promotion.promote("c")
    assert promotion.best_waiting(are_all_started=False) is None
    assert promotion.best_waiting(are_all_started=True) == "b"
    promotion.promote("b")
    assert promotion.best_waiting(are_all_started=True) is None


def test_an_epoch_that_is_repeated_decides_nothing() -> None:
    promotion = Promotion([1, 2], 2)
    promotion.start("a")
    promotion.start("b")
    reach(promotion, "b", 1, 0.9)
    assert reach(promotion, "a", 1, 0.5)
    assert not promotion.stops("a", 1, 0.5)
    assert not promotion.stops("a", 3, 0.5), "no rung"


def test_a_resumed_search_knows_what_was_promoted() -> None:
    earlier = [
        record("a", 0.9, 0.9),  # promoted at the first rung, waits at the second
        record("b", 0.8),  # waits
        record("c", 0.1, state="pruned"),
        record("d", 0.7, 0.8, 0.9, state="completed"),
        record("e", 0.95, 0.99, state="diverged"),
        record("f", 0.2, state="running"),
    ]
    promotion = Promotion([1, 2], 2, earlier)
    assert promotion.best_waiting(are_all_started=False) == "a", "one of a and d"
    promotion.promote("a")
    assert promotion.best_waiting(are_all_started=False) == "b", "two of a, b, c, d and f"
    promotion.promote("b")
    assert promotion.best_waiting(are_all_started=True) is None
    assert not promotion.stops("f", 1, 0.2), "it was there before"


def test_a_search_that_is_resumed_with_other_rungs_continues_what_it_cannot_compare() -> None:
    earlier = [record("a", 0.5), record("b", 0.4, 0.4, 0.4, 0.4), record("c", 0.6, 0.6, 0.6)]
    promotion = Promotion([3, 6], 2, earlier)
    assert promotion.best_waiting(are_all_started=False) == "a", "it has reached no rung"
    promotion.promote("a")
    assert promotion.best_waiting(are_all_started=False) == "c", "one of two at epoch 3"
    assert reach(promotion, "a", 3, 0.3)


def simulated(num_trials: int, rungs: Sequence[int], factor: float, slots: int, seed: int) -> dict[str, int]:
    """The epochs of each trial in a search of trials with random constant values."""
    rng, values, epochs = random.Random(seed), {}, {}
    promotion, running, started = Promotion(rungs, factor), [], 0
    last = 2 * rungs[-1]
    while True:
        while len(running) < slots:
            if (name := promotion.best_waiting(are_all_started=started == num_trials)) is not None:
                promotion.promote(name)
            elif started < num_trials:
                name, started = f"t{started}", started + 1
                values[name], epochs[name] = rng.random(), 0
                promotion.start(name)
            else:
                break
            running.append(name)
        if not running:
            return epochs
        name = running.pop(rng.randrange(len(running)))
        epochs[name] += 1
        if epochs[name] == last:
            promotion.end(name, failed=False)
        elif promotion.stops(name, epochs[name], values[name]):
            promotion.pause(name)
        else:
            running.append(name)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_search_ends_with_two_whole_trials_and_trains_about_as_much_as_planned(slots: int) -> None:
    rungs = [1, 2, 4, 8]
    # 32 x 1 + 16 x 1 + 8 x 2 + 4 x 4 + 2 x 8; promoting without waiting promotes some that would not be.
    planned, totals = expected_epochs(32, rungs, 2, 16), []
    assert planned == 96
    for seed in range(20):
        epochs = simulated(32, rungs, 2, slots, seed)
        assert sum(length == 16 for length in epochs.values()) >= 2
        assert set(epochs.values()) <= {*rungs, 16}
        totals.append(sum(epochs.values()))
    assert planned <= min(totals)
    assert sum(totals) / len(totals) < 1.75 * planned
