"""How soon samplers and schedulers find a good configuration: replayed on recorded learning curves.

Run: python -m tests.benchmarks.replay [--seeds 20] [--pairs random+none tpe+asha]

The curves (`isl_kinect_curves.jsonl`, of `record_curves.py`) are of random configurations trained to the end. What
a replayed search asks for is answered by the mean curve of the recorded trials around it: of the same loss, the nearer
by the other parameters (in the unit cube) the more each counts. The nearest one alone would make one lucky trial the
goal, a plateau that no searcher can climb to. The goal is the best validation accuracy of 64 random full trials, asked
in the same way (the median over many draws of 64); what counts is the epochs that all trials together ran until it was
reached.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution

from sldml.config.space import SearchSpace
from sldml.config.space_file import override, read_space
from sldml.config.space_tree import Scalar
from tests.benchmarks.record_curves import SPACE
from tests.support.replaying import replay

CURVES = Path(__file__).with_name("isl_kinect_curves.jsonl")
PAIRS = [(sampler, scheduler) for sampler in ("random", "tpe") for scheduler in ("none", "median", "asha")]
FULL_TRIALS = 64
BANDWIDTH = 0.15
"""Of the Gaussian, in shares of a parameter's range."""
MOST_FULL_TRIALS = 3 * FULL_TRIALS
"""A search that has not reached the goal after the epochs of so many full trials is counted so."""


class Recorded:
    """Recorded trials, looked up by parameters: the mean of all that have the same loss, weighted by a Gaussian."""

    def __init__(self, space: SearchSpace, trials: Sequence[Mapping[str, Any]]) -> None:
        self._leaves = {leaf.path: leaf.distribution for leaf in space.leaves()}
        self._trials = list(trials)

    def __call__(self, params: Mapping[str, Scalar]) -> list[float]:
        """The curve to expect of these parameters."""
        same = [t for t in self._trials if t["params"]["loss.name"] == params["loss.name"]]
        gaps = np.array([self._gap(t["params"], params) for t in same])
        # The nearest one always counts, however far it is.
        weights = np.exp((gaps.min() - gaps) / (2 * BANDWIDTH**2))
        curve: list[float] = np.average([t["curve"] for t in same], axis=0, weights=weights).tolist()
        return curve

    def _gap(self, first: Mapping[str, Scalar], second: Mapping[str, Scalar]) -> float:
        """Squared distance in the unit cube; another miner counts as one parameter's whole range."""
        gap = 0.0
        for path in first.keys() & second.keys():
            if isinstance(self._leaves[path], CategoricalDistribution):
                gap += float(first[path] != second[path])
            else:
                gap += (self._place(path, first[path]) - self._place(path, second[path])) ** 2
        return gap

    def _place(self, path: str, value: Any) -> float:
        """Where in its range a value lies, from 0 to 1."""
        d: Any = self._leaves[path]
        change = math.log if d.log else float
        return (change(value) - change(d.low)) / (change(d.high) - change(d.low))


def random_params(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    """Parameters that random search would propose."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        space(trial)
    return [trial.params for trial in trials]


def main() -> None:
    """Print the epochs until the goal, for every pair of sampler and scheduler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    names = ["+".join(pair) for pair in PAIRS]
    parser.add_argument("--pairs", nargs="*", choices=names, default=names, help="random+none is always run")
    arguments = parser.parse_args()
    num_seeds, wanted = arguments.seeds, {"random+none", *arguments.pairs}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="ray.tune")  # that a busy machine samples slowly
    space = read_space(str(SPACE))
    trials = [json.loads(line) for line in CURVES.open()]
    curve, max_epochs = Recorded(space, trials), len(trials[0]["curve"])
    best = np.array([max(t["curve"]) for t in trials])
    rng = np.random.default_rng(0)
    asked = np.array([max(curve(params)) for params in random_params(space, 2_000)])
    goal = float(np.median([rng.choice(asked, FULL_TRIALS, replace=False).max() for _ in range(1_000)]))
    limit = MOST_FULL_TRIALS * max_epochs
    print(f"{len(trials)} recorded trials of {max_epochs} epochs; best {best.max():.3f}, median {np.median(best):.3f}")
    print(f"goal: {goal:.3f}, the best of {FULL_TRIALS} random full trials; two trials at once; {num_seeds} seeds")

    results: dict[tuple[str, str], float] = {}
    for sampler, scheduler in (pair for pair in PAIRS if "+".join(pair) in wanted):
        epochs = []
        for seed in range(num_seeds):
            settings = [f"search.sampler={sampler}", f"search.scheduler={scheduler}", f"search.seed={seed}"]
            changed = override(space, [*settings, "search.grace_period=3"])
            # A scheduler that stops trials has more of them for its epochs: these are the budget, not trials.
            found = replay(changed, curve, num_trials=limit, max_epochs=max_epochs, goal=goal, most_epochs=limit)
            epochs.append(found.epochs_until(goal) or limit)
        results[sampler, scheduler] = statistics.median(epochs)
        low, high = np.percentile(epochs, [25, 75])
        ratio = results[sampler, scheduler] / results["random", "none"]
        missed = sum(e == limit for e in epochs)
        print(
            f"{sampler:7} {scheduler:7} {results[sampler, scheduler]:7.0f} epochs (quartiles {low:.0f} to {high:.0f}), "
            f"{ratio:.2f} of random search's" + (f"; {missed} seeds missed it" if missed else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
