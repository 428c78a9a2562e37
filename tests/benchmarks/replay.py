"""What samplers and schedulers are worth: whole searches, replayed on recorded learning curves of three datasets.

Run: python -m tests.benchmarks.replay [--sets isl_kinect] [--pairs random+promotion] [--finalists 8]

A search sees noisy validation accuracies (`recorded.py`). What counts is the accuracy to expect, on classes that took
no part, of its incumbent after the whole schedule. The incumbent is the configuration that a search ranks first: of the
trials that came furthest, the one with the best accuracy at its latest epoch. For each pair of sampler and scheduler,
the table has the mean of this accuracy after the epochs of 4, 8, 16, 32 and 64 full trainings, and the epochs until
random search's mean after 32 of them was reached, also in shares of what random search itself takes. All pairs have the
same seeds. Intervals are 95 % of the mean. Always there: random search, random search with ASHA, and the baseline that
no scheduler may be praised without (Egele et al., arXiv 2307.15422): train everything for one epoch, and the best three
to the end.

`--finalists 8`: the incumbent is that one of the best eight with the best mean over all class folds, as if these eight
were trained on each.
"""

from __future__ import annotations

import argparse
import heapq
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from joblib import Parallel, delayed
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sldml.config.space import SearchSettings, SearchSpace
from sldml.config.space_tree import Leaf, Scalar
from sldml.config.trial import TrialConfig
from tests.benchmarks.record_curves import NUM_FOLDS, SETS
from tests.benchmarks.recorded import Drawn, Recorded, recorded
from tests.support.replaying import replay

BUDGETS = (4, 8, 16, 32, 64)
"""In full trainings."""
GOAL = 32
"""The goal is what random search has after so many full trainings."""
STEP = 5
"""The incumbent is looked up after every fifth epoch."""
SAMPLERS = ("random", "tpe")
"""`auto` is random; the others do not serve the recorded spaces."""
SCHEDULERS = ("none", "asha", "promotion")
PAIRS = [f"{sampler}+{scheduler}" for sampler in SAMPLERS for scheduler in SCHEDULERS]
ALWAYS = ("random+none", "random+asha")
ONE_EPOCH = "one epoch, then the best 3"
BEST_TO_THE_END = 3


@dataclass(frozen=True)
class Rules:
    """How the searches of a table are run and judged; the same for all pairs."""

    grace_period: int
    factor: float
    finalists: int


@dataclass(frozen=True)
class Cell:
    """A pair on a set: [seeds, steps] the expected accuracy of the incumbent after every `STEP` epochs."""

    name: str
    incumbent: NDArray[np.float64]

    def at(self, epochs: int) -> NDArray[np.float64]:
        """After so many epochs, of each seed."""
        return self.incumbent[:, epochs // STEP - 1]

    def epochs_until(self, goal: float) -> NDArray[np.float64]:
        """Epochs until the goal was reached, of each seed; NaN where it never was."""
        reached = self.incumbent >= goal
        epochs: NDArray[np.float64] = np.where(reached.any(axis=1), (reached.argmax(axis=1) + 1) * STEP, np.nan)
        return epochs


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--pairs", nargs="*", choices=PAIRS, default=PAIRS)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--grace-period", type=int, default=SearchSettings().grace_period)
    parser.add_argument("--factor", type=float, default=SearchSettings().reduction_factor)
    parser.add_argument("--finalists", type=int, default=1)
    arguments = parser.parse_args()
    rules = Rules(arguments.grace_period, arguments.factor, arguments.finalists)
    print(f"{rules}; {arguments.seeds} seeds, two trials side by side")
    started = time.perf_counter()
    with Parallel(n_jobs=arguments.jobs) as parallel:

        def run(name: str, pair: str) -> Cell:
            search = one_epoch if pair == ONE_EPOCH else searched
            rows = parallel(delayed(search)(name, pair, rules, seed) for seed in range(arguments.seeds))
            return Cell(pair, np.array(rows))

        for name in arguments.sets:
            print_table(recorded(name), list(dict.fromkeys((*ALWAYS, *arguments.pairs, ONE_EPOCH))), run)
    print(f"\n{time.perf_counter() - started:.0f} s")


def print_table(curves: Recorded, pairs: Sequence[str], run: Callable[[str, str], Cell]) -> None:
    """Print the table of a set, a line as soon as its searches have been replayed."""
    print(
        f"\n{curves.name}: {len(curves)} configurations of {curves.max_epochs} epochs, held-out accuracy after the "
        f"last one: best {curves.held_out.max():.3f}, median {np.median(curves.held_out):.3f}"
    )
    goal, random_epochs = 0.0, np.array([])
    for pair in pairs:
        cell = run(curves.name, pair)
        if pair == pairs[0]:
            goal = float(cell.at(GOAL * curves.max_epochs).mean())
            random_epochs = _limited(cell.epochs_until(goal), cell)
            print(f"goal: {goal:.3f}, {pair} after {GOAL} full trainings")
            print(_HEAD)
        print(_line(cell, curves.max_epochs, goal, random_epochs), flush=True)


_HEAD = (
    f"{'':28}"
    + "".join(f"{f'after {budget}':>16}" for budget in BUDGETS)
    + "    epochs to the goal     of random   missed"
)


