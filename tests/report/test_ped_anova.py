"""Scores against those of Optuna, for numbers, choices and parameters that only some trials have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator

from sldml.report.ped_anova import Parameter, scores

LOG = {"rate", "doublings"}


def drawn(num_trials: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(num_trials):
        params: dict[str, Any] = {
            "rate": float(10 ** rng.uniform(-5, -2)),
            "weight": float(rng.uniform()),
            "steps": int(rng.integers(1, 12)),
            "many": int(rng.integers(0, 500)),
            "doublings": int(2 ** rng.integers(0, 8)),
            "size": int(rng.choice([2, 4, 8])),
            "loss.name": str(rng.choice(["a", "b", "c"])),
            "flag": bool(rng.integers(2)),
        }
        if params["loss.name"] == "a":
            params["loss.a.margin"] = float(rng.uniform(0.1, 0.4))
        trials.append(params)
    return trials


def distribution(name: str, values: list[Any]) -> BaseDistribution:
    if name in ("size", "loss.name", "flag"):
        return CategoricalDistribution(sorted({str(value) for value in values}))
    kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
    return kind(min(values), max(values), log=name in LOG)


def optunas(trials: list[dict[str, Any]], values: list[float], quantile: float) -> Mapping[str, float]:
    names = {name for params in trials for name in params}
    distributions = {name: distribution(name, [p[name] for p in trials if name in p]) for name in names}
    study = optuna.create_study(direction="maximize")
    for params, value in zip(trials, values, strict=True):
        chosen = {name: distributions[name] for name in params}
        given = {n: str(v) if isinstance(chosen[n], CategoricalDistribution) else v for n, v in params.items()}
        study.add_trial(optuna.trial.create_trial(params=given, distributions=chosen, value=value))
    return PedAnovaImportanceEvaluator(target_quantile=quantile).evaluate(study)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("num_trials", "quantile"), [(24, 0.5), (40, 0.25), (40, 0.025), (150, 0.1)])
def test_scores_are_optunas(num_trials: int, quantile: float) -> None:
    trials = drawn(num_trials, seed=num_trials)
    values = [-abs(math.log10(params["rate"]) + 3) for params in trials]
    expected = optunas(trials, values, quantile)
    names = sorted(expected)
    parameters = [
        Parameter.of({i: p[name] for i, p in enumerate(trials) if name in p}, num_trials, log=name in LOG)
        for name in names
    ]
    best = np.array(values) >= sorted(values)[-math.ceil(quantile * num_trials)]
    other = np.roll(best, 1)
    found = scores(parameters, np.stack([other, best]))[1]
    share = best.mean()
    assert found * share**2 == pytest.approx([expected[name] for name in names], rel=1e-9, abs=1e-12)
    if num_trials >= 40 and quantile >= 0.1:
        assert names[found.argmax()] == "rate"


def test_one_density_by_hand() -> None:
    # Two options, 4 trials each; both best trials have the first. A kernel has 1 + w at its own option and w elsewhere,
    # w = 1 / (number of options that occur + 1), and the prior is uniform with the weight of one trial.
    parameter = Parameter.of(dict(enumerate("aaaabbbb")), 8, log=False)
    best = np.array([[True, True] + [False] * 6])
    among_best = (2 * (1 + 1 / 2) / (1 + 2 / 2) + 1 / 2) / 3
    among_all = 1 / 2
    expected = sum(among_all * (p / among_all - 1) ** 2 for p in (among_best, 1 - among_best))
    assert scores([parameter], best)[0, 0] == pytest.approx(expected)


def test_places() -> None:
    assert Parameter.of({0: 1, 1: 2, 2: 8, 3: 2}, 5, log=False).places.tolist() == [0, 1, 2, 1, -1]  # few: a choice
    whole = Parameter.of({0: 3, 1: 4, 2: 5, 3: 6, 4: 9}, 5, log=False)
    assert (whole.places.tolist(), whole.num_places, whole.is_choice) == ([0, 1, 2, 3, 6], 7, False)
    doubled = Parameter.of({0: 1, 1: 2, 2: 4, 3: 8, 4: 16}, 5, log=True)
    assert (doubled.places.tolist(), doubled.num_places) == ([0, 1, 2, 3, 4], 5)
    mixed = Parameter.of({0: 1.5, 1: "x", 2: True, 3: math.inf, 4: 2.5}, 5, log=False)
    assert mixed.is_choice
    assert mixed.num_places == 5
