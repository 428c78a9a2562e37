"""The folders of checkpoints in a search, and the trained weights in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from sldml.journal import Artifact, History
from sldml.training.checkpoints import CheckpointFile


def trial_folder(trial_id: str) -> str:
    """The folder of a trial's checkpoints, below the search's folder."""
    return f"trials/{trial_id}"


def final_folder(trial_id: str, seed: int, num_epochs: int) -> str:
    """The folder of a final training's checkpoint, below the search's folder."""
    return f"final/{trial_id}-{seed}-{num_epochs}"


def fold_folder(trial_id: str, num_folds: int, repeat: int, fold: int) -> str:
    """The folder of a class fold's checkpoint, below the search's folder."""
    return f"folds/{trial_id}-{num_folds}/{repeat}-{fold}"


def final_weights(search: Path | str, trial_id: str, seed: int, num_epochs: int) -> Mapping[str, Any]:
    """The state of the encoder at the end of a final training.

    Raises:
        FileNotFoundError: its checkpoint is missing or damaged.
    """
    saved = CheckpointFile(f"{search}/{final_folder(trial_id, seed, num_epochs)}").load(torch.device("cpu"))
    return _present(None if saved is None else saved["training"]["encoder"], f"final {trial_id} seed {seed}")


def has_final_weights(search: Path | str, trial_id: str, seed: int, num_epochs: int) -> bool:
    """Whether the checkpoint of a final training can be read."""
    try:
        final_weights(search, trial_id, seed, num_epochs)
    except FileNotFoundError:
        return False
    return True


def trial_weights(search: Path | str, trial_id: str) -> Mapping[str, Any]:
    """The state of the encoder at the end of a trial's schedule, on its first class fold if it has several.

    Raises:
        FileNotFoundError: the trial was stopped before, or its checkpoint is missing or damaged.
    """
    return _present(CheckpointFile(f"{search}/{trial_folder(trial_id)}").load_weights(torch.device("cpu")), trial_id)


def fold_weights(search: Path | str, trial_id: str, num_folds: int) -> Mapping[str, Any]:
    """The state of the encoder that was trained on the first fold of the first repeat.

    Raises:
        FileNotFoundError: its checkpoint is missing or damaged.
    """
    saved = CheckpointFile(f"{search}/{fold_folder(trial_id, num_folds, 1, 1)}").load(torch.device("cpu"))
    return _present(None if saved is None else saved.get("encoder"), f"{trial_id} on the first class fold")


def _present(weights: Mapping[str, Any] | None, owner: str) -> Mapping[str, Any]:
    if weights is None:
        raise FileNotFoundError(f"the checkpoint of {owner} is missing or damaged in the folder of the search")
    return weights


def artifacts_of(folder: Path, history: History) -> tuple[Artifact, ...]:
    """The files in a search's folder for its MLflow run, and the checkpoint of the best trial for that of the trial."""
    return tuple(_artifacts(folder, history))


def _artifacts(folder: Path, history: History) -> Iterator[Artifact]:
    for name in ("report.html", "comparison.md"):
        if (folder / name).is_file():
            yield Artifact(path=name)
    if history.shipped is not None:
        for file in sorted((folder / "model").glob("*")):
            yield Artifact(path=f"model/{file.name}", folder="model")
        best = history.ranked()[0].trial_id
        checkpoint = f"{trial_folder(best)}/weights.pt"
        if (folder / checkpoint).is_file():
            yield Artifact(path=checkpoint, folder="checkpoint", trial_id=best)
