"""The importance of sampled parameters by PED-ANOVA, and the level that it reaches by chance.

PED-ANOVA needs only the set of the best trials, so trials stopped early are counted correctly although their values
are not comparable. It also covers parameters that exist under one choice only, which fANOVA ignores.

Importance is never zero: for 16 trials and five parameters without any effect, the first parameter has a third of it in
the median. Therefore each parameter is compared with the *level of shuffled values*. The values of the trials are
shuffled among them, which leaves the parameters as they are and removes every effect, and the scores are computed
again. In nine of ten shuffles, no parameter is above its level (Westfall and Young, *Resampling-Based Multiple
Testing*, 1993: the smallest p value over all parameters).

- Scores are compared, not shares. Shares have a fixed sum: a single parameter always has all of it, and one strong
  parameter hides another.
- Each parameter has a level of its own, because scores without effect differ between parameters: a number has higher
  ones than a choice between two options, and a parameter of few trials higher ones than one of all. Among eight
  parameters of 40 synthetic trials, a choice of two options with an effect of one standard deviation is found in 77 %
  of searches; with one level for all, the largest share, in 17 %. Without any effect, both find something in about
  10 %.
- The level also holds for trials of a sampler that learns: in 12 of 160 synthetic searches with TPE a parameter without
  effect was above it. But such a sampler prefers good values, so all trials become similar to the best ones: an effect
  that was found in 40 of 40 random searches with 100 trials was found in 13 of 40 with TPE. A parameter that is not
  above the level may have an effect nevertheless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sldml.journal import History, TrialRecord
from sldml.report.declared_space import log_parameters
from sldml.report.ped_anova import Parameter, scores

MIN_TRIALS = 8
"""Minimum number of trials, also of those with a conditional parameter."""
BEST_SHARE = 0.25
"""The share of the best trials. On synthetic searches of 20, 40 and 100 trials, a fifth to a half ranked the relevant
parameter first in 106 of 108 cases; a tenth (Optuna's default, for long searches) in 30 of 36."""
MIN_BEST = 5
"""Minimum number of best trials, unless it is more than half of all."""
NUM_SHUFFLES = 1_000
BELOW_LEVEL = 0.9
"""The share of shuffles in which no parameter is above its level."""


@dataclass(frozen=True)
class Importance:
    """The importance of the parameters that are above the level of shuffled values.

    `shares`: importance by parameter, largest first, as a share of that of all parameters, also of those below the
    level. `method`: how it was computed, or why not, in a few sentences. `levels`: the level of each parameter in
    `shares`, in the same unit. `not_above`: parameters that are not above their level, by name.
    """

    shares: dict[str, float]
    method: str
    levels: Mapping[str, float] = field(default_factory=dict)
    not_above: tuple[str, ...] = ()


def parameter_importance(history: History) -> Importance:
    """Importance of the parameters that were sampled with more than one value, as far as it is not due to chance."""
    trials = [t for t in history.trials.values() if t.state in ("completed", "pruned", "diverged") and t.epochs]
    if len(trials) < MIN_TRIALS:
        return Importance({}, f"Too few trials: {len(trials)} with a value, at least {MIN_TRIALS} are needed.")
    quantile = max(BEST_SHARE, min(MIN_BEST / len(trials), 1 / 2))
    best = _best(_places(trials), quantile)
    parameters = _parameters(trials, log_parameters(history))
    if best.all() or not parameters:
        return Importance({}, "Not computed: too many trials have the same value, or all have the same parameters.")
    names = list(parameters)
    rng = np.random.default_rng(0)
    sets = np.stack([best, *(rng.permutation(best) for _ in range(NUM_SHUFFLES))])
    with threadpool_limits(1):  # the matrices are small: several threads take twice as long, more on a busy machine
        found = scores(list(parameters.values()), sets)
    own, levels = found[0], _levels(found)
    above = sorted((n for n in range(len(names)) if own[n] > levels[n]), key=lambda n: -own[n])
    not_above = tuple(sorted(set(names) - {names[n] for n in above}))
    return Importance(
        {names[n]: float(own[n] / own.sum()) for n in above},
        _method(trials, quantile, names, not_above),
        {names[n]: float(levels[n] / own.sum()) for n in above},
        not_above,
    )


def _method(trials: list[TrialRecord], quantile: float, names: list[str], not_above: tuple[str, ...]) -> str:
    """How the importance of these parameters was computed, and which are not above their level."""
    if len(not_above) == len(names):
        method = (
            f"No parameter is above the level of shuffled values in these {len(trials)} trials, so their effects are "
            f"not distinguishable from chance ({', '.join(not_above)})."
        )
    else:
        method = (
            f"PED-ANOVA over {len(trials)} completed, pruned and diverged trials: the difference between the "
            f"distribution of a parameter among the best {100 * quantile:.0f} % and among all, as shares of 100 %, "
            "over the sampled ranges. Dashed: the level of shuffled values. If the values are shuffled among the "
            f"trials, no parameter is above its level in {100 * BELOW_LEVEL:.0f} % of {NUM_SHUFFLES:,} shuffles."
        )
        if not_above:
            method += f" Not above the level of shuffled values: {', '.join(not_above)}."
    left_out = sorted({name for trial in trials for name in trial.params} - set(names))
    return method + (f" Left out (in too few trials, or constant): {', '.join(left_out)}." if left_out else "")


def _places(trials: Sequence[TrialRecord]) -> NDArray[np.int64]:
    """The places of trials by `TrialRecord.rank`, the best one highest; equal ones share a place."""
    ranks = [(0, 0.0) if trial.state == "diverged" else trial.rank for trial in trials]
    place = {rank: number for number, rank in enumerate(sorted(set(ranks)))}
    return np.array([place[rank] for rank in ranks])


def _best(values: NDArray[np.int64], quantile: float) -> NDArray[np.bool_]:
    """The trials with the best values, this share of them; more if several have the last of these values."""
    last = int(np.ceil(quantile * len(values)))
    found: NDArray[np.bool_] = values >= np.sort(values)[-last]
    return found


def _levels(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level of each parameter [P], from scores [S, P] of the trials as they are and of shuffles.

    It is at the same rank among the scores of each parameter. In a share `BELOW_LEVEL` of the rows, no score is above.
    """
    ranks = found.argsort(axis=0, kind="stable").argsort(axis=0)
    rank = int(np.quantile(ranks.max(axis=1), BELOW_LEVEL, method="higher"))
    levels: NDArray[np.float64] = np.sort(found, axis=0)[rank]
    return levels


def _parameters(trials: list[TrialRecord], log: set[str]) -> dict[str, Parameter]:
    """Each parameter with several values in enough trials."""
    seen: dict[str, dict[int, str | int | float | bool]] = {}
    for number, trial in enumerate(trials):
        for name, value in trial.params.items():
            seen.setdefault(name, {})[number] = value
    return {
        name: Parameter.of(values, len(trials), log=name in log)
        for name, values in seen.items()
        if len(values) >= MIN_TRIALS and len(set(map(str, values.values()))) > 1
    }
