"""Classes of the protocols: official lists, auxiliary and novel classes, and class folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sldml.config.protocol import FoldValidation, OneShot
from sldml.errors import InputError, suggestion
from sldml.recordings.naming import natural_key

NTU_CLASSES = tuple(f"A{action:03d}" for action in range(1, 121))
NTU_NOVEL = NTU_CLASSES[::6]
NTU_DEVELOPMENT = NTU_CLASSES[1::6]
UTD_CLASSES = tuple(f"a{action}" for action in range(1, 28))
UTD_WRIST, UTD_THIGH = UTD_CLASSES[:21], UTD_CLASSES[21:]
"""The actions with the wearable sensor on the right wrist, and those with it on the right thigh."""
NUM_SIMITATE_CLASSES = 26
_AUXILIARY_SHARE = 0.7


class ProtocolError(InputError):
    """The protocol cannot be applied to the recordings; the message says which class or exemplar is missing."""


def natural_order(names: Iterable[str]) -> list[str]:
    """Each of the names once, `a2` before `a10`."""
    return sorted(set(names), key=natural_key)


def spread(classes: Sequence[str], count: int) -> list[str]:
    """`count` of the classes at even distances."""
    step = len(classes) / count
    return [classes[int((i + 0.5) * step)] for i in range(count)]


def class_folds(classes: Sequence[str], num_folds: int) -> list[list[str]]:
    """Divide classes into folds: fold i has the classes i, i + num_folds, i + 2 num_folds …

    Each class is in exactly one fold, and the folds' sizes differ by at most one.

    Raises:
        ProtocolError: a fold would have fewer than two classes, or fewer than two would remain for training.
    """
    folds = [list(classes[fold::num_folds]) for fold in range(num_folds)]
    if len(folds[-1]) < 2 or len(classes) - len(folds[0]) < 2:
        raise ProtocolError(
            f"{num_folds} folds of {len(classes)} auxiliary classes leave fewer than two classes to a fold or to "
            f"training; there can be 2 to {max(2, len(classes) // 2)} folds, of at least 4 classes"
        )
    return folds


def one_shot_classes(config: OneShot, present: Iterable[str]) -> tuple[list[str], list[str]]:
    """The auxiliary and the novel classes of the generic protocol, each in natural order.

    Raises:
        ProtocolError: a listed class does not exist or is on both sides, or there are fewer classes than requested.
    """
    classes = natural_order(present)
    known = set(classes)
    listed_auxiliary = require_known(config.auxiliary or (), known, "protocol.auxiliary")
    listed_novel = require_known(config.novel or (), known, "protocol.novel")
    if both := [c for c in listed_auxiliary if c in listed_novel]:
        raise ProtocolError(f"class {both[0]} is in both protocol.auxiliary and protocol.novel: a class is on one side")
    if config.auxiliary is not None:
        auxiliary = listed_auxiliary
    else:
        free = [c for c in classes if c not in listed_novel]
        count = config.num_auxiliary
        if count is None:
            beside = len(free) if config.novel is not None else None
            count = len(free) - config.num_novel if config.num_novel is not None else beside
        if count is None:
            count = round(_AUXILIARY_SHARE * len(free))
        _require_count(count, free, "auxiliary", config.num_novel if config.num_auxiliary is None else None)
        auxiliary = free[:count]
    if config.novel is not None:
        return auxiliary, listed_novel
    rest = [c for c in classes if c not in auxiliary]
    if config.num_novel is not None:
        if config.num_novel > len(rest):
            raise ProtocolError(
                f"protocol.num_novel is {config.num_novel}, but {len(auxiliary)} auxiliary classes leave {len(rest)} "
                f"of {len(classes)}"
            )
        rest = rest[-config.num_novel :]
    return auxiliary, rest


def _require_count(count: int, free: Sequence[str], kind: str, num_novel: int | None) -> None:
    if num_novel is not None and count < 2:
        raise ProtocolError(f"protocol.num_novel is {num_novel}, but of {len(free)} classes two must be auxiliary")
    if count > len(free):
        raise ProtocolError(f"protocol.num_{kind} is {count}, but there are {len(free)} classes to take them from")


def require_known(names: Sequence[str], known: Iterable[str], key: str) -> list[str]:
    """The names in natural order.

    Raises:
        ProtocolError: a name is unknown or appears twice.
    """
    there = natural_order(known)
    for name in names:
        if name not in there:
            raise ProtocolError(f"{key}: there is no class {name} ({suggestion(name, there)})")
        if list(names).count(name) > 1:
            raise ProtocolError(f"{key}: class {name} is there twice")
    return natural_order(names)


def fold_of(config: FoldValidation, auxiliary: Sequence[str]) -> list[str]:
    """The validation classes of a fold."""
    return class_folds(auxiliary, config.num_folds)[config.fold]
