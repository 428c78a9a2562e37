"""Class-disjoint folds: each auxiliary class validates once and trains in all the other folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sldml.protocols.classes import ProtocolError, class_folds, natural_order
from sldml.protocols.split import Development

MOST_TO_SCORE = 1_000
"""Largest number of validation recordings if all pairs of them are compared."""
_ATTEMPTS = 100
"""Where most classes have a single recording, some divisions leave a fold without queries."""


def fold_developments(development: Development, num_folds: int) -> list[Development]:
    """Divide the auxiliary classes into folds, each of which validates once.

    Args:
        development: What a trial receives; its classes for training and for validation are merged.
        num_folds: Number of folds; with 1, the split of the protocol is kept.

    Returns:
        One `Development` per fold, whose validation classes are those of the fold.

    Raises:
        ProtocolError: there are too few classes for the number of folds.
    """
    if num_folds == 1:
        return [development]
    return _divided(development, natural_order(development.merged().classes), num_folds)


def scored_folds(development: Development, num_folds: int, repeat: int = 1) -> list[Development]:
    """The folds on which trained models are compared with one another and with baselines.

    Each has a fixed sample of at most `MOST_TO_SCORE` validation recordings, so that all models are scored on the same
    recordings with the same exemplar draws.

    Args:
        development: What a trial receives; its classes for training and for validation are merged.
        num_folds: Number of folds, at least 2.
        repeat: 1 for the folds of `fold_developments`; each further one divides the classes in another way. Every
            fold has a recording besides the exemplars if those of the first repeat have.

    Raises:
        ProtocolError: there are too few classes for the number of folds.
    """
    folds = _sampled(fold_developments(development, num_folds))
    classes = natural_order(development.merged().classes)
    for attempt in range(_ATTEMPTS if repeat > 1 else 0):
        order = np.random.default_rng([repeat, attempt]).permutation(len(classes))
        shuffled = _sampled(_divided(development, [classes[place] for place in order], num_folds))
        if have_queries(shuffled):
            return shuffled
    return folds


def have_queries(folds: Sequence[Development]) -> bool:
    """Whether each fold has a validation recording besides one exemplar per class."""
    return all(len(fold.validation) > len(fold.validation.classes) for fold in folds)


def _divided(development: Development, classes: Sequence[str], num_folds: int) -> list[Development]:
    """The folds of classes that are dealt out in this order."""
    merged = development.merged()
    try:
        folds = class_folds(classes, num_folds)
    except ProtocolError as error:
        raise ProtocolError(f"evaluation.num_folds: {error}") from None
    return [
        Development(
            merged.of_classes([c for c in merged.classes if c not in fold]),
            merged.of_classes(fold),
            "one_shot_accuracy",
        )
        for fold in folds
    ]


def _sampled(folds: Sequence[Development]) -> list[Development]:
    return [replace(fold, validation=fold.validation.sample_for_draws(MOST_TO_SCORE)) for fold in folds]
