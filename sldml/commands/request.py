"""What a person asks for, before anything heavy is imported: bad input is told within a second or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sldml.config.data import SyntheticData
from sldml.config.space import SearchSpace
from sldml.errors import InputError
from sldml.journal import FILE, History, find_search, not_begun
from sldml.recordings.sources import find_source
from sldml.search.request import Request, folder_lock_path, was_begun

_MOST_TO_BEGIN_WITH = 5


@dataclass(frozen=True)
class EarlierSettings:
    """What a search was begun with, for those who go on with it."""

    space_name: str
    space_text: str
    overrides: list[str]
    num_trials: int
    """For each choice of a comparison."""
    data: Path | None
    compare: dict[str, Any] | None
    """What is compared (`Comparison.to_record`)."""


def best_of(folder: Path, count: int = _MOST_TO_BEGIN_WITH) -> list[dict[str, Any]]:
    """The parameters of the best trials of an earlier search, the best first.

    Raises:
        InputError: there is no such search, or no trial of it has a value.
    """
    ranked = _history_of(folder).ranked()
    if not ranked:
        raise InputError(f"--warm-start {folder.name}: no trial of that search has a value to compare")
    return [trial.params for trial in ranked[:count]]


def first_configurations(space: SearchSpace, earlier: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a search begins with: the best of an earlier search, then what the space's file knows to be good.

    Of each, what this space searches; a configuration that it has not (another value is fixed, or out of range) is
    left out, and one that is there already, too.
    """
    found: list[dict[str, Any]] = []
    for params in (*earlier, *space.known_good):
        kept = space.begins_with(params)
        if kept is not None and kept not in found:
            found.append(kept)
    return found


def earlier_settings(folder: Path) -> EarlierSettings:
    """Read them from the journal of a search.

    Raises:
        InputError: there is no such search.
    """
    history = _history_of(folder)
    if not history.attempts:
        raise not_begun(folder)
    last, space = history.attempts[-1], history.search["space"]
    data = history.search["data"]
    return EarlierSettings(
        space["name"],
        space["text"],
        list(last["overrides"]),
        last["settings"]["trials"],
        None if data is None else Path(data),
        history.search.get("compare"),
    )


def _history_of(folder: Path) -> History:
    if not (folder / FILE).is_file() and folder_lock_path(folder).exists():
        raise not_begun(folder)
    return find_search(folder.name, folder.parent).history


def check_request(request: Request) -> str:
    """Check what can be checked without a cluster and without writing; say in a few words what data there is.

    Raises:
        InputError: there are no raw files, or there is a search of this name already.
    """
    if not request.resume and was_begun(request.folder):
        raise InputError(f"there is a search {request.name} in {request.storage}: --resume it, or give --name")
    config = request.space.default_config().data
    if isinstance(config, SyntheticData):
        return "made when the search begins"
    source = find_source(config, request.data)
    return f"{len(source.files)} files in {source.folder}"
