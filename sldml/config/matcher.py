"""The distance of recordings after the encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.config.parts import BranchedPart, Part


class Alignment(Part):
    """Dynamic time warping of the encoder's features over time, instead of one embedding per recording."""

    steps: int = Field(16, ge=2, le=128)
    """Number of time steps to which the features are pooled (at most as many as they have); the cost is quadratic."""
    band: int = Field(4, ge=0, le=128)
    """Largest time shift between two recordings, in steps."""
    row_groups: int = Field(4, ge=1, le=64)
    """Number of groups of rows of the feature map to match separately; encoders of signals may have only one."""


class MatcherConfig(BranchedPart):
    """The distance of two recordings.

    `embedding`: 1 minus the cosine of their embeddings; `alignment`: the mean of this along the best alignment of
    their features in time. The DTW distance of the raw signals can be added to either, which helps with few auxiliary
    classes.
    """

    name: Literal["embedding", "alignment"] = "embedding"
    raw_weight: float = Field(0.0, ge=0.0, le=100.0)
    """Weight of the DTW distance of the normalised signals, whose unit is its median over the training recordings."""
    alignment: Alignment | None = None

    @property
    def is_plain(self) -> bool:
        """Whether only embeddings are compared, so that no distance needs both recordings."""
        return self.name == "embedding" and self.raw_weight == 0.0
