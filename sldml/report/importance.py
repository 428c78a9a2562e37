"""The importance of sampled parameters, by PED-ANOVA on a study rebuilt from the history.

PED-ANOVA (Watanabe et al., arXiv 2304.10255; conditional form arXiv 2601.20800) compares the distribution of a
parameter among the best trials with that among all. It needs only the set of the best trials, so trials stopped by ASHA
are counted correctly although their values are not comparable. It also covers parameters that exist under one choice
only, which fANOVA ignores.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from sldml.journal import History, TrialRecord
from sldml.report.declared_space import log_parameters

MIN_TRIALS = 8
"""Minimum number of trials, also of those with a conditional parameter."""
BEST_SHARE = 0.25
"""The share of the best trials. On synthetic searches of 20, 40 and 100 trials, a fifth to a half ranked the relevant
parameter first in 106 of 108 cases; a tenth (Optuna's default, for long searches) in 30 of 36."""
MIN_BEST = 5
"""Minimum number of best trials, unless it is more than half of all."""


@dataclass(frozen=True)
class Importance:
    """`shares`: importance by parameter, summing to 1, largest first; empty if there are too few trials.

    `method`: how it was computed, or why not, in one or two sentences.
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
        return Importance({}, "Not computed: all trials have the same value or the same parameters.")
    quantile = max(BEST_SHARE, min(MIN_BEST / len(trials), 1 / 2))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # no message about a new study
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
        warnings.simplefilter("ignore")  # about branches chosen once; the caption states the limits
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile))
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    left_out = sorted({name for trial in trials for name in trial.params} - set(distributions))
    return Importance(
        ordered,
        f"PED-ANOVA over {len(trials)} completed, pruned and diverged trials: the difference between the distribution "
        f"of a parameter among the best {quantile:.0%} and among all, as shares of 100 %, over the sampled ranges. "
        + ("With this few trials it is only a hint. " if len(trials) < 40 else "")
        + (f"Left out (in too few trials, or constant): {', '.join(left_out)}." if left_out else ""),
    )


def _value(trial: TrialRecord) -> float:
    return 0.0 if trial.state == "diverged" else float(trial.value or 0.0)


def _distributions(trials: list[TrialRecord], log: set[str]) -> dict[str, BaseDistribution]:
    """The distribution of each parameter with several values in enough trials, over the range of these values."""
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
