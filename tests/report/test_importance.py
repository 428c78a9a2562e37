"""The importance of parameters, and what it is by chance."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from support.made_history import history_of, made_history

from sldml.journal import History
from sldml.report.importance import MIN_TRIALS, parameter_importance


def without_effect(num_trials: int, num_params: int, seed: int) -> History:
    """Trials whose values have nothing to do with their parameters: numbers, choices, and sizes."""
    rng = random.Random(seed)
    draws: tuple[Any, ...] = (rng.random, lambda: rng.choice("abc"), lambda: rng.choice([1, 2, 4, 8, 16, 32]))
    names = [f"p{place}" for place in range(num_params)]
    trials = [{name: draws[place % 3]() for place, name in enumerate(names)} for _ in range(num_trials)]
    return history_of(*((rng.gauss(0.5, 0.1), params) for params in trials))


def test_what_matters_is_kept_with_its_level() -> None:
    for seed in range(5):
        importance = parameter_importance(made_history(40, seed=seed))
        assert next(iter(importance.shares)) == "optimizer.lr"
        assert importance.shares.keys() == importance.levels.keys()
        for name, share in importance.shares.items():
            assert 0 < importance.levels[name] < share <= 1
        assert sum(importance.shares.values()) < 1.0
        assert "head.weight" in (*importance.not_above, *importance.shares)
        assert "PED-ANOVA" in importance.method
        assert f"Not above the level of shuffled values: {', '.join(importance.not_above)}." in importance.method


def test_in_nine_of_ten_searches_without_an_effect_nothing_is_above_the_level() -> None:
    found = [parameter_importance(without_effect(16, 5, seed)) for seed in range(40)]
    assert 32 <= [importance.shares for importance in found].count({}) <= 39
    nothing = next(importance for importance in found if not importance.shares)
    assert nothing.not_above == ("p0", "p1", "p2", "p3", "p4")
    assert nothing.method.startswith("No parameter is above the level of shuffled values in these 16 trials")


def test_a_choice_is_found_beside_numbers_whose_scores_are_higher_by_chance() -> None:
    """One level for all, that of the numbers, would hide it."""
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        trials = []
        for _ in range(60):
            params = {"loss.name": str(rng.choice(["a", "b"])), **{f"x{k}": float(rng.uniform()) for k in range(7)}}
            trials.append((0.5 + 0.1 * (params["loss.name"] == "a") + 0.04 * rng.normal(), params))
        found += "loss.name" in parameter_importance(history_of(*trials)).shares
    assert found >= 9


def test_the_only_parameter_can_be_important_or_not() -> None:
    """Its share is always 100 %."""
    values = np.random.default_rng(0).uniform(size=20)
    important = parameter_importance(history_of(*((float(x), {"x": float(x)}) for x in values)))
    assert important.shares == {"x": 1.0}
    shuffled = np.random.default_rng(3).permutation(values)
    unimportant = history_of(*((float(y), {"x": float(x)}) for x, y in zip(values, shuffled, strict=True)))
    assert parameter_importance(unimportant).shares == {}


def test_it_needs_trials_and_differences() -> None:
    few = parameter_importance(made_history(MIN_TRIALS - 1, final=False))
    assert few.shares == {}
    assert "Too few trials" in few.method
    flat = made_history(20, final=False)
    for trial in flat.trials.values():
        trial.params = {"loss.name": "arcface"}
    assert parameter_importance(flat).shares == {}
    equal = parameter_importance(history_of(*((0.5, {"x": float(number)}) for number in range(20))))
    assert "too many trials have the same value" in equal.method


def test_a_long_search_takes_no_time() -> None:
    history = without_effect(200, 15, 0)
    started = time.process_time()
    first = parameter_importance(history)
    assert time.process_time() - started < 5.0
    assert parameter_importance(history) == first


@pytest.mark.parametrize("constant", [1.0, "a"])
def test_constant_parameters_and_those_of_few_trials_are_named(constant: float | str) -> None:
    rows: list[tuple[float, dict[str, Any]]] = [(x / 20, {"x": float(x), "same": constant}) for x in range(20)]
    rows[0][1]["rare"] = 3.0
    importance = parameter_importance(history_of(*rows))
    assert list(importance.shares) == ["x"]
    assert importance.method.endswith("Left out (in too few trials, or constant): rare, same.")
