"""Small things that several test modules make: a configuration that trains in a blink, raw NTU files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sldml.config.dotted import merge
from sldml.config.trial import TrialConfig
from sldml.prepared.batches import Frames
from sldml.protocols.split import Subset
from sldml.recordings import Layout
from sldml.recordings.synthetic import ntu_writer as skeleton_writer

BASE: dict[str, Any] = {
    "representation": {"steps": 16},
    "encoder": {"name": "small_cnn", "embedding_dim": 8, "small_cnn": {"width": 8, "num_blocks": 1}},
    "batch": {"num_classes": 3, "samples_per_class": 2},
    "train": {"max_epochs": 3},
    "evaluation": {"num_draws": 10},
}


def trial_config(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate(merge(BASE, changes))


def joints(seed: int) -> NDArray[np.float64]:
    """A body [25, 3] whose coordinates are written to text and read back without rounding."""
    return np.random.default_rng(seed).integers(1, 32, (25, 3)) / 16


def write_recording(folder: Path, name: str, num_frames: int, *, seed: int = 0, dropped: Sequence[int] = ()) -> Path:
    """A `.skeleton` file with one body, whose frame t is `joints(seed + t)`, and none in the dropped frames."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [[] if t in dropped else [(7, joints(seed + t))] for t in range(num_frames)]
    path = folder / f"{name}.skeleton"
    skeleton_writer.write(path, frames)
    return path


def subset_of(labels: Sequence[int], lengths: Sequence[int], *, num_classes: int | None = None) -> Subset:
    """Recordings that lie end to end from frame 0 on."""
    count = num_classes if num_classes is not None else max(labels, default=-1) + 1
    sizes = np.array(lengths, dtype=np.int64)
    return Subset(
        tuple(f"class {c}" for c in range(count)),
        np.array(labels, dtype=np.int64),
        np.cumsum(sizes) - sizes,
        sizes,
        tuple(f"recording {i}" for i in range(len(sizes))),
        tuple(f"subject {i % 2}" for i in range(len(sizes))),
    )


def frames_of(values: Sequence[NDArray[np.float32]], layout: Layout) -> Frames:
    return Frames(torch.from_numpy(np.concatenate(values)), None, layout, torch.device("cpu"))


def without_times(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch's report less what a clock decides."""
    return {k: v for k, v in metrics.items() if not k.startswith("time/") and k != "images_per_s"}


def assert_same_state(first: Any, second: Any, place: str = "state") -> None:
    """Nested states of modules and optimisers hold bit for bit the same."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), place
    elif isinstance(first, Mapping):
        assert first.keys() == second.keys(), place
        for key in first:
            assert_same_state(first[key], second[key], f"{place}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), place
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same_state(a, b, f"{place}[{i}]")
    else:
        assert first == second, place
