"""Enrolled exemplars, and the nearest actions of recordings among them.

A large gallery of embeddings is searched by faiss with an index that is built once. Otherwise, and for other distances,
all distances are computed by `sldml.recognition.matching`. Both are exact and give the same answer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sldml.recognition.matching import Features, Matching

if TYPE_CHECKING:
    import faiss

FAISS_FROM = 1000
"""Number of embeddings from which on faiss is used."""


@dataclass(frozen=True)
class Nearest:
    """The nearest action of each recording [Q], and the distances of the nearest two actions."""

    action: NDArray[np.int64]
    """Index into `Gallery.actions`; the first of equally near ones."""
    distance: NDArray[np.float32]
    second: NDArray[np.float32]
    """Distance of the nearest other action; infinite if there is none."""


class Gallery:
    """The features of exemplars and their actions. Immutable: `plus` returns a larger gallery."""

    def __init__(self, matching: Matching, features: Features, labels: Sequence[str]) -> None:
        """`features`: of N exemplars, from `matching`; `labels`: the N names of their actions."""
        self._matching, self._features, self._labels = matching, features, tuple(labels)
        self.actions = tuple(sorted(set(labels)))
        number = {action: index for index, action in enumerate(self.actions)}
        self._owner = np.array([number[label] for label in labels], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._labels)

    def plus(self, features: Features, labels: Sequence[str]) -> Gallery:
        """A gallery with further exemplars."""
        both = tuple(torch.cat(parts) for parts in zip(self._features, features, strict=True))
        return Gallery(self._matching, both, [*self._labels, *labels])

    def nearest(self, features: Features) -> Nearest:
        """The nearest actions of recordings. The distance of an action is that of its nearest exemplar."""
        if self.uses_faiss:
            return self._by_faiss(features)
        order, starts = self._by_action
        distances = self._matching.distances(self._features, features).cpu().numpy()[order]
        table = np.minimum.reduceat(distances, starts, axis=0)
        action = table.argmin(axis=0)
        column = np.arange(table.shape[1])
        distance = table[action, column]
        table[action, column] = np.inf
        return Nearest(action, distance, table.min(axis=0))

    @property
    def uses_faiss(self) -> bool:
        """Whether there are enough exemplars, and only embeddings are compared."""
        plain = self._matching.kind == "encoder" and self._matching.matcher.is_plain
        return plain and len(self) >= FAISS_FROM

    @functools.cached_property
    def _by_action(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The exemplars in the order of their actions, and where each action begins."""
        order = np.argsort(self._owner, kind="stable")
        starts = np.searchsorted(self._owner[order], np.arange(len(self.actions)))
        return order, starts

    @functools.cached_property
    def _index(self) -> faiss.IndexFlatIP:
        import faiss

        embeddings = self._features[0].cpu().numpy()
        index = faiss.IndexFlatIP(embeddings.shape[1])
        index.add(embeddings)
        return index

    def _by_faiss(self, features: Features) -> Nearest:
        # One more than the largest action has exemplars: a second action is among them.
        most = min(len(self), int(np.bincount(self._owner).max()) + 1)
        similarity, position = self._index.search(features[0].cpu().numpy(), most)
        distances, owner = (1.0 - similarity).astype(np.float32), self._owner[position]
        first = np.where(distances == distances[:, :1], owner, len(self.actions)).min(axis=1)
        others = np.where(owner != first[:, None], distances, np.float32(np.inf))
        return Nearest(first, distances[:, 0], others.min(axis=1))
