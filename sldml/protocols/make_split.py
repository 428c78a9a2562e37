"""Protocols: which classes train, validate and test, and which recordings are exemplars.

A `Split` has two disjoint sides: what a trial receives (`Development`, without offsets or labels of novel recordings),
and the sealed test (`Sealed`), which is read once per search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sldml.config.protocol import (
    ImageFolderOneShot,
    NtuOneShot,
    OneShot,
    ProtocolConfig,
    SimitateOneShot,
    UtdMhadInterJoint,
    UtdMhadInterSensor,
    UtdMhadOneShot,
)
from sldml.errors import listed
from sldml.protocols.classes import (
    NTU_CLASSES,
    NTU_DEVELOPMENT,
    NTU_NOVEL,
    NUM_SIMITATE_CLASSES,
    UTD_CLASSES,
    UTD_THIGH,
    UTD_WRIST,
    ProtocolError,
    class_folds,
    fold_of,
    natural_order,
    one_shot_classes,
    require_known,
    spread,
)
from sldml.protocols.copies import require_no_copies
from sldml.protocols.exemplars import choose_exemplars, first_by_name, ntu_exemplar, utd_exemplar
from sldml.protocols.split import Development, Sealed, Split, Subset, union
from sldml.recordings import Rows

__all__ = [
    "NTU_DEVELOPMENT",
    "NTU_NOVEL",
    "UTD_CLASSES",
    "Development",
    "ProtocolError",
    "Sealed",
    "Split",
    "Subset",
    "class_folds",
    "make_split",
    "ntu_exemplar",
    "spread",
    "union",
]

_FEWEST_CLASSES_TO_HOLD_OUT_FROM = 6
"""With fewer auxiliary classes, subjects are held out for validation instead of classes."""
_UTD_ROWS: dict[str, Rows] = {"inertial": "sensors", "skeleton": "bodies"}
_AUXILIARY_ROLES, _NOVEL_ROLES = ("train", "val", "val_samples"), ("samples", "test")


@dataclass(frozen=True)
class _Plan:
    """The classes of a protocol and how they are used."""

    description: str
    auxiliary: Sequence[str]
    novel: Sequence[str]
    exemplars: Mapping[str, str]
    """The name of each novel class's exemplar."""
    held_out: Sequence[str] = ()
    """The auxiliary classes for validation; empty to choose them at even distances."""
    num_validation: int | None = None
    """Number of validation classes to choose; None for the default."""
    validation_key: str = "protocol.num_validation"
    """The setting that it comes from."""
    notes: Sequence[str] = ()
    train_rows: Rows = "all"
    test_rows: Rows = "all"


def make_split(config: ProtocolConfig, catalog: pd.DataFrame) -> Split:
    """Split a prepared set's catalogue.

    Raises:
        ProtocolError: there are too few classes or recordings, or an exemplar is missing.
    """
    development_catalog = sealed_catalog = catalog
    present = set(catalog["label"])
    match config:
        case NtuOneShot():
            plan = _ntu(config, present)
        case UtdMhadOneShot():
            auxiliary, novel = _first_and_last(UTD_CLASSES, config.num_auxiliary, config.num_novel)
            plan = _utd("UTD-MHAD one-shot", config.num_validation, auxiliary, novel, present)
        case UtdMhadInterJoint():
            plan = _utd_inter_joint(config, present)
        case UtdMhadInterSensor():
            plan = _utd_inter_sensor(config, present)
        case SimitateOneShot():
            plan = _simitate(config, catalog)
        case ImageFolderOneShot():
            plan, development_catalog, sealed_catalog = _image_folder(config, catalog)
        case OneShot():
            plan = _one_shot(config, catalog)
    plan = _without_singles(plan, development_catalog)
    for side, classes in (("auxiliary", plan.auxiliary), ("novel", plan.novel)):
        if len(classes) < 2:
            raise ProtocolError(
                f"{plan.description} needs two {side} classes, but {len(classes)} are among the recordings"
            )
    development, more = _development(development_catalog, plan)
    sealed, without_queries = _sealed(sealed_catalog, plan)
    require_no_copies(catalog, development, sealed)
    return Split(
        development,
        sealed,
        f"{plan.description}: {len(plan.auxiliary)} auxiliary and {len(plan.novel)} novel classes",
        (*plan.notes, *more, *without_queries),
    )


