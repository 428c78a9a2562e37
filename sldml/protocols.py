"""Which classes train, validate and test, and which recordings are exemplars.

A `Split` has two sides that never meet: what a trial receives (`Development`: no offset, no label of a novel
recording is in it) and the sealed test (`Sealed`), read once per search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sldml.config import NtuOneShot, ProtocolConfig, UtdMhadOneShot
from sldml.errors import InputError

NTU_NOVEL = tuple(f"A{action:03d}" for action in range(1, 121, 6))
NTU_DEVELOPMENT = tuple(f"A{action:03d}" for action in range(2, 121, 6))
UTD_CLASSES = tuple(f"a{action}" for action in range(1, 28))
_FEWEST_CLASSES_TO_HOLD_OUT_FROM = 6
"""With fewer auxiliary classes than this, none can be spared: subjects are held out instead."""


class ProtocolError(InputError):
    """The recordings do not allow the protocol; the message says which class or exemplar is wanting."""


@dataclass(frozen=True)
class Subset:
    """Some recordings of a prepared set. Arrays are parallel: entry i is one recording."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N] index into `classes`."""
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    names: tuple[str, ...]
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, catalog: pd.DataFrame, classes: Sequence[str]) -> Subset:
        """The rows of `catalog` whose label is one of `classes`, in the catalogue's order."""
        code = {label: index for index, label in enumerate(classes)}
        rows = catalog[catalog["label"].isin(code)]
        return cls(
            tuple(classes),
            rows["label"].map(code).to_numpy(np.int64),
            rows["offset"].to_numpy(np.int64),
            rows["length"].to_numpy(np.int64),
            tuple(rows["name"]),
            tuple(rows["subject"]),
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
        )

    def sample(self, count: int, seed: int = 0) -> Subset:
        """At most `count` recordings, drawn evenly from the classes; all of them where there are no more."""
        if len(self) <= count:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        rank = pd.Series(self.labels[order]).groupby(self.labels[order]).cumcount().to_numpy()
        return self.take(np.sort(order[np.argsort(rank, kind="stable")[:count]]))


def union(first: Subset, second: Subset) -> Subset:
    """Both subsets' recordings over both subsets' classes; a class of both stays one."""
    classes = first.classes + tuple(c for c in second.classes if c not in first.classes)
    code = np.array([classes.index(c) for c in second.classes], dtype=np.int64)
    return Subset(
        classes,
        np.concatenate([first.labels, code[second.labels]]),
        np.concatenate([first.offsets, second.offsets]),
        np.concatenate([first.lengths, second.lengths]),
        first.names + second.names,
        first.subjects + second.subjects,
    )


@dataclass(frozen=True)
class Development:
    """What a trial receives: the recordings to train on and those to validate on."""

    train: Subset
    validation: Subset
    measure: Literal["one_shot_accuracy", "map_at_r"]
    """How validation is scored: one-shot accuracy on held-out classes, or (where no class could be held out)
    retrieval of the training classes by held-out subjects."""

    def merged(self) -> Subset:
        """All of it, for the final models."""
        return union(self.train, self.validation)


@dataclass(frozen=True)
class Sealed:
    """The sealed test: one exemplar per novel class, and the queries. `exemplars.labels` is 0, 1, 2 …"""

    exemplars: Subset
    queries: Subset


@dataclass(frozen=True)
class Split:
    """Development and sealed test of one protocol, and what a person should know about it."""

    development: Development
    sealed: Sealed
    description: str
    notes: tuple[str, ...]

    def in_words(self) -> str:
        """In one line, for a person."""
        train, validation = self.development.train, self.development.validation
        return (
            f"{self.description}; trains on {len(train)} recordings of {len(train.classes)} classes, validates on "
            f"{len(validation)} of {len(validation.classes)}, {len(self.sealed.queries)} sealed queries"
        )


def make_split(config: ProtocolConfig, catalog: pd.DataFrame) -> Split:
    """Split a prepared set's catalogue.

    Raises:
        ProtocolError: too few classes or recordings, or an exemplar is not there.
    """
    present = set(catalog["label"])
    match config:
        case NtuOneShot():
            novel = [c for c in NTU_NOVEL if c in present]
            others = [c for c in (f"A{a:03d}" for a in range(1, 121)) if c in present and c not in NTU_NOVEL]
            auxiliary = others[: config.num_auxiliary]
            notes = _absent(len(NTU_NOVEL), novel, "novel") + _absent(config.num_auxiliary, auxiliary, "auxiliary")
            exemplars = {c: ntu_exemplar(c) for c in novel}
            held_out = [c for c in NTU_DEVELOPMENT if c in auxiliary] if config.validation == "development" else []
            if config.validation == "development" and len(held_out) < 2:
                notes.append("fewer than two development classes are there: validation classes are spread evenly")
                held_out = []
            elif config.num_validation is not None:
                held_out = held_out[: config.num_validation]
            description = "NTU RGB+D 120 one-shot"
        case UtdMhadOneShot():
            auxiliary = [c for c in UTD_CLASSES[: config.num_auxiliary] if c in present]
            rest = UTD_CLASSES[config.num_auxiliary :]
            if config.num_novel is not None and config.num_novel > len(rest):
                raise ProtocolError(
                    f"protocol.num_novel is {config.num_novel}, but {config.num_auxiliary} auxiliary classes leave "
                    f"{len(rest)} of 27"
                )
            novel = [c for c in rest[-config.num_novel if config.num_novel else 0 :] if c in present]
            notes = _absent(config.num_auxiliary, auxiliary, "auxiliary") + _absent(
                config.num_novel or len(rest), novel, "novel"
            )
            exemplars = {c: f"{c}_s1_t1" for c in novel}
            held_out = []
            description = "UTD-MHAD one-shot"
    if len(auxiliary) < 2:
        raise ProtocolError(f"{description} needs two auxiliary classes, but {len(auxiliary)} are among the recordings")
    if len(novel) < 2:
        raise ProtocolError(f"{description} needs two novel classes, but {len(novel)} are among the recordings")
    development, more = _development(catalog, auxiliary, held_out, config.num_validation)
    return Split(
        development,
        _sealed(catalog, exemplars),
        f"{description}: {len(auxiliary)} auxiliary and {len(novel)} novel classes",
        tuple(notes + more),
    )