def _line(cell: Cell, max_epochs: int, goal: float, random_epochs: NDArray[np.float64]) -> str:
    accuracies = "".join(f"{_mean(cell.at(budget * max_epochs)):>16}" for budget in BUDGETS)
    found = cell.epochs_until(goal)
    epochs = _limited(found, cell)
    ratio = epochs.mean() / random_epochs.mean()
    missed = float(np.isnan(found).mean())
    return f"{cell.name:28}{accuracies}{_mean(epochs, 0):>22}{ratio:>14.2f}{missed:>9.1%}"


def _limited(epochs: NDArray[np.float64], cell: Cell) -> NDArray[np.float64]:
    """A search that missed the goal counts as if it had reached it at its end."""
    return np.where(np.isnan(epochs), cell.incumbent.shape[1] * STEP, epochs)


def _mean(values: NDArray[np.float64], digits: int = 3) -> str:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def searched(name: str, pair: str, rules: Rules, seed: int, first: Sequence[Mapping[str, Scalar]] = ()) -> list[float]:
    """The incumbent's expected accuracy after every `STEP` epochs of one replayed search.

    Args:
        name: The recorded set.
        pair: Sampler and scheduler.
        rules: How it is run and judged.
        seed: Of the sampler and of the drawn trainings; also chooses the validation fold.
        first: Configurations to begin with.
    """
    warnings.filterwarnings("ignore", module="ray.tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    curves, (sampler, scheduler), fold = recorded(name), pair.split("+"), seed % NUM_FOLDS
    limit = BUDGETS[-1] * curves.max_epochs
    # A scheduler that stops trials has more of them for its epochs: these are the budget, not trials.
    settings = {"sampler": sampler, "scheduler": scheduler, "seed": seed, "trials": limit}
    settings |= {"grace_period": rules.grace_period, "reduction_factor": rules.factor}
    space = _space(curves, settings)
    drawn: list[Drawn] = []
    rng = np.random.default_rng(seed)

    def curve(params: Mapping[str, Scalar]) -> list[float]:
        drawn.append(curves.draw(params, rng))
        values: list[float] = drawn[-1].val[fold].tolist()
        return values

    found = replay(
        space,
        curve,
        num_trials=limit,
        max_epochs=curves.max_epochs,
        most_epochs=limit,
        first=first,
    )
    number = {trial.trial_id: place for place, trial in enumerate(found.trials)}
    latest: dict[int, tuple[int, float]] = {}
    accuracies = []
    for count, (trial_id, epoch, value) in enumerate(found.reports, start=1):
        latest[number[trial_id]] = (epoch, value)
        if count % STEP == 0:
            accuracies.append(_incumbent(drawn, latest, rules.finalists).held_out)
    return accuracies


def _incumbent(drawn: Sequence[Drawn], values: Mapping[int, Any], finalists: int) -> Drawn:
    """The one of the best, by `values`, with the best mean over all class folds after the last epoch."""
    best = heapq.nlargest(finalists, values, key=values.__getitem__)
    return drawn[max(best, key=lambda place: drawn[place].val[:, -1].mean())]


def _space(curves: Recorded, settings: Mapping[str, object]) -> SearchSpace:
    space = curves.space
    search = SearchSettings.model_validate({**space.search.model_dump(), **settings})
    return _Unchecked(space.name, space.text, space.base, search, space.root, config=space.default_config())


@dataclass(frozen=True)
class _Unchecked(SearchSpace):
    """A space with one configuration for all parameters: making others would take most of the time of a proposal."""

    config: TrialConfig = field(default_factory=TrialConfig)

    def configure(self, params: Mapping[str, Scalar]) -> TrialConfig:
        """The one configuration; nothing is trained."""
        return self.config


def one_epoch(name: str, pair: str, rules: Rules, seed: int) -> list[float]:
    """The same where all that the budget allows are trained for one epoch, and the best three of these to the end."""
    curves, fold = recorded(name), seed % NUM_FOLDS
    length, limit = curves.max_epochs, BUDGETS[-1] * curves.max_epochs
    rng = np.random.default_rng(seed)
    drawn = [curves.draw(curves.space.visit(lambda leaf: _random(leaf, rng)), rng) for _ in range(limit)]
    val = np.array([each.val[fold] for each in drawn])
    accuracies = []
    for epochs in range(STEP, limit + 1, STEP):
        # Fewer than three fit into a small budget.
        num_to_the_end = min(BEST_TO_THE_END, (epochs - 1) // length)
        seen = epochs - num_to_the_end * (length - 1)
        order = np.argsort(-val[:seen, 0], kind="stable").tolist()
        values = {place: (False, val[place, 0]) for place in order[num_to_the_end : rules.finalists]}
        values |= {place: (True, val[place, -1]) for place in order[:num_to_the_end]}
        accuracies.append(_incumbent(drawn, values, rules.finalists).held_out)
    return accuracies


def _random(leaf: Leaf, rng: np.random.Generator) -> Scalar:
    """A value of a parameter, as random search draws it."""
    match leaf.distribution:
        case CategoricalDistribution(choices=choices):
            value: Scalar = choices[rng.integers(len(choices))]
            return value
        case FloatDistribution(low=low, high=high, log=True):
            return math.exp(rng.uniform(math.log(low), math.log(high)))
        case FloatDistribution(low=low, high=high):
            return float(rng.uniform(low, high))
    raise AssertionError(f"{leaf.path}: the recorded spaces have no {leaf.distribution}")


if __name__ == "__main__":
    main()
