"""Recordings for training and validation, and the sealed test, which no trial receives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sldml.journal import SplitRecord
from sldml.recordings import Rows


@dataclass(frozen=True)
class Subset:
    """Some recordings of a prepared set, without their frames. Entry i of each array is one recording."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N] index into `classes`."""
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    rows: Rows = "all"
    """Which rows of the recordings are used."""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, catalog: pd.DataFrame, classes: Sequence[str], rows: Rows = "all") -> Subset:
        """The recordings of `catalog` whose label is one of `classes`, in the catalogue's order."""
        code = {label: index for index, label in enumerate(classes)}
        chosen = catalog[catalog["label"].isin(code)]
        return cls(
            tuple(classes),
            chosen["label"].map(code).to_numpy(np.int64),
            chosen["offset"].to_numpy(np.int64),
            chosen["length"].to_numpy(np.int64),
            tuple(chosen["name"]),
            tuple(chosen["subject"]),
            rows,
        )

    def take(self, index: NDArray[np.int64]) -> Subset:
        """The recordings at these positions, with the same classes."""
        return Subset(
            self.classes,
            self.labels[index],
            self.offsets[index],
            self.lengths[index],
            tuple(self.names[i] for i in index),
            tuple(self.subjects[i] for i in index),
            self.rows,
        )

    def sample(self, count: int, seed: int = 0) -> Subset:
        """At most `count` recordings, drawn evenly from the classes."""
        if len(self) <= count:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        rank = pd.Series(self.labels[order]).groupby(self.labels[order]).cumcount().to_numpy()
        return self.take(np.sort(order[np.argsort(rank, kind="stable")[:count]]))

    def sample_for_draws(self, count: int, seed: int = 0) -> Subset:
        """At most `count` recordings, with at least two of each class: an exemplar and a query.

        Like `sample`, but if there are more classes than `count` has pairs, some of them are drawn at random and the
        others are left out. The labels of the result are positions in its own classes.
        """
        num_classes = count // 2
        if len(self) <= count or len(self.classes) <= num_classes:
            return self.sample(count, seed)
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.classes))[:num_classes])
        return self.of_classes([self.classes[number] for number in kept]).sample(count, seed)

    def of_classes(self, classes: Sequence[str]) -> Subset:
        """The recordings of these classes, which become the classes of the result."""
        code = np.full(len(self.classes), -1, dtype=np.int64)
        number = {name: index for index, name in enumerate(self.classes)}
        for label, name in enumerate(classes):
            code[number[name]] = label
        taken = self.take(np.flatnonzero(code[self.labels] >= 0))
        return replace(taken, classes=tuple(classes), labels=code[taken.labels])


def union(first: Subset, second: Subset) -> Subset:
    """The recordings and classes of two subsets; a class of both appears once.

    Raises:
        ValueError: the subsets use different rows.
    """
    if first.rows != second.rows:
        raise ValueError(f"subsets with the same rows can be joined, but these have {first.rows} and {second.rows}")
    classes = first.classes + tuple(c for c in second.classes if c not in first.classes)
    code = np.array([classes.index(c) for c in second.classes], dtype=np.int64)
    return Subset(
        classes,
        np.concatenate([first.labels, code[second.labels]]),
        np.concatenate([first.offsets, second.offsets]),
        np.concatenate([first.lengths, second.lengths]),
        first.names + second.names,
        first.subjects + second.subjects,
        first.rows,
    )


@dataclass(frozen=True)
class Development:
    """What a trial receives: the recordings to train on and those to validate on."""

    train: Subset
    validation: Subset
    measure: Literal["one_shot_accuracy", "map_at_r"]
    """The validation score: one-shot accuracy on held-out classes; with too few classes, retrieval (MAP@R) of the
    training classes by held-out subjects."""

    def merged(self) -> Subset:
        """Training and validation recordings together, for the final models."""
        return union(self.train, self.validation)


@dataclass(frozen=True)
class Sealed:
    """The sealed test: one exemplar per novel class, and the queries. `exemplars.labels` is 0, 1, 2 …"""

    exemplars: Subset
    queries: Subset


@dataclass(frozen=True)
class Split:
    """Development and sealed test of a protocol, with notes for the user."""

    development: Development
    sealed: Sealed
    description: str
    notes: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Hash of the recordings of each side with their classes and rows."""
        sides = (self.development.train, self.development.validation, self.sealed.exemplars, self.sealed.queries)
        content = [(s.classes, s.labels.tolist(), s.names, s.rows) for s in sides]
        return hashlib.blake2b(repr(content).encode(), digest_size=8).hexdigest()

    def in_words(self) -> str:
        """Describe the split in one line."""
        train, validation = self.development.train, self.development.validation
        return (
            f"{self.description}; trains on {len(train)} recordings of {len(train.classes)} classes, validates on "
            f"{len(validation)} of {len(validation.classes)}, {len(self.sealed.queries)} sealed queries"
        )

    def to_record(self, notes: Sequence[str] = ()) -> SplitRecord:
        """The record of the split in a search's journal, with more notes before its own."""
        train, validation = self.development.train, self.development.validation
        return SplitRecord(
            description=self.description,
            notes=(*notes, *self.notes),
            hash=self.hash,
            train_classes=train.classes,
            validation_classes=validation.classes,
            num_train=len(train),
            num_validation=len(validation),
            num_novel_classes=len(self.sealed.exemplars.classes),
            num_novel=len(self.sealed.queries),
            measure=self.development.measure,
        )
