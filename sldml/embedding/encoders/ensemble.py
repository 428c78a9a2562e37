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
        return _side_by_side([functional.normalize(part.float(), dim=1) for part in self.each(inputs)], dim=1)

    def frames(self, inputs: Tensor, *, steps: int, row_groups: int) -> Tensor:
        """The members' features along time side by side, a unit vector a step."""
        members = cast(Sequence[Encoder], self.members)
        return _side_by_side([member.frames(inputs, steps=steps, row_groups=row_groups) for member in members], dim=2)

    def both(self, inputs: Tensor, *, steps: int, row_groups: int) -> tuple[Tensor, Tensor]:
        """The embeddings and the features along time, from one pass through each member."""
        members = cast(Sequence[Encoder], self.members)
        parts = [member.both(inputs, steps=steps, row_groups=row_groups) for member in members]
        embeddings = [functional.normalize(embedding.float(), dim=1) for embedding, _ in parts]
        return _side_by_side(embeddings, dim=1), _side_by_side([frames for _, frames in parts], dim=2)


def _side_by_side(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Unit vectors of several members as one unit vector."""
    joined: Tensor = torch.cat(list(parts), dim=dim) / len(parts) ** 0.5
    return joined
