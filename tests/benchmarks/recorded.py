"""Recorded trainings as the objective of a replayed search: what a training of any configuration would give.

A configuration is answered by the recorded ones around it: of the same loss, the nearer by the other parameters (in the
unit cube) the more each counts. Their weighted mean is what to expect. What a search sees on its validation classes is
noisy: the residual of one of them, drawn by its weight, is added. What a search is worth is told without noise, on
classes that took no part.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from tests.benchmarks.record_curves import FOLDER, NUM_FOLDS, read_recorded_space

BANDWIDTH = 0.15
"""Of the Gaussian, in shares of a parameter's range."""
OTHER_CHOICE = {"encoder.name": 1.0, "miner.name": 0.3}
"""The squared distance, in ranges of a parameter, of configurations with another choice."""


class Recorded:
    """The recorded trainings of one set.

    Attributes:
        space: What they are samples of.
        max_epochs: Their length.
        val: [configurations, folds, epochs] accuracies on validation classes.
        held_out: [configurations, epochs] on novel classes, means over the folds.
    """

    def __init__(self, name: str) -> None:
        self.name, self.space = name, read_recorded_space(name)
        with (FOLDER / f"{name}.jsonl").open() as file:
            lines = [json.loads(line) for line in file]
        self.params: list[dict[str, Any]] = [line["params"] for line in lines]
        self.val = np.array([[fold["val"] for fold in line["folds"]] for line in lines])
        self.held_out = np.array([[fold["held_out"] for fold in line["folds"]] for line in lines]).mean(axis=1)
        self.max_epochs = self.val.shape[2]
        distributions = {leaf.path: leaf.distribution for leaf in self.space.leaves()}
        self._ranges = {p: d for p, d in distributions.items() if not isinstance(d, CategoricalDistribution)}
        self._places = np.array([self._place(params) for params in self.params])
        self._choices = {
            path: np.array([params.get(path, "") for params in self.params]) for path in ("loss.name", *OTHER_CHOICE)
        }
        others = self._weights_of_others()
        self._residuals = self.val - np.einsum("ij,jfe->ife", others, self.val)

    def __len__(self) -> int:
        return len(self.params)

    def draw(self, params: Mapping[str, Any], fold: int, rng: np.random.Generator) -> tuple[list[float], list[float]]:
        """One training: its accuracies on the validation classes of `fold`, and those to expect on novel classes."""
        weights = self._weights(self._place(params), {path: params.get(path, "") for path in self._choices})
        residual = self._residuals[rng.choice(len(self), p=weights), fold]
        val = np.clip(weights @ self.val[:, fold] + residual, 0.0, 1.0)
        return val.tolist(), (weights @ self.held_out).tolist()

    def _place(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """Where in its range each parameter lies, from 0 to 1; NaN for one that is not there."""
        places = []
        for path, distribution in self._ranges.items():
            d: Any = distribution
            change = math.log if d.log else float
            low, high = change(d.low), change(d.high)
            places.append((change(params[path]) - low) / (high - low) if path in params else math.nan)
        return np.array(places)

    def _weights(self, place: NDArray[np.float64], choices: Mapping[str, str]) -> NDArray[np.float64]:
        gaps = np.nansum((self._places - place) ** 2, axis=1)
        for path, squared in OTHER_CHOICE.items():
            gaps += squared * (self._choices[path] != choices[path])
        gaps[self._choices["loss.name"] != choices["loss.name"]] = np.inf
        # The nearest one always counts, however far it is.
        weights = np.exp((gaps.min() - gaps) / (2 * BANDWIDTH**2))
        normalized: NDArray[np.float64] = weights / weights.sum()
        return normalized

    def _weights_of_others(self) -> NDArray[np.float64]:
        """[configurations, configurations] the weights of all others for each."""
        rows = []
        for number, params in enumerate(self.params):
            weights = self._weights(self._places[number], {path: params.get(path, "") for path in self._choices})
            weights[number] = 0.0
            rows.append(weights / max(weights.sum(), 1e-300))
        return np.array(rows)


@functools.lru_cache(maxsize=NUM_FOLDS)
def recorded(name: str) -> Recorded:
    """The recorded set, read once by each process."""
    return Recorded(name)
