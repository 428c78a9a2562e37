"""Which sampled parameters decided how good a trial became, by PED-ANOVA on a study rebuilt from the history.

PED-ANOVA (Watanabe et al., arXiv 2304.10255; conditional form arXiv 2601.20800) asks how differently a parameter
is spread among the best trials and among all. It only needs to know who is among the best, so trials that ASHA
stopped count as they should (not among the best) without their values being comparable; and it takes parameters
that exist under one choice alone, which fANOVA leaves out.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from sldml.journal import History, TrialRecord
from sldml.report.declared_space import log_parameters

MIN_TRIALS = 8
"""Fewer trials, or fewer trials in which a conditional parameter existed, say nothing."""
BEST_SHARE = 0.25
"""Who counts as among the best. On made searches of 20, 40 and 100 trials a fifth to a half put the parameter that
matters first in 106 of 108; a tenth (Optuna's default, made for long searches) in 30 of 36."""
MIN_BEST = 5
"""At least so many are among the best, where that is at most half of the trials."""


@dataclass(frozen=True)
class Importance:
    """`shares`: parameter to its part of 1, the largest first; empty where there are too few trials.

    `method`: one or two sentences on how it was computed, or why not.
    """

    shares: dict[str, float]
    method: str


def parameter_importance(history: History) -> Importance:
    """Importance of every parameter that was sampled with more than one value."""
    trials = [t for t in history.trials.values() if t.state in ("completed", "pruned", "diverged") and t.epochs]
    if len(trials) < MIN_TRIALS:
        return Importance({}, f"Too few trials: {len(trials)} with a value, at least {MIN_TRIALS} are needed.")
    distributions = _distributions(trials, log_parameters(history))
    values = {_value(trial) for trial in trials}
    if len(values) < 2 or not distributions:
        return Importance({}, "All trials have the same value or the same parameters: nothing can be told.")
    quantile = max(BEST_SHARE, min(MIN_BEST / len(trials), 1 / 2))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it says that a study was made
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(verbosity)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={n: _as_suggested(v, distributions[n]) for n, v in t.params.items() if n in distributions},
                distributions={n: distributions[n] for n in t.params if n in distributions},
                value=_value(t),
            )
            for t in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a branch that was chosen once: the caption says what is rough here
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile))
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    left_out = sorted({name for trial in trials for name in trial.params} - set(distributions))
    return Importance(
        ordered,
        f"PED-ANOVA over {len(trials)} completed, pruned and diverged trials: how differently a parameter is spread "
        f"among the best {quantile:.0%} and among all; the shares sum to 100 %. Ranges are those that were sampled. "
        + ("With so few trials it is a hint, no more. " if len(trials) < 40 else "")
        + (f"Left out, for too few trials had them or they never changed: {', '.join(left_out)}." if left_out else ""),
    )


def _value(trial: TrialRecord) -> float:
    return 0.0 if trial.state == "diverged" else float(trial.value or 0.0)


def _distributions(trials: list[TrialRecord], log: set[str]) -> dict[str, BaseDistribution]:
    """One distribution per parameter that had several values in enough trials, over the range of these values."""
    seen: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, []).append(value)
    distributions = {
        name: _distribution(values, name in log) for name, values in seen.items() if len(values) >= MIN_TRIALS
    }
    return {name: found for name, found in distributions.items() if not found.single()}


def _distribution(values: list[Any], log: bool) -> BaseDistribution:
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        return CategoricalDistribution(sorted({str(v) for v in values}))
    low, high = min(values), max(values)
    if all(isinstance(v, int) for v in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _as_suggested(value: Any, distribution: BaseDistribution) -> Any:
    return str(value) if isinstance(distribution, CategoricalDistribution) else value
