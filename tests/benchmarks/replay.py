"""How soon samplers and schedulers find a good configuration: replayed on recorded learning curves.

Run: python -m tests.benchmarks.replay [--seeds 20]

The curves (`isl_kinect_curves.jsonl`, of `record_curves.py`) are of random configurations trained to the end. What
a replayed search asks for is answered by the recorded trial that lies nearest: of the same loss and miner, by the
other parameters in the unit cube. The goal is the best validation accuracy of 64 random full trials (the median over
draws of 64 from the recorded ones); what counts is the epochs that all trials together ran until it was reached.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from sldml.space_files import override, read_space
from sldml.spaces import Scalar, SearchSpace
from tests.benchmarks.record_curves import SPACE
from tests.replaying import replay

CURVES = Path(__file__).with_name("isl_kinect_curves.jsonl")
PAIRS = [(sampler, scheduler) for sampler in ("random", "tpe") for scheduler in ("none", "median", "asha")]
FULL_TRIALS = 64
MOST_EPOCHS = 4 * FULL_TRIALS
"""A search that has not reached the goal after as many full trials' epochs is counted so."""


class Recorded:
    """Recorded trials, looked up by parameters."""

    def __init__(self, space: SearchSpace, trials: Sequence[Mapping[str, Any]]) -> None:
        self._leaves = {leaf.path: leaf.distribution for leaf in space.leaves()}
        self._trials = list(trials)

    def __call__(self, params: Mapping[str, Scalar]) -> list[float]:
        """The curve of the nearest recorded trial with the same choices."""
        same = [t for t in self._trials if self._choices(t["params"]) == self._choices(params)]
        nearest = min(same, key=lambda t: self._gap(t["params"], params))
        return list(nearest["curve"])

    def _choices(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {k: v for k, v in params.items() if isinstance(self._leaves[k], CategoricalDistribution)}

    def _gap(self, first: Mapping[str, Scalar], second: Mapping[str, Scalar]) -> float:
        return sum(
            (self._place(k, first[k]) - self._place(k, second[k])) ** 2
            for k in first
            if not isinstance(self._leaves[k], CategoricalDistribution)
        )

    def _place(self, path: str, value: Any) -> float:
        """Where in its range a value lies, from 0 to 1."""
        d: Any = self._leaves[path]
        change = math.log if d.log else float
        return (change(value) - change(d.low)) / (change(d.high) - change(d.low))


def main() -> None:
    """Print the epochs until the goal, for every pair of sampler and scheduler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    num_seeds = parser.parse_args().seeds
    space = read_space(str(SPACE))
    trials = [json.loads(line) for line in CURVES.open()]
    curve, max_epochs = Recorded(space, trials), len(trials[0]["curve"])
    best = np.array([max(t["curve"]) for t in trials])
    rng = np.random.default_rng(0)
    goal = float(np.median([rng.choice(best, FULL_TRIALS, replace=False).max() for _ in range(1_000)]))
    limit = MOST_EPOCHS * max_epochs
    print(f"{len(trials)} recorded trials of {max_epochs} epochs; best {best.max():.3f}, median {np.median(best):.3f}")
    print(f"goal: {goal:.3f}, the best of {FULL_TRIALS} random full trials; two trials at once; {num_seeds} seeds")

    results: dict[tuple[str, str], float] = {}
    for sampler, scheduler in PAIRS:
        epochs = []
        for seed in range(num_seeds):
            settings = [f"search.sampler={sampler}", f"search.scheduler={scheduler}", f"search.seed={seed}"]
            changed = override(space, [*settings, "search.grace_period=3"])
            found = replay(changed, curve, num_trials=MOST_EPOCHS, max_epochs=max_epochs)
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
