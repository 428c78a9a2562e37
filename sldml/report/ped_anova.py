"""PED-ANOVA: how much the values of a parameter differ between the best trials and all trials.

The score of a parameter (Watanabe et al., arXiv 2304.10255) is the Pearson divergence of two densities over its range,
that of the best trials from that of all trials. Both are Parzen estimates on a grid. A parameter that only some trials
have is compared among these, and its divergence is weighted with their share of the best trials, squared, over their
share of all trials (conditional form, arXiv 2601.20800).

Scores are equal to those of Optuna's `PedAnovaImportanceEvaluator`, except for a factor that all parameters share. They
are computed here for many sets of best trials at once, because Optuna needs tens of milliseconds for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

MAX_STEPS = 50
"""Number of steps of the grid over the range of a number."""
FEW_VALUES = 4
"""Up to this many different numbers are compared as a choice: a density between them has no meaning."""
_PRIOR_WEIGHT = 1.0
"""Weight of the prior in a density, in trials."""
_MIN_WIDTH = 0.5 / 1.64
"""Smallest width of a kernel, in steps: 90 % of its mass lie in one step."""
_FLOOR = 1e-12

Places = NDArray[np.int64]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """The values of a parameter in N trials, on a grid of G places."""

    places: Places
    """[N] the place of each value; -1 for a trial without the parameter."""
    num_places: int
    is_choice: bool
    """Whether its places have no order."""

    @classmethod
    def of(cls, values: Mapping[int, Any], num_trials: int, *, log: bool) -> Parameter:
        """The parameter with these values by trial, 0 … N-1; `log`: numbers are on a logarithmic scale."""
        given = list(values.values())
        is_choice = not all(map(_is_number, given)) or len(set(given)) <= FEW_VALUES
        if is_choice:
            options, found = np.unique([str(value) for value in given], return_inverse=True)
            num_places = len(options)
        else:
            found, num_places = _on_grid(given, log)
        places = np.full(num_trials, -1, dtype=np.int64)
        places[list(values)] = found
        return cls(places, num_places, is_choice)


def scores(parameters: Sequence[Parameter], best: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The score of each parameter [S, P] for S sets of best trials [S, N]; a set has at least one trial."""
    return np.stack([_scores(parameter, best) for parameter in parameters], axis=1)


def _scores(parameter: Parameter, best: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The score of one parameter [S]."""
    having = parameter.places >= 0
    one_hot = np.eye(parameter.num_places)[parameter.places[having]]
    density = _density_of_choices if parameter.is_choice else _density_of_numbers
    counts = best[:, having] @ one_hot
    among_best = density(counts) + _FLOOR
    among_all = density(one_hot.sum(axis=0, keepdims=True)) + _FLOOR
    divergence = (among_all * (among_best / among_all - 1.0) ** 2).sum(axis=1)
    share_of_best = counts.sum(axis=1) / best.sum(axis=1)
    found: NDArray[np.float64] = share_of_best**2 / having.mean() * divergence
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _on_grid(values: Sequence[float], log: bool) -> tuple[Places, int]:
    """The place of each number on a grid over their range, and the number of places.

    Whole numbers have a place each or, on a logarithmic scale, one for each doubling, as far as `MAX_STEPS` allows.
    """
    low, high, num_places = min(values), max(values), MAX_STEPS
    if all(isinstance(value, int) for value in values):
        span = high - low + 1
        num_places = min(MAX_STEPS, math.ceil(math.log2(span)) + 1 if log else int(span))
    scaled = np.log(values) if log else np.array(values, dtype=np.float64)
    low, high = (math.log(low), math.log(high)) if log else (low, high)
    places = np.ceil((scaled - low) / ((high - low) / (num_places - 1)) - 0.5)
    return places.astype(np.int64).clip(0, num_places - 1), num_places


def _density_of_choices(counts: Counts) -> NDArray[np.float64]:
    """Parzen densities [S, G] of counts [S, G]: each option that occurs has a kernel, and the prior is uniform."""
    num_options = counts.shape[1]
    elsewhere = _PRIOR_WEIGHT / ((counts > 0).sum(axis=1, keepdims=True) + 1)  # beside a kernel's own option
    total = counts.sum(axis=1, keepdims=True)
    kernels = (counts + total * elsewhere) / (1.0 + num_options * elsewhere)
    found: NDArray[np.float64] = (kernels + _PRIOR_WEIGHT / num_options) / (total + _PRIOR_WEIGHT)
    return found


def _density_of_numbers(counts: Counts) -> NDArray[np.float64]:
    """Parzen densities [S, G] of counts [S, G]: normal kernels cut to the range, and a wide one as the prior."""
    num_places = counts.shape[1]
    place = np.arange(num_places)
    width = _kernel_width(counts)
    # The mass of a kernel at each distance from its centre [S, 2G - 1], and within the range for each centre [S, G].
    mass = _normal_mass(np.arange(1 - num_places, num_places), 1.0, width)
    inside = _normal_mass((num_places - 1) / 2 - place, num_places, width)
    at_place = mass[:, place[:, None] - place + num_places - 1]  # [S, G places, G centres]
    kernels = (at_place @ (counts / inside)[..., None])[..., 0]
    wide = np.full((1, 1), float(num_places))
    prior = _normal_mass(place - (num_places - 1) / 2, 1.0, wide) / _normal_mass(np.zeros(1), num_places, wide)
    total = counts.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = (kernels + _PRIOR_WEIGHT * prior) / (total + _PRIOR_WEIGHT)
    return found


def _normal_mass(middle: NDArray[Any], length: float, width: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mass [S, M] of normal distributions of `width` [S, 1] around 0 in an interval around each middle [M]."""
    upper, lower = (scipy.special.ndtr((middle + side * length / 2) / width) for side in (1, -1))
    found: NDArray[np.float64] = upper - lower
    return found


def _kernel_width(counts: Counts) -> NDArray[np.float64]:
    """The width of kernels [S, 1] by the rule of Scott (*Multivariate Density Estimation*, 1992), in steps."""
    place = np.arange(counts.shape[1])
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    mean = counts @ place[:, None] / total
    deviation = np.sqrt((counts * (place - mean) ** 2).sum(axis=1, keepdims=True) / np.maximum(total - 1.0, 1.0))
    summed = counts.cumsum(axis=1)
    first = (summed >= np.maximum(total // 4, 1.0)).argmax(axis=1)
    third = (summed > total * 3 // 4).argmax(axis=1)
    quartiles = (third - first)[:, None] / 1.34
    found: NDArray[np.float64] = np.maximum(1.059 * np.minimum(quartiles, deviation) * total**-0.2, _MIN_WIDTH)
    return found
