"""Checks of a request before slow imports, so that bad input is reported within a second or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sldml.config.data import SyntheticData
from sldml.config.space import SearchSpace
from sldml.errors import InputError
from sldml.journal import FILE, ComparisonRecord, History, Params, find_search, not_begun
from sldml.recordings.sources import find_source
from sldml.search.request import Request, folder_lock_path, was_begun

_MOST_TO_BEGIN_WITH = 5


@dataclass(frozen=True)
class EarlierSettings:
    """The settings of an earlier search, for `--resume`."""

    space_name: str
    space_text: str
    overrides: list[str]
    num_trials: int
    """For each choice of a comparison."""
    data: Path | None
    compare: ComparisonRecord | None
    """The comparison, if there is one."""


def best_of(folder: Path, count: int = _MOST_TO_BEGIN_WITH) -> list[Params]:
    """The parameters of the best trials of an earlier search, best first.

    Raises:
        InputError: there is no such search, or none of its trials has a value.
    """
    ranked = _history_of(folder).ranked()
    if not ranked:
        raise InputError(f"--warm-start {folder.name}: no trial of that search has a value to compare")
    return [trial.params for trial in ranked[:count]]


def first_configurations(space: SearchSpace, earlier: Sequence[Params]) -> list[Params]:
    """The first configurations of a search: the best of an earlier search, then the known-good ones of the space.

    Each is restricted to the parameters that this space searches. Duplicates and configurations outside the space
    (another value is fixed, or out of range) are left out.
    """
    found: list[Params] = []
    for params in (*earlier, *space.known_good):
        kept = space.restrict(params)
        if kept is not None and kept not in found:
            found.append(kept)
    return found


def earlier_settings(folder: Path) -> EarlierSettings:
    """Read the settings from the journal of a search.

    Raises:
        InputError: there is no such search.
    """
    history = _history_of(folder)
    if not history.attempts:
        raise not_begun(folder)
    last, search = history.attempts[-1], history.search
    return EarlierSettings(
        search.space.name,
        search.space.text,
        list(last.overrides),
        last.settings.trials,
        None if search.data is None else Path(search.data),
        search.compare,
    )


def _history_of(folder: Path) -> History:
    if not (folder / FILE).is_file() and folder_lock_path(folder).exists():
        raise not_begun(folder)
    return find_search(folder.name, folder.parent).history


def check_request(request: Request) -> str:
    """Check what needs neither a cluster nor writing, and describe the data in a few words.

    Raises:
        InputError: there are no raw files, or a search of this name exists.
    """
    if not request.resume and was_begun(request.folder):
        raise InputError(f"search {request.name} exists in {request.storage}: use --resume or another --name")
    config = request.space.default_config().data
    if isinstance(config, SyntheticData):
        return "generated when the search starts"
    source = find_source(config, request.data)
    return f"{len(source.files)} files in {source.folder}"
