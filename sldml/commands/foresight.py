"""What a search would fail at, as far as the names of its files and the table of a manifest show it.

Files that turn out to be unreadable are missing later, so that what does not exist here does not exist then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import torch

from sldml.config.protocol import ExemplarConfig, OneShot
from sldml.embedding.embed import require_one_input_shape
from sldml.embedding.images import check_representation
from sldml.embedding.normalize import normalize
from sldml.errors import InputError
from sldml.protocols.classes import natural_order, require_known
from sldml.protocols.exemplars import choose_exemplars
from sldml.protocols.folds import fold_developments
from sldml.protocols.make_split import make_split
from sldml.recordings.sources import RawSource
from sldml.search.request import Request

_NTU = re.compile(r"S(\d{3})C(\d{3})(P\d{3})R(\d{3})(A\d{3})", re.ASCII)
_UTD = re.compile(r"(a\d+)_(s\d+)_t(\d+)", re.ASCII)
_NUM_CLASSES = "batch.num_classes"


def require_no_faults(request: Request, source: RawSource) -> None:
    """Check protocol, normalisations, representations and batches of a search before anything is read.

    Raises:
        InputError: something does not fit; the message has everything that was found.
    """
    faults = list(dict.fromkeys(_faults(request, source)))
    if faults:
        raise InputError(faults[0] if len(faults) == 1 else f"{len(faults)} faults: {'; '.join(faults)}")


def _faults(request: Request, source: RawSource) -> Iterator[str]:
    space, layout = request.space, source.layout
    for normalization in space.normalizations():
        yield from _fault(normalize, torch.zeros(1, 2, layout.num_rows, 3), normalization, layout)
    for representation in space.representations():
        yield from _fault(check_representation, representation, layout)
    catalog = expected_catalog(source)
    if catalog is None:
        return
    config = space.default_config()
    if isinstance(config.protocol, OneShot):
        unknown = list(_unknown(config.protocol, catalog))
        yield from unknown
        if unknown:
            return
    try:
        split = make_split(config.protocol, catalog)
    except InputError as error:
        yield str(error)
        return
    yield from _fault(require_one_input_shape, split, space.encoders(), config.representation, layout)
    if request.comparison is not None:
        yield from _fault(fold_developments, split.development, request.comparison.num_folds)
    num_classes = len(split.development.merged().classes)
    wanted = config.batch.num_classes
    if wanted > num_classes and any(setting.startswith(f"{_NUM_CLASSES}=") for setting in request.overrides):
        yield f"{_NUM_CLASSES} is {wanted}, but there are {num_classes} auxiliary classes"


def _fault(check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    try:
        check(*arguments)
    except InputError as error:
        yield str(error)


def _unknown(config: OneShot, catalog: pd.DataFrame) -> Iterator[str]:
    """Classes, a subject or a column that the generic protocol names and that do not exist."""
    classes = natural_order(catalog["label"])
    validation = config.validation.list.classes if config.validation.list is not None else ()
    for key, names in (
        ("protocol.auxiliary", config.auxiliary),
        ("protocol.novel", config.novel),
        ("protocol.validation.list.classes", validation if config.validation.name == "list" else ()),
    ):
        for name in dict.fromkeys(names or ()):
            yield from _fault(require_known, [name], classes, key)
    exemplar: ExemplarConfig = config.exemplar
    yield from _fault(choose_exemplars, exemplar, catalog, [])


def expected_catalog(source: RawSource) -> pd.DataFrame | None:
    """The catalogue of a source if all its files can be read; None if their names do not tell."""
    rows: list[dict[str, Any]] = []
    facts = source.facts or (None,) * len(source.files)
    for file, fact in zip(source.files, facts, strict=True):
        if source.dataset == "manifest" and fact is not None:
            if file.is_file():
                rows.append({**fact.details, "name": fact.name, "label": fact.label, "subject": fact.subject})
        elif source.dataset in ("ntu120", "synthetic") and (found := _NTU.fullmatch(file.stem)):
            rows.append({"name": file.stem, "label": found[5], "subject": found[3], **_ntu_details(found)})
        elif source.dataset == "utd_mhad" and (found := _UTD.match(file.stem)):
            rows.append({"name": found[0], "label": found[1], "subject": found[2], "trial": int(found[3])})
        else:
            return None
    if not rows:
        return None
    return pd.DataFrame(rows).assign(offset=range(len(rows)), length=1)


def _ntu_details(found: re.Match[str]) -> dict[str, int]:
    return {"setup": int(found[1]), "camera": int(found[2]), "replication": int(found[4])}
