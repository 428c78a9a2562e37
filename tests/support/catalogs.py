"""Made catalogues of recordings in the datasets' own naming, and what must hold of every split of one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from sldml.protocols.split import Split, Subset

LENGTH = 10
FIRST_FRAME = 1_000_000
"""No label, length or count is as large as an offset of a made catalogue."""


def catalog_of(names: list[str]) -> pd.DataFrame:
    """Recordings of 10 frames each, label and subject by their names (NTU's or UTD-MHAD's)."""
    utd = names[0].startswith("a")
    return pd.DataFrame(
        {
            "name": names,
            "label": [n.split("_")[0] if utd else n[16:] for n in names],
            "subject": [n.split("_")[1] if utd else n[8:12] for n in names],
            "offset": FIRST_FRAME + np.arange(len(names)) * LENGTH,
            "length": LENGTH,
        }
    )


def ntu_names(actions: range, performers: tuple[int, ...] = (1, 3, 8)) -> list[str]:
    names = []
    for action in actions:
        setup = 1 if action <= 60 else 18
        names += [f"S{setup:03d}C003P{p:03d}R001A{action:03d}" for p in performers]
    return names


def utd_names(num_subjects: int = 3, num_trials: int = 2) -> list[str]:
    ranges = range(1, 28), range(1, num_subjects + 1), range(1, num_trials + 1)
    return [f"a{a}_s{s}_t{t}" for a, s, t in product(*ranges)]


def plain_catalog(num_classes: int, num_subjects: int = 3, num_trials: int = 2) -> pd.DataFrame:
    """Of anybody: classes c1, c2 …, names `c1_p01_t1`, and a column `trial`."""
    ranges = range(1, num_classes + 1), range(1, num_subjects + 1), range(1, num_trials + 1)
    rows = [(f"c{c}_p{s:02d}_t{t}", f"c{c}", f"p{s:02d}", t) for c, s, t in product(*ranges)]
    catalog = pd.DataFrame(rows, columns=["name", "label", "subject", "trial"])
    return catalog.assign(offset=FIRST_FRAME + np.arange(len(rows)) * LENGTH, length=LENGTH)


NTU = catalog_of(ntu_names(range(1, 121)))
UTD = catalog_of(utd_names())


def frames_of(*subsets: Subset) -> set[int]:
    return {f for s in subsets for o, n in zip(s.offsets, s.lengths, strict=True) for f in range(o, o + n)}


def assert_apart(split: Split, num_auxiliary: int) -> None:
    train, validation = split.development.train, split.development.validation
    exemplars, queries = split.sealed.exemplars, split.sealed.queries
    seen, novel = {*train.classes, *validation.classes}, {*exemplars.classes, *queries.classes}
    assert not seen & novel
    assert len(seen) <= num_auxiliary
    names = [*train.names, *validation.names, *exemplars.names, *queries.names]
    assert len(names) == len(set(names))
    assert not frames_of(train, validation) & frames_of(exemplars, queries)
    if split.development.measure == "one_shot_accuracy":
        assert not set(train.classes) & set(validation.classes)
    else:
        assert not set(train.subjects) & set(validation.subjects)
    assert sorted(exemplars.labels) == list(range(len(exemplars.classes)))


def leaves(value: Any) -> Iterator[Any]:
    """Everything that can be reached in an object, down to strings, numbers and arrays."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str | bytes | int | float | np.ndarray | None):
        yield value
    else:
        yield from leaves(vars(value))


def assert_tells_nothing_of(split: Split, received: Any) -> None:
    """Neither the pickled bytes nor what comes out of them hold a name, label or frame of a novel recording."""
    sent = pickle.dumps(received)
    exemplars, queries = split.sealed.exemplars, split.sealed.queries
    for name in (*exemplars.names, *queries.names):
        assert name.encode() not in sent
    found = list(leaves(pickle.loads(sent)))
    strings = {item for item in found if isinstance(item, str)}
    assert strings & set(split.development.train.names)  # the walk does find what is there
    assert not strings & {*exemplars.classes, *queries.classes, *exemplars.names, *queries.names}
    numbers = {int(item) for item in found if isinstance(item, int | float)}
    for array in (item for item in found if isinstance(item, np.ndarray)):
        numbers |= set(array.ravel().tolist())
    assert numbers >= set(split.development.train.offsets.tolist())
    assert not numbers & frames_of(exemplars, queries)


SIMITATE_CLASSES = ["circle", "heart", "rect", "triangle", "zickzack", *(f"motion{i}" for i in range(1, 22))]


def simitate_catalog(classes: list[str] = SIMITATE_CLASSES) -> pd.DataFrame:
    names = [f"{c}/P{p:03d}/S{s:03d}/t_{s}" for c in classes for p in (2, 1) for s in (10, 9)]
    catalog = catalog_of([f"a1_s1_t{i}" for i in range(len(names))])
    return catalog.assign(name=names, label=[n.split("/")[0] for n in names], subject=[n.split("/")[1] for n in names])


def image_catalog(files: dict[str, dict[str, list[str]]]) -> pd.DataFrame:
    """`files`: for each role, for each class, the stems of its images."""
    entries = [(r, c, stem) for r, by_class in files.items() for c, stems in by_class.items() for stem in stems]
    catalog = catalog_of([f"a1_s1_t{i}" for i in range(len(entries))])
    names, labels = ["/".join(entry) for entry in entries], [entry[1] for entry in entries]
    return catalog.assign(name=names, label=labels, subject="", role=[entry[0] for entry in entries])


IMAGES = {
    "test": {"A001": ["one", "two", "sample", "other"], "A007": ["one", "sample"]},
    "samples": {"A001": ["sample", "other"], "A007": ["sample"]},
    "train": {f"A{a:03d}": ["x", "y", "z"] for a in range(8, 13)},
}