# ------------------------------------------------------------------------------------------------- the protocols


def _ntu(config: NtuOneShot, present: set[str]) -> _Plan:
    novel = [c for c in NTU_NOVEL if c in present]
    others = [c for c in NTU_CLASSES if c in present and c not in NTU_NOVEL]
    auxiliary = others[: config.num_auxiliary]
    notes = _absent(len(NTU_NOVEL), novel, "novel") + _absent(config.num_auxiliary, auxiliary, "auxiliary")
    held_out = [c for c in NTU_DEVELOPMENT if c in auxiliary] if config.validation == "development" else []
    if config.validation == "development" and len(held_out) < 2:
        notes.append("fewer than two development classes are there: validation classes are spread evenly")
        held_out = []
    elif config.num_validation is not None:
        held_out = held_out[: config.num_validation]
    exemplars = {c: ntu_exemplar(c) for c in novel}
    return _Plan("NTU RGB+D 120 one-shot", auxiliary, novel, exemplars, held_out, config.num_validation, notes=notes)


def _utd(
    description: str,
    num_validation: int | None,
    auxiliary: Sequence[str],
    novel: Sequence[str],
    present: set[str],
    train_rows: Rows = "all",
    test_rows: Rows = "all",
) -> _Plan:
    found = [c for c in auxiliary if c in present], [c for c in novel if c in present]
    notes = _absent(len(auxiliary), found[0], "auxiliary") + _absent(len(novel), found[1], "novel")
    exemplars = {c: utd_exemplar(c) for c in found[1]}
    return _Plan(
        description,
        *found,
        exemplars,
        num_validation=num_validation,
        notes=notes,
        train_rows=train_rows,
        test_rows=test_rows,
    )


def _utd_inter_joint(config: UtdMhadInterJoint, present: set[str]) -> _Plan:
    auxiliary, novel = UTD_WRIST, UTD_THIGH
    if config.train_on == "thigh":
        auxiliary, novel = novel, auxiliary
    if config.equal_classes:
        count = min(len(auxiliary), len(novel))
        auxiliary, novel = auxiliary[:count], novel[-count:]
    other = "thigh" if config.train_on == "wrist" else "wrist"
    description = f"UTD-MHAD inter-joint, {config.train_on} to {other}"
    return _utd(description, config.num_validation, auxiliary, novel, present)


def _utd_inter_sensor(config: UtdMhadInterSensor, present: set[str]) -> _Plan:
    other = "skeleton" if config.train_on == "inertial" else "inertial"
    return _utd(
        f"UTD-MHAD inter-sensor, {config.train_on} to {other}",
        config.num_validation,
        *_first_and_last(UTD_CLASSES, config.num_auxiliary, config.num_novel),
        present,
        _UTD_ROWS[config.train_on],
        _UTD_ROWS[other],
    )


def _simitate(config: SimitateOneShot, catalog: pd.DataFrame) -> _Plan:
    classes = natural_order(catalog["label"])
    auxiliary, novel = _first_and_last(classes, config.num_auxiliary, config.num_novel)
    exemplars = first_by_name(catalog, novel)
    notes = _absent(NUM_SIMITATE_CLASSES, classes, "Simitate")
    return _Plan("Simitate one-shot", auxiliary, novel, exemplars, (), config.num_validation, notes=notes)


def _one_shot(config: OneShot, catalog: pd.DataFrame) -> _Plan:
    auxiliary, novel = one_shot_classes(config, catalog["label"])
    held_out: list[str] = []
    num_validation = None
    validation = config.validation
    match validation.name:
        case "spread":
            assert validation.spread is not None
            num_validation = validation.spread.num_classes
        case "list":
            assert validation.list is not None
            held_out = require_known(validation.list.classes, auxiliary, "protocol.validation.list.classes")
            if len(held_out) < 2:
                raise ProtocolError(
                    "protocol.validation.list.classes needs two classes to tell apart, "
                    f"but it names {len(held_out)}; auxiliary are {listed(auxiliary)}"
                )
        case "folds":
            assert validation.folds is not None
            held_out = fold_of(validation.folds, auxiliary)
    exemplars, notes = choose_exemplars(config.exemplar, catalog, novel)
    key = "protocol.validation.spread.num_classes"
    return _Plan("one-shot", auxiliary, novel, exemplars, held_out, num_validation, key, notes)


