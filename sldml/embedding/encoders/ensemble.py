"""Ensembles: several networks of one kind, trained separately (Lakshminarayanan et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.embedding.encoders.base import Encoder


class Ensemble(Encoder):
    """Concatenates the unit embeddings of its members: cosines are the means of theirs."""

    def __init__(self, members: Sequence[Encoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.takes = members[0].takes  # type: ignore[misc]

    def each(self, inputs: Tensor) -> list[Tensor]:
        """The embeddings of each member, [B, dim] each, not L2-normalised."""
        return [member(inputs) for member in self.members]

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed as [B, members * dim], of length 1."""
        parts = [functional.normalize(part.float(), dim=1) for part in self.each(inputs)]
        embeddings: Tensor = torch.cat(parts, dim=1) / len(parts) ** 0.5
        return embeddings

    def frames(self, inputs: Tensor, *, steps: int, row_groups: int) -> Tensor:
        """The members' features along time side by side, a unit vector a step."""
        members = cast(Sequence[Encoder], self.members)
        parts = [member.frames(inputs, steps=steps, row_groups=row_groups) for member in members]
        frames: Tensor = torch.cat(parts, dim=2) / len(parts) ** 0.5
        return frames
