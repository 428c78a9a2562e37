"""How recordings are told apart by what an encoder makes of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.config.parts import Choice, Part


class Alignment(Part):
    """Dynamic time warping of the encoder's features along time, in place of one embedding for a whole recording."""

    steps: int = Field(16, ge=2, le=128)
    """So many steps of time the features are brought to, or as many as they have. The cost grows with the square."""
    band: int = Field(4, ge=0, le=128)
    """How many steps two recordings may be apart."""
    row_groups: int = Field(4, ge=1, le=64)
    """So many groups of rows of the feature map are kept apart; an encoder of signals may have a single one."""


class MatcherConfig(Choice):
    """What the distance of two recordings is.

    `embedding`: 1 less the cosine of their embeddings; `alignment`: the mean of that along the best alignment of
    their features in time. To either, the training-free distance can be added: with few auxiliary classes an encoder
    forgets what the raw signal tells.
    """

    name: Literal["embedding", "alignment"] = "embedding"
    raw_weight: float = Field(0.0, ge=0.0, le=100.0)
    """Weight of the DTW distance of the normalised signals, whose unit is its median over the training recordings."""
    alignment: Alignment | None = None

    @property
    def is_plain(self) -> bool:
        """Whether embeddings alone decide, so that no distance needs both recordings at hand."""
        return self.name == "embedding" and self.raw_weight == 0.0
