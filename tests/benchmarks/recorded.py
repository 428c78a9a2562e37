"""Recorded trainings as the objective of a replayed search: what a training of any configuration would give.

A configuration is answered by the recorded ones around it: of the same loss, the nearer by the other parameters (in the
unit cube) the more each counts. Their weighted mean is what to expect. What a search sees on its validation classes is
noisy: the residual of one of them, drawn by its weight, is added. What a search is worth is told without noise, on
classes that took no part, after the last epoch: final models are trained to the end.

Run: python -m tests.benchmarks.recorded

It prints which epoch of a training is better on these classes, the last one or the best one by validation.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from tests.benchmarks.record_curves import FOLDER, NUM_FOLDS, SETS, read_recorded_space

BANDWIDTH = 0.15
"""Of the Gaussian, in shares of a parameter's range."""
OTHER_CHOICE = {"encoder.name": 1.0, "miner.name": 0.3}
"""The squared distance, in ranges of a parameter, of configurations with another choice."""


class Drawn(NamedTuple):
    """One training."""

    val: NDArray[np.float64]
    """[folds, epochs] accuracies on the validation classes of each fold."""
    held_out: float
    """The accuracy to expect on novel classes after the last epoch."""


class Recorded:
    """The recorded trainings of one set.

    Attributes:
        space: What they are samples of.
        max_epochs: Their length.
        params: The parameters of each.
        val: [configurations, folds, epochs] accuracies on validation classes.
        held_out: [configurations] accuracies on novel classes after the last epoch, means over the folds.
    """

    def __init__(self, name: str) -> None:
        self.name, self.space = name, read_recorded_space(name)
        with (FOLDER / f"{name}.jsonl").open() as file:
            lines = [json.loads(line) for line in file]
        self.params: list[dict[str, Any]] = [line["params"] for line in lines]
        self.val = np.array([[fold["val"] for fold in line["folds"]] for line in lines])
        self.held_out = np.array([[fold["held_out"][-1] for fold in line["folds"]] for line in lines]).mean(axis=1)
        self.max_epochs = self.val.shape[2]
        distributions = {leaf.path: leaf.distribution for leaf in self.space.leaves()}
        self._ranges = {p: d for p, d in distributions.items() if not isinstance(d, CategoricalDistribution)}
        self._places = np.array([self._place(params) for params in self.params])
        self._choices = {path: np.array([params.get(path, "") for params in self.params]) for path in OTHER_CHOICE}
        losses = np.array([params["loss.name"] for params in self.params])
        self._of_loss = {loss: np.flatnonzero(losses == loss) for loss in np.unique(losses)}
        self._residuals = self.val - np.array([self._by_others(number) for number in range(len(self))])

    def __len__(self) -> int:
        return len(self.params)

    def draw(self, params: Mapping[str, Any], rng: np.random.Generator) -> Drawn:
        """One training of a configuration. Its residuals on all folds are those of one recorded training."""
        near, weights = self._weights(params)
        residual = self._residuals[near[rng.choice(len(near), p=weights)]]
        val = np.clip(np.tensordot(weights, self.val[near], axes=1) + residual, 0.0, 1.0)
        return Drawn(val, float(weights @ self.held_out[near]))

    def _place(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """Where in its range each parameter lies, from 0 to 1; NaN for one that is not there."""
        places = []
        for path, distribution in self._ranges.items():
            d: Any = distribution
            change = math.log if d.log else float
            low, high = change(d.low), change(d.high)
            places.append((change(params[path]) - low) / (high - low) if path in params else math.nan)
        return np.array(places)

    def _weights(self, params: Mapping[str, Any], without: int = -1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The recorded configurations with the same loss, except for one of them, and the weight of each."""
        near = self._of_loss[params["loss.name"]]
        near = near[near != without]
        gaps = np.nan_to_num(self._places[near] - self._place(params))
        squared = (gaps**2).sum(axis=1)
        for path, other in OTHER_CHOICE.items():
            squared += other * (self._choices[path][near] != params.get(path, ""))
        # The nearest one always counts, however far it is.
        weights = np.exp((squared.min() - squared) / (2 * BANDWIDTH**2))
        return near, weights / weights.sum()

    def _by_others(self, number: int) -> NDArray[np.float64]:
        """[folds, epochs] what the other recorded configurations tell of one."""
        near, weights = self._weights(self.params[number], without=number)
        told: NDArray[np.float64] = np.tensordot(weights, self.val[near], axes=1)
        return told


BEST = 8
"""Number of configurations with the best validation accuracy, for which the epochs are compared as well."""


def main() -> None:
    """Print the accuracy on novel classes, means over configurations and class folds."""
    print(f"{'accuracy on novel classes':28}{'best epoch':>12}{'last epoch':>12}")
    for name in SETS:
        with (FOLDER / f"{name}.jsonl").open() as file:
            folds = [json.loads(line)["folds"] for line in file]
        val, held_out = (np.array([[fold[kind] for fold in each] for each in folds]) for kind in ("val", "held_out"))
        at_best = np.take_along_axis(held_out, val.argmax(axis=2, keepdims=True), axis=2)[..., 0]
        at_end = held_out[..., -1]
        print(f"{f'{name}, all {len(folds)}':28}{at_best.mean():>12.3f}{at_end.mean():>12.3f}")
        ranked = np.argsort(-val.max(axis=2), axis=0, kind="stable")[:BEST]
        of_best, of_end = (np.take_along_axis(each, ranked, axis=0).mean() for each in (at_best, at_end))
        print(f"{f'{name}, best {BEST} of each fold':28}{of_best:>12.3f}{of_end:>12.3f}")


@functools.lru_cache(maxsize=NUM_FOLDS)
def recorded(name: str) -> Recorded:
    """The recorded set, read once by each process."""
    return Recorded(name)


if __name__ == "__main__":
    main()
