"""The corrected paired t over repeated class folds: by hand, and by simulation of folds that share classes."""

from __future__ import annotations

import numpy as np
import pytest

from sldml.recognition.one_shot import paired_ci95
from sldml.search.fold_statistics import paired_over_folds

FREE = [0.70, 0.80, 0.75, 0.65, 0.85]
BETTER = [0.80, 0.85, 0.85, 0.75, 0.90]  # differences .10 .05 .10 .10 .05: mean .08, standard deviation .0273861


def test_the_interval_by_hand() -> None:
    found = paired_over_folds(BETTER, FREE, num_folds=5)
    # Five folds in one repeat: scale .0273861 * sqrt(1/5 + 1/4); Student's t of four degrees of freedom 2.776445.
    half = 2.776445 * 0.0273861 * 0.45**0.5
    assert found.mean == pytest.approx(0.08)
    assert found.ci95 == pytest.approx((0.08 - half, 0.08 + half), abs=1e-6)


def test_the_second_repeat_narrows_it_less_than_independent_folds_would() -> None:
    twice = paired_over_folds(BETTER * 2, FREE * 2, num_folds=5)
    # Standard deviation .0258199; 1/10 + 1/4; t of nine degrees of freedom 2.262157.
    half = 2.262157 * 0.0258199 * 0.35**0.5
    assert twice.ci95 == pytest.approx((0.08 - half, 0.08 + half), abs=1e-6)
    plain = paired_ci95(BETTER * 2, FREE * 2)[1]
    assert twice.ci95[1] - twice.ci95[0] > 1.8 * (plain[1] - plain[0])


def test_the_probability_is_that_of_the_same_distribution() -> None:
    # Two folds: one degree of freedom, the Cauchy distribution, whose third quartile is 1. Differences .0 and .2 have
    # the mean .1 and the standard deviation .1414; times sqrt(1/2 + 1/1) the scale is .1732.
    found = paired_over_folds([0.5, 0.7], [0.5, 0.5], num_folds=2)
    assert found.better == pytest.approx(0.5 + np.arctan(0.1 / 0.1732051) / np.pi, abs=1e-6)
    other = paired_over_folds([0.5, 0.5], [0.5, 0.7], num_folds=2)
    assert found.better + other.better == pytest.approx(1.0)


@pytest.mark.parametrize(("first", "second"), [([], []), ([0.9], [0.1])])
def test_fewer_than_two_folds_say_nothing(first: list[float], second: list[float]) -> None:
    found = paired_over_folds(first, second, num_folds=5)
    assert (found.ci95, found.better) == ((-1.0, 1.0), 0.5)
    assert found.mean == pytest.approx(sum(first) - sum(second))


@pytest.mark.parametrize(("difference", "better"), [(0.25, 1.0), (0.0, 0.5), (-0.25, 0.0)])
def test_equal_differences_have_an_interval_without_width(difference: float, better: float) -> None:
    found = paired_over_folds([0.5 + difference] * 3, [0.5] * 3, num_folds=5)
    assert (found.mean, found.ci95, found.better) == (difference, (difference, difference), better)


def test_the_interval_stays_within_what_a_difference_can_be() -> None:
    assert paired_over_folds([1.0, 0.0], [0.0, 1.0], num_folds=2).ci95 == (-1.0, 1.0)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        paired_over_folds([0.5], [0.5, 0.6], num_folds=5)


@pytest.mark.parametrize("num_repeats", [1, 3])
def test_between_equals_the_interval_excludes_zero_in_one_of_twenty(num_repeats: int) -> None:
    """Differences of equal finalists whose folds share classes: correlation 1/k, as Nadeau and Bengio assume."""
    rng, num_folds, count = np.random.default_rng(0), 5, 4_000
    shared = rng.normal(size=(count, 1)) * 0.2**0.5
    differences = 0.03 * (shared + rng.normal(size=(count, num_folds * num_repeats)) * 0.8**0.5)
    zeros = [0.0] * (num_folds * num_repeats)
    corrected = [paired_over_folds(row, zeros, num_folds).ci95 for row in differences.tolist()]
    plain = [paired_ci95(row, zeros)[1] for row in differences.tolist()]
    excluded, excluded_plain = (np.mean([low > 0 or high < 0 for low, high in ci]) for ci in (corrected, plain))
    assert 0.04 < excluded < 0.06
    assert excluded_plain > 0.12
