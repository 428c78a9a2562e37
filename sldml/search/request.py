"""The request for a search: its space, name, data, results and options."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sldml.config.space import SearchSpace
from sldml.journal import FILE, read_history
from sldml.search.compared_spaces import Comparison


@dataclass(frozen=True)
class Request:
    """The request for a search; None selects a default."""

    space: SearchSpace
    name: str
    storage: Path
    """Folder of all searches, absolute; on a cluster, one that all nodes see."""
    cache: Path
    """Folder of prepared sets."""
    data: Path | None = None
    resume: bool = False
    strict: bool = False
    tracking_uri: str | None = field(default=None, repr=False)
    """May contain a password."""
    address: str | None = None
    concurrent: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    time_budget_s: float | None = None
    started: float = field(default_factory=time.time, compare=False)
    """When the command started, seconds since 1970: the time budget counts from then."""
    final: bool = True
    command: str = ""
    first: Sequence[Mapping[str, Any]] = ()
    """Configurations to try first, by dotted path."""
    overrides: Sequence[str] = ()
    """Settings applied to the space's file, kept for `--resume`."""
    summary: Path | None = None
    """File for the summary as JSON."""
    comparison: Comparison | None = None
    """The comparison, instead of a search for one model."""
    register: str | None = None
    """Name of the saved model in MLflow's registry."""
    space_given: str | None = None
    """Name or file of the search space, as it was given."""

    @property
    def folder(self) -> Path:
        """The search's own folder."""
        return self.storage / self.name

    @property
    def journal(self) -> Path:
        """The file of its journal."""
        return self.folder / FILE

    @property
    def num_trials(self) -> int:
        """Total number of trials, over all choices of a comparison."""
        return self.space.search.trials * (1 if self.comparison is None else len(self.comparison.choices))


def was_begun(folder: Path) -> bool:
    """Whether the journal in this folder has an attempt, so that the search can be resumed."""
    path = folder / FILE
    return path.exists() and bool(read_history(path).attempts)


def folder_lock_path(folder: Path) -> Path:
    """The lock file of a search's driver, which remains after its end."""
    return folder.parent / f".{folder.name}.lock"
