"""The difference of a model to a baseline on the same queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sldml.journal import AgainstBaseline, Candidate
from sldml.recognition.one_shot import paired_ci95


def against_baseline(
    candidate: Candidate, predicted: NDArray[np.int64], by_candidate: NDArray[np.int64], truth: NDArray[np.int64]
) -> AgainstBaseline:
    """The accuracy of a model less that of a baseline, paired over queries and over classes with equal weight.

    Args:
        candidate: The baseline.
        predicted: [Q] the model's prediction of each query.
        by_candidate: [Q] the baseline's.
        truth: [Q] the class of each query.
    """
    own, other = predicted == truth, by_candidate == truth
    difference, over_queries = paired_ci95(own.astype(float).tolist(), other.astype(float).tolist())
    asked = np.unique(truth)
    by_class = [[float(right[truth == c].mean()) for c in asked] for right in (own, other)]
    return AgainstBaseline(
        candidate=candidate,
        accuracy=float(other.mean()),
        difference=difference,
        over_queries=over_queries,
        over_classes=paired_ci95(*by_class)[1],
    )
