"""Exemplars that are saved with a model, so that it can be used without any other file.

`exemplars.safetensors` in the model's folder: `frames` [all frames, rows, 3] of all exemplars end to end (float32, or
uint8 for imported images), `lengths` [exemplars], and their names and labels as JSON in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.recordings import Recording

FILE = "exemplars.safetensors"


@dataclass(frozen=True)
class SavedExemplars:
    """The signals, labels and names of exemplars; the three lists are parallel."""

    signals: Sequence[NDArray[np.float32]]
    """Each [frames, rows, 3], as recorded, with the rows of the model."""
    labels: Sequence[str]
    names: Sequence[str]

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> Self:
        """Labelled recordings as exemplars."""
        return cls(
            [one.values for one in recordings], [one.label for one in recordings], [one.name for one in recordings]
        )

    @classmethod
    def of_view(cls, view: View) -> Self:
        """All recordings of a view as exemplars."""
        signals = [view.recorded(i) for i in range(len(view))]
        return cls(signals, [view.classes[label] for label in view.labels], view.names)


def write_exemplars(folder: Path, exemplars: SavedExemplars, dtype: str) -> None:
    """Write exemplars into a model's folder; `dtype`: see `Layout.dtype`. Writes nothing without exemplars."""
    if not exemplars.signals:
        return
    listed = [{"name": name, "label": label} for name, label in zip(exemplars.names, exemplars.labels, strict=True)]
    tensors = {
        "frames": np.concatenate(exemplars.signals).astype(dtype),
        "lengths": np.array([len(signal) for signal in exemplars.signals], dtype=np.int64),
    }
    save_file(tensors, folder / FILE, metadata={"exemplars": json.dumps(listed)})


def read_exemplars(folder: Path) -> SavedExemplars | None:
    """Read the exemplars of a model's folder; None if it has none.

    Raises:
        InputError: the file is truncated or has other content.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            frames, lengths = file.get_tensor("frames"), file.get_tensor("lengths")
            listed = json.loads((file.metadata() or {})["exemplars"])
        labels, names = [str(one["label"]) for one in listed], [str(one["name"]) for one in listed]
        if frames.ndim != 3 or lengths.shape != (len(listed),) or (lengths < 2).any() or lengths.sum() != len(frames):
            raise ValueError(f"{list(frames.shape)} frames are not those of {len(listed)} exemplars")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: holds no exemplars ({' '.join(str(error).split())})") from error
    signals = np.split(np.ascontiguousarray(frames, dtype=np.float32), np.cumsum(lengths)[:-1])
    return SavedExemplars(signals, labels, names)