def _image_folder(config: ImageFolderOneShot, catalog: pd.DataFrame) -> tuple[_Plan, pd.DataFrame, pd.DataFrame]:
    """The plan, and the catalogues of development and sealed test."""
    if "role" not in catalog:
        raise ProtocolError(
            "the protocol image_folder needs data.dataset=image_folder, whose folders say what a class is for"
        )
    # The published folders hold copies: a sample may lie in test as well, a validation image in train.
    files = catalog.assign(file=catalog["label"] + "/" + catalog["name"].str.rsplit("/", n=1).str[-1])
    roles = {name: files[files["role"] == name] for name in (*_AUXILIARY_ROLES, *_NOVEL_ROLES)}
    development = pd.concat([roles[name] for name in _AUXILIARY_ROLES]).drop_duplicates("file")
    samples = roles["samples"]
    queries = roles["test"][~roles["test"]["file"].isin(samples["file"])]

    by_role = {name: set(some["label"]) for name, some in roles.items()}
    auxiliary = natural_order(set().union(*(by_role[name] for name in _AUXILIARY_ROLES)))
    novel = natural_order(set().union(*(by_role[name] for name in _NOVEL_ROLES)))
    if both := [c for c in auxiliary if c in novel]:
        raise ProtocolError(
            f"class {both[0]} is in test or samples and in train, val or val_samples as well: a class is on one side"
        )
    held_out = natural_order((by_role["val"] | by_role["val_samples"]) - by_role["train"])
    notes = []
    if len(held_out) < 2:
        if by_role["val"]:
            notes.append("the classes of val are in train, too: validation classes are spread evenly instead")
        held_out = []
    exemplars = first_by_name(samples, novel)
    for label in novel:
        if label not in exemplars:
            raise ProtocolError(f"the novel class {label} has no image in samples, so it has no exemplar")
    if len(samples) > len(exemplars):
        notes.append(f"{len(samples)} images are in samples: each class's first by name is its exemplar")
    sealed = pd.concat([samples[samples["name"].isin(exemplars.values())], queries])
    plan = _Plan("published images", auxiliary, novel, exemplars, held_out, config.num_validation, notes=notes)
    return plan, development, sealed


def _first_and_last(classes: Sequence[str], num_auxiliary: int, num_novel: int | None) -> tuple[list[str], list[str]]:
    """The first classes, and the last `num_novel` of the rest, or all of it."""
    rest = list(classes[num_auxiliary:])
    if num_novel is not None and num_novel > len(rest):
        raise ProtocolError(
            f"protocol.num_novel is {num_novel}, but {num_auxiliary} auxiliary classes leave {len(rest)} "
            f"of {len(classes)}"
        )
    return list(classes[:num_auxiliary]), rest[-num_novel if num_novel else 0 :]


def _absent(wanted: int, found: Sequence[str], kind: str) -> list[str]:
    if len(found) == wanted:
        return []
    return [f"{len(found)} of {wanted} {kind} classes are among the recordings: the result is not the official one"]


# ----------------------------------------------------------------------------------------------------- two sides


def _without_singles(plan: _Plan, catalog: pd.DataFrame) -> _Plan:
    """Leave out auxiliary classes with a single recording: it could be an exemplar or a query, not both."""
    counts = catalog["label"].value_counts()
    single = [c for c in plan.auxiliary if counts.get(c, 0) == 1]
    if not single:
        return plan
    return _without(plan, single, f"auxiliary classes with a single recording are left out: {listed(single)}")


def _without(plan: _Plan, classes: Sequence[str], note: str) -> _Plan:
    """The plan without some auxiliary classes."""
    auxiliary = [c for c in plan.auxiliary if c not in classes]
    if len(auxiliary) < 2:
        raise ProtocolError(f"{plan.description} needs two auxiliary classes, but {len(auxiliary)} are left: {note}")
    held_out = [c for c in plan.held_out if c not in classes]
    notes = [*plan.notes, note]
    if len(held_out) == 1:
        notes.append(f"only {held_out[0]} is left for validation: validation classes are spread evenly")
        held_out = []
    return replace(plan, auxiliary=auxiliary, held_out=held_out, notes=notes)


