"""Class-disjoint folds: each auxiliary class validates once and trains in all the other folds."""

from __future__ import annotations

from dataclasses import replace

from sldml.protocols.classes import ProtocolError, class_folds, natural_order
from sldml.protocols.split import Development

MOST_TO_SCORE = 1_000
"""Largest number of validation recordings if all pairs of them are compared."""


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
    merged = development.merged()
    try:
        folds = class_folds(natural_order(merged.classes), num_folds)
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


def scored_folds(development: Development, num_folds: int) -> list[Development]:
    """The folds on which trained models are compared with baselines.

    As `fold_developments`, with a fixed sample of at most `MOST_TO_SCORE` validation recordings per fold, so that all
    models are scored on the same recordings with the same exemplar draws.
    """
    return [
        replace(fold, validation=fold.validation.sample_for_draws(MOST_TO_SCORE))
        for fold in fold_developments(development, num_folds)
    ]