def ntu_exemplar(label: str) -> str:
    """The official exemplar's recording of a class `Axxx` (the development classes' likewise)."""
    return f"S{1 if int(label[1:]) < 60 else 18:03d}C003P008R001{label}"


def spread(classes: Sequence[str], count: int) -> list[str]:
    """`count` of the classes at even distances."""
    step = len(classes) / count
    return [classes[int((i + 0.5) * step)] for i in range(count)]


def _absent(wanted: int, found: Sequence[str], kind: str) -> list[str]:
    if len(found) == wanted:
        return []
    return [f"{len(found)} of {wanted} {kind} classes are among the recordings: the result is not the official one"]


def _development(
    catalog: pd.DataFrame, auxiliary: Sequence[str], held_out: Sequence[str], num_validation: int | None
) -> tuple[Development, list[str]]:
    if not held_out and len(auxiliary) < _FEWEST_CLASSES_TO_HOLD_OUT_FROM and num_validation is None:
        return _by_subjects(catalog, auxiliary)
    if not held_out:
        count = num_validation or min(20, max(3, round(0.25 * len(auxiliary))))
        if len(auxiliary) - count < 2:
            raise ProtocolError(
                f"protocol.num_validation is {count}, but of {len(auxiliary)} auxiliary classes at least two must train"
            )
        held_out = spread(auxiliary, count)
    training = [c for c in auxiliary if c not in set(held_out)]
    if len(training) < 2:
        raise ProtocolError(
            f"only {len(training)} auxiliary classes are left to train on beside {len(held_out)} for validation"
        )
    train, validation = Subset.of(catalog, training), Subset.of(catalog, held_out)
    for subset in (train, validation):
        _require_two_each(subset)
    return Development(train, validation, "one_shot_accuracy"), []


def _by_subjects(catalog: pd.DataFrame, auxiliary: Sequence[str]) -> tuple[Development, list[str]]:
    everything = Subset.of(catalog, auxiliary)
    subjects = sorted(set(everything.subjects))
    if len(subjects) < 2:
        raise ProtocolError(
            f"{len(auxiliary)} auxiliary classes are too few to hold any out for validation, and their recordings are "
            "all of one subject, so no subject can be held out either"
        )
    held_out = set(subjects[-max(1, len(subjects) // 4) :])
    mask = np.array([subject in held_out for subject in everything.subjects])
    train, validation = everything.take(np.flatnonzero(~mask)), everything.take(np.flatnonzero(mask))
    for subset in (train, validation):
        _require_two_each(subset)
    note = (
        f"{len(auxiliary)} auxiliary classes are too few to hold any out: validation holds out the subjects "
        f"{', '.join(sorted(held_out))} and scores retrieval (MAP@R)"
    )
    return Development(train, validation, "map_at_r"), [note]


def _require_two_each(subset: Subset) -> None:
    counts = np.bincount(subset.labels, minlength=len(subset.classes))
    for label, count in zip(subset.classes, counts, strict=True):
        if count < 2:
            raise ProtocolError(f"class {label} has {count} recordings, but the protocol needs at least two")


def _sealed(catalog: pd.DataFrame, exemplars: dict[str, str]) -> Sealed:
    everything = Subset.of(catalog, list(exemplars))
    position = {name: i for i, name in enumerate(everything.names)}
    for label, name in exemplars.items():
        if name not in position:
            raise ProtocolError(f"the exemplar {name} of the novel class {label} is not among the recordings")
        if everything.classes[everything.labels[position[name]]] != label:
            raise ProtocolError(f"the exemplar {name} of the novel class {label} carries another label")
    chosen = np.array([position[name] for name in exemplars.values()], dtype=np.int64)
    queries = np.setdiff1d(np.arange(len(everything)), chosen)
    if not len(queries):
        raise ProtocolError("the novel classes have their exemplars but no query")
    return Sealed(everything.take(chosen), everything.take(queries))
