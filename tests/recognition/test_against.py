"""The difference of a model to a baseline, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.made_history import candidate

from sldml.recognition.against import against_baseline

T_3, T_1 = 3.182446, 12.706205
"""The 97.5 % quantiles of Student's t with 3 degrees of freedom and with 1."""


def test_pairs_are_queries_and_classes() -> None:
    truth = np.array([0, 0, 0, 2])
    predicted, by_candidate = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    found = against_baseline(candidate("dtw_1nn"), predicted, by_candidate, truth)
    assert (found.candidate, found.accuracy, found.difference) == (candidate("dtw_1nn"), 0.5, 0.25)
    # Differences of the queries 0, 1, 0, 0: standard deviation 0.5, error 0.25.
    assert found.over_queries == pytest.approx((0.25 - T_3 * 0.25, min(1.0, 0.25 + T_3 * 0.25)), abs=1e-6)
    # Of the classes 1/3 and 0: mean 1/6, error 1/6. Class 1 has no query.
    assert found.over_classes == pytest.approx((max(-1.0, 1 / 6 - T_1 / 6), min(1.0, 1 / 6 + T_1 / 6)), abs=1e-6)


def test_predictions_that_are_right_on_the_same_queries_do_not_differ() -> None:
    truth = np.array([0, 0, 1, 1])
    found = against_baseline(candidate("raw_1nn"), np.array([0, 1, 1, 0]), np.array([0, 2, 1, 2]), truth)
    assert (found.difference, found.over_queries, found.over_classes) == (0.0, (0.0, 0.0), (0.0, 0.0))
