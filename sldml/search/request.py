"""What is asked of a search: its space, its name, and where its data and results are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sldml.config.space import SearchSpace
from sldml.journal import FILE, read_history
from sldml.search.compared_spaces import Comparison


@dataclass(frozen=True)
class Request:
    """What was asked for; None leaves the choice to the project."""

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
    first: Sequence[Mapping[str, Any]] = ()
    """Configurations that the search begins with, by dotted path."""
    overrides: Sequence[str] = ()
    """What was set over the space's file, kept for `--resume`."""
    summary: Path | None = None
    """Where the outcome is written as JSON."""
    comparison: Comparison | None = None
    """What is compared in the space, instead of searching it for one model."""
    register: str | None = None
    """Under which name the model that ships goes into MLflow's registry."""

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
        """How many trials in all: as many as the space says, for each choice of a comparison."""
        return self.space.search.trials * (1 if self.comparison is None else len(self.comparison.choices))


def was_begun(folder: Path) -> bool:
    """Whether a search in this folder has come as far as its first attempt; what is before that is lost with it."""
    path = folder / FILE
    return path.exists() and bool(read_history(path).attempts)


def folder_lock_path(folder: Path) -> Path:
    """The file that the driver of a search locks. It stays when the driver has ended, or was killed."""
    return folder.parent / f".{folder.name}.lock"
