"""What samplers and schedulers are worth: whole searches, replayed on recorded learning curves of three datasets.

Run: python -m tests.benchmarks.replay [--sets isl_kinect] [--pairs random+asha] [--seeds 200] [--jobs 2]

A search sees noisy validation accuracies (`recorded.py`). What counts is the accuracy to expect, on classes that took
no part, of its incumbent: the configuration and epoch with the best validation accuracy so far. For each pair of
sampler and scheduler the table has the mean of this accuracy after the epochs of 4, 8, 16, 32 and 64 full trainings,
and the epochs until random search's mean after 32 of them was reached, also in shares of what random search itself
takes. All pairs have the same seeds. Intervals are 95 % of the mean. Always there: random search, random search with
ASHA, and the baseline that no scheduler may be praised without (Egele et al., arXiv 2307.15422): train everything for
one epoch, and the best three to the end.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass

import numpy as np
import optuna
from joblib import Parallel, delayed
from numpy.typing import NDArray

from sldml.config.space_file import override
from tests.benchmarks.record_curves import NUM_FOLDS, SETS, random_params
from tests.benchmarks.recorded import recorded
from tests.support.replaying import replay

BUDGETS = (4, 8, 16, 32, 64)
"""In full trainings."""
GOAL = 32
"""The goal is what random search has after so many full trainings."""
PAIRS = ("random+none", "random+asha", "tpe+none", "tpe+asha")
ALWAYS = ("random+none", "random+asha")
ONE_EPOCH = "one epoch, then the best 3"
BEST_TO_THE_END = 3
GRACE_PERIOD = 1
"""Of the schedulers, with a reduction factor of 2."""


@dataclass(frozen=True)
class Cell:
    """A pair on a set: [seeds, epochs] the expected accuracy of the incumbent after each epoch of all trainings."""

    name: str
    incumbent: NDArray[np.float64]

    def at(self, epochs: int) -> NDArray[np.float64]:
        """After so many epochs, of each seed."""
        return self.incumbent[:, epochs - 1]

    def epochs_until(self, goal: float) -> NDArray[np.float64]:
        """Epochs until the goal was reached, of each seed; NaN where it never was."""
        reached = self.incumbent >= goal
        epochs: NDArray[np.float64] = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, np.nan)
        return epochs


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--pairs", nargs="*", choices=PAIRS, default=PAIRS)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    pairs = list(dict.fromkeys((*ALWAYS, *arguments.pairs)))
    for name in arguments.sets:
        curves = recorded(name)
        print(
            f"\n{name}: {len(curves)} configurations of {curves.max_epochs} epochs, held-out accuracy of the best "
            f"{curves.held_out.max():.3f}, median of their best {np.median(curves.held_out.max(axis=1)):.3f}; "
            f"{arguments.seeds} seeds, two trials side by side"
        )
        goal, random_epochs = 0.0, np.array([])
        with Parallel(n_jobs=arguments.jobs) as parallel:
            for pair in [*pairs, ONE_EPOCH]:
                run = _one_epoch if pair == ONE_EPOCH else _search
                rows = parallel(delayed(run)(name, pair, seed) for seed in range(arguments.seeds))
                cell = Cell(pair, np.array(rows))
                if pair == ALWAYS[0]:
                    goal = float(cell.at(GOAL * curves.max_epochs).mean())
                    random_epochs = _limited(cell.epochs_until(goal), cell)
                    print(f"goal: {goal:.3f}, random search after {GOAL} full trainings")
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
    return np.where(np.isnan(epochs), cell.incumbent.shape[1], epochs)


def _mean(values: NDArray[np.float64], digits: int = 3) -> str:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def _search(name: str, pair: str, seed: int) -> list[float]:
    """The incumbent's expected accuracy after each epoch of one replayed search."""
    warnings.filterwarnings("ignore", module="ray.tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    curves, (sampler, scheduler) = recorded(name), pair.split("+")
    settings = [f"search.sampler={sampler}", f"search.scheduler={scheduler}", f"search.seed={seed}"]
    settings += [f"search.grace_period={GRACE_PERIOD}", "search.reduction_factor=2"]
    limit = BUDGETS[-1] * curves.max_epochs
    held_out: list[list[float]] = []
    rng = np.random.default_rng(seed)

    def curve(params: object) -> list[float]:
        val, expected = curves.draw(params, seed % NUM_FOLDS, rng)  # type: ignore[arg-type]
        held_out.append(expected)
        return val

    # A scheduler that stops trials has more of them for its epochs: these are the budget, not trials.
    found = replay(
        override(curves.space, settings), curve, num_trials=limit, max_epochs=curves.max_epochs, most_epochs=limit
    )
    number = {trial.trial_id: place for place, trial in enumerate(found.trials)}
    return [held_out[number[trial_id]][epoch - 1] for trial_id, epoch in found.incumbents]


def _one_epoch(name: str, pair: str, seed: int) -> list[float]:
    """The same where all that the budget allows are trained for one epoch, and the best three of these to the end."""
    curves = recorded(name)
    length, limit = curves.max_epochs, BUDGETS[-1] * curves.max_epochs
    rng = np.random.default_rng(seed)
    drawn = [curves.draw(params, seed % NUM_FOLDS, rng) for params in random_params(curves.space, limit, seed)]
    val, held_out = (np.array([each[part] for each in drawn]) for part in (0, 1))
    accuracies = []
    for epochs in range(1, limit + 1):
        # Fewer than three fit into a small budget.
        num_to_the_end = min(BEST_TO_THE_END, max(0, (epochs - 1) // length))
        seen = epochs - num_to_the_end * (length - 1)
        best = np.argsort(-val[:seen, 0], kind="stable")[: max(1, num_to_the_end)]
        trained = length if num_to_the_end else 1
        place = np.unravel_index(val[best, :trained].argmax(), (len(best), trained))
        accuracies.append(float(held_out[best[place[0]], place[1]]))
    return accuracies


if __name__ == "__main__":
    main()
