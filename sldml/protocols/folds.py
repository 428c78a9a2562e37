"""Class-disjoint folds: each auxiliary class validates once and trains in all the other folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sldml.protocols.classes import ProtocolError, class_folds, natural_order
from sldml.protocols.split import Development, Subset

MOST_TO_SCORE = 1_000
"""A fold that decides what ships is scored on at most so many recordings, for training-free ways need all pairs."""


def fold_developments(development: Development, num_folds: int) -> list[Development]:
    """The auxiliary classes of a development side, dealt out anew into folds.

    Args:
        development: What a trial receives; its own classes for training and validation are put together.
        num_folds: How many folds; with 1, the development side stays as the protocol has made it.

    Returns:
        One development side a fold, whose validation classes are that fold's.

    Raises:
        ProtocolError: there are too few classes for so many folds.
    """
    if num_folds == 1:
        return [development]
    merged = development.merged()
    try:
        folds = class_folds(natural_order(merged.classes), num_folds)
    except ProtocolError as error:
        raise ProtocolError(f"evaluation.num_folds: {error}") from None
    return [
        Development(_of(merged, [c for c in merged.classes if c not in fold]), _of(merged, fold), "one_shot_accuracy")
        for fold in folds
    ]


def scored_folds(development: Development, num_folds: int) -> list[Development]:
    """`fold_developments`, of whose validation recordings a large fold keeps a fixed sample.

    Trained models and training-free ways are compared on these: the same recordings, so the same exemplar draws.
    """
    return [
        replace(fold, validation=fold.validation.sample(MOST_TO_SCORE))
        for fold in fold_developments(development, num_folds)
    ]


def _of(subset: Subset, classes: list[str]) -> Subset:
    """The recordings of some of a subset's classes."""
    code = np.full(len(subset.classes), -1, dtype=np.int64)
    for label, name in enumerate(classes):
        code[subset.classes.index(name)] = label
    index = np.flatnonzero(code[subset.labels] >= 0)
    taken = subset.take(index)
    return Subset(
        tuple(classes),
        code[taken.labels],
        taken.offsets,
        taken.lengths,
        taken.names,
        taken.subjects,
        taken.rows,
    )