def _development(catalog: pd.DataFrame, plan: _Plan) -> tuple[Development, list[str]]:
    auxiliary, held_out = plan.auxiliary, plan.held_out
    if not held_out and len(auxiliary) < _FEWEST_CLASSES_TO_HOLD_OUT_FROM and plan.num_validation is None:
        return _by_subjects(catalog, plan)
    if not held_out:
        count = plan.num_validation or min(20, max(3, round(0.25 * len(auxiliary))))
        if len(auxiliary) - count < 2:
            raise ProtocolError(
                f"{plan.validation_key} is {count}, but of {len(auxiliary)} auxiliary classes at least two must train"
            )
        held_out = spread(auxiliary, count)
    training = [c for c in auxiliary if c not in set(held_out)]
    if len(training) < 2:
        raise ProtocolError(
            f"only {len(training)} auxiliary classes are left to train on beside {len(held_out)} for validation"
        )
    train, validation = (Subset.of(catalog, classes, plan.train_rows) for classes in (training, held_out))
    for subset in (train, validation):
        _require_two_each(subset)
    return Development(train, validation, "one_shot_accuracy"), []


def _by_subjects(catalog: pd.DataFrame, plan: _Plan) -> tuple[Development, list[str]]:
    auxiliary = plan.auxiliary
    everything = Subset.of(catalog, auxiliary, plan.train_rows)
    subjects = natural_order(everything.subjects)
    if len(subjects) < 2:
        raise ProtocolError(
            f"{len(auxiliary)} auxiliary classes are too few to hold any out for validation, and their recordings are "
            "all of one subject, so no subject can be held out either"
        )
    held_out = set(subjects[-max(1, len(subjects) // 4) :])
    mask = np.array([subject in held_out for subject in everything.subjects])
    train, validation = everything.take(np.flatnonzero(~mask)), everything.take(np.flatnonzero(mask))
    few = [c for number, c in enumerate(auxiliary) if min((s.labels == number).sum() for s in (train, validation)) < 2]
    if few and len(auxiliary) - len(few) >= 2:
        note = f"auxiliary classes with fewer than two recordings on one side are left out: {listed(few)}"
        development, notes = _by_subjects(catalog, _without(plan, few, note))
        return development, [note, *notes]
    _require_two_each(train, " of the subjects to train on")
    _require_two_each(validation, " of the subjects held out for validation")
    note = (
        f"{len(auxiliary)} auxiliary classes are too few to hold any out: validation holds out the subjects "
        f"{', '.join(natural_order(held_out))} and scores retrieval (MAP@R)"
    )
    return Development(train, validation, "map_at_r"), [note]


def _require_two_each(subset: Subset, of: str = "") -> None:
    counts = np.bincount(subset.labels, minlength=len(subset.classes))
    for label, count in zip(subset.classes, counts, strict=True):
        if count < 2:
            raise ProtocolError(f"class {label} has {count} recordings{of}, but the protocol needs at least two")


def _sealed(catalog: pd.DataFrame, plan: _Plan) -> tuple[Sealed, list[str]]:
    everything = Subset.of(catalog, plan.novel, plan.test_rows)
    position = {name: i for i, name in enumerate(everything.names)}
    label_of = dict(zip(catalog["name"], catalog["label"], strict=True))
    for label in plan.novel:
        name = plan.exemplars[label]
        if label_of.get(name, label) != label:
            raise ProtocolError(f"the exemplar {name} of the novel class {label} carries another label")
        if name not in position:
            raise ProtocolError(f"the exemplar {name} of the novel class {label} is not among the recordings")
    chosen = np.array([position[plan.exemplars[label]] for label in plan.novel], dtype=np.int64)
    queries = np.setdiff1d(np.arange(len(everything)), chosen)
    if not len(queries):
        raise ProtocolError("the novel classes have their exemplars but no query")
    sealed = Sealed(everything.take(chosen), everything.take(queries))
    asked = set(sealed.queries.labels.tolist())
    without = [label for index, label in enumerate(plan.novel) if index not in asked]
    note = f"novel classes without a query, only an exemplar: {listed(without)}"
    return sealed, [note] if without else []
