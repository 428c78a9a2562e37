"""What a person asks for, before anything heavy is imported: bad input is told within a second or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sldml.config import SyntheticData
from sldml.errors import InputError
from sldml.journal import read_history
from sldml.sources import find_source
from sldml.spaces import SearchSpace


@dataclass(frozen=True)
class Request:
    """What a person asked for; None means that the project chooses."""

    space: SearchSpace
    name: str
    storage: Path
    """Folder of all searches, absolute; on a cluster, one that all nodes see."""
    cache: Path
    """Folder of prepared sets."""
    data: Path | None = None
    resume: bool = False
    strict: bool = False
    tracking_uri: str | None = None
    address: str | None = None
    concurrent: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    time_budget_s: float | None = None
    final: bool = True
    command: str = ""
    overrides: Sequence[str] = ()
    """What was set over the space's file, kept for `--resume`."""
    summary: Path | None = None
    """Where the outcome is written as JSON."""

    @property
    def folder(self) -> Path:
        """The search's own folder."""
        return self.storage / self.name


@dataclass(frozen=True)
class EarlierSettings:
    """What a search was begun with, for those who go on with it."""

    space_name: str
    space_text: str
    overrides: list[str]
    num_trials: int
    data: Path | None


def earlier_settings(folder: Path) -> EarlierSettings:
    """Read them from the journal of a search.

    Raises:
        InputError: there is no such search.
    """
    path = folder / "journal.jsonl"
    if not path.is_file():
        names = sorted(p.parent.name for p in folder.parent.glob("*/journal.jsonl"))
        known = f"there are {', '.join(names)}" if names else "there is none yet"
        raise InputError(f"no search {folder.name} in {folder.parent}: {known}")
    history = read_history(path)
    if not history.attempts:
        raise InputError(f"search {folder.name} ended before it began: start it anew under another --name")
    last, space = history.attempts[-1], history.search["space"]
    data = history.search["data"]
    return EarlierSettings(
        space["name"],
        space["text"],
        list(last["overrides"]),
        last["settings"]["trials"],
        None if data is None else Path(data),
    )


def check_request(request: Request) -> str:
    """Check what can be checked without a cluster and without writing; say in a few words what data there is.

    Raises:
        InputError: there are no raw files, or there is a search of this name already.
    """
    if not request.resume and (request.folder / "journal.jsonl").exists():
        raise InputError(f"there is a search {request.name} in {request.storage}: --resume it, or give --name")
    config = request.space.default_config().data
    if isinstance(config, SyntheticData):
        return "made when the search begins"
    source = find_source(config, request.data)
    return f"{len(source.files)} files in {source.folder}"
