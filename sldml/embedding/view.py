"""Some recordings of an opened prepared set, in the rows that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sldml.prepared.batches import Frames
from sldml.protocols.split import Subset
from sldml.recordings import Layout
from sldml.recordings.reading import held_steps


class View:
    """The recordings of a `Subset` with their frames: what is embedded, matched, trained on or drawn.

    Attributes:
        frames: The opened prepared set.
        subset: Which of its recordings are in the view, and which of their rows.
        layout: What those rows mean.
    """

    def __init__(self, frames: Frames, subset: Subset) -> None:
        """
        Raises:
            ValueError: the recordings do not have the rows that the subset names.
        """
        self.frames, self.subset = frames, subset
        self.layout = frames.layout.part(subset.rows)
        self._offsets, self._lengths = torch.tensor(subset.offsets), torch.tensor(subset.lengths)

    @classmethod
    def of(cls, signals: Sequence[NDArray[np.float32]], layout: Layout, device: torch.device) -> View:
        """A view of recordings in memory, [frames, rows, 3] each, without classes or names."""
        values = torch.from_numpy(np.concatenate(signals))
        held = None
        if layout.image_rows == 0:  # a black column of an image is not a dropped frame
            steps = np.concatenate([held_steps(signal) for signal in signals])
            held = torch.from_numpy(steps) if steps.any() else None
        lengths = np.array([len(signal) for signal in signals], dtype=np.int64)
        no_names, no_labels = ("",) * len(signals), np.zeros(len(signals), dtype=np.int64)
        subset = Subset((), no_labels, np.cumsum(lengths) - lengths, lengths, no_names, no_names)
        return cls(Frames(values, held, layout, device), subset)

    def __len__(self) -> int:
        return len(self.subset)

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N] index into `classes`."""
        return self.subset.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.subset.classes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the N recordings."""
        return self.subset.names

    @property
    def device(self) -> torch.device:
        """Where batches come out."""
        return self.frames.device

    def take(self, index: NDArray[np.int64]) -> View:
        """The recordings at these positions."""
        return View(self.frames, self.subset.take(index))

    def sample(self, count: int) -> View:
        """At most `count` recordings, drawn evenly from the classes; see `Subset.sample`."""
        return View(self.frames, self.subset.sample(count))

    def sample_for_draws(self, count: int) -> View:
        """At most `count` recordings, at least two of each class; see `Subset.sample_for_draws`."""
        return View(self.frames, self.subset.sample_for_draws(count))

    def batch(self, index: Tensor, steps: int) -> Tensor:
        """The recordings at `index`, int64 [B], resampled linearly in time: float32 [B, steps, rows, 3] on `device`."""
        whole = self.frames.gather(self._offsets[index], self._lengths[index], steps)
        return self.frames.layout.take_rows(whole, self.subset.rows)

    def resampled(self, steps: int) -> Tensor:
        """All recordings in one batch, float32 [N, steps, rows, 3]."""
        return self.batch(torch.arange(len(self)), steps)

    def recorded(self, index: int) -> NDArray[np.float32]:
        """One recording as it was recorded, not resampled: float32 [frames, rows, 3]."""
        subset = self.subset
        whole = torch.from_numpy(self.frames.recorded(int(subset.offsets[index]), int(subset.lengths[index])))
        return np.ascontiguousarray(self.frames.layout.take_rows(whole[None], subset.rows)[0].numpy())
