"""Base class of encoders: pooling, dropout and projection after the features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.encoder import EncoderConfig, Takes
from sldml.embedding.encoders.pooling import build_pooling, num_pooled

_MOST_HIDDEN = 512


class Encoder(nn.Module):
    """features [B, channels, H, W] → pooling → dropout → projection [B, dim], which is not L2-normalised.

    A subclass creates its layers, calls `finish`, and defines `features`.
    """

    takes: ClassVar[Takes] = "images"
    """`images`: float [B, 3, H, W], see `sldml.embedding.images.to_input`; `signals`: float [B, T, rows, 3]."""

    def finish(self, config: EncoderConfig, num_channels: int, dropout: float) -> None:
        """Create pooling, dropout and projection; draws the weights of the projection.

        Args:
            config: Pooling, projection and the embedding's length.
            num_channels: Of the features.
            dropout: Share of the pooled features that training sets to zero.
        """
        self.pooling = build_pooling(config.pooling)
        self.dropout = nn.Dropout(dropout)
        self.projection = _build_projection(config, num_channels * num_pooled(config.pooling))

    def features(self, inputs: Tensor) -> Tensor:
        """The feature map [B, channels, H, W] of images or signals: H along the rows, W along time."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed images [B, 3, H, W] or signals [B, T, rows, 3], as `takes` says, as [B, dim]."""
        return self._embeddings(self.features(self._laid_out(inputs)))

    def each(self, inputs: Tensor) -> list[Tensor]:
        """The embeddings [B, dim] of each network that is trained separately: here the only one."""
        return [self(inputs)]

    def frames(self, inputs: Tensor, *, steps: int, row_groups: int) -> Tensor:
        """The features along time, one unit vector per step: [B, at most `steps`, channels * at most `row_groups`]."""
        return _along_time(self.features(self._laid_out(inputs)), steps, row_groups)

    def both(self, inputs: Tensor, *, steps: int, row_groups: int) -> tuple[Tensor, Tensor]:
        """The embeddings and the features along time, from one pass through the network."""
        features = self.features(self._laid_out(inputs))
        return self._embeddings(features), _along_time(features, steps, row_groups)

    def _embeddings(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.projection(self.dropout(self.pooling(features)))
        return embeddings

    def _laid_out(self, inputs: Tensor) -> Tensor:
        # A fifth faster than channels first on a CPU, and required by tensor cores.
        return inputs.contiguous(memory_format=torch.channels_last) if self.takes == "images" else inputs


def _along_time(features: Tensor, steps: int, row_groups: int) -> Tensor:
    features = features.float()
    size = min(row_groups, features.shape[2]), min(steps, features.shape[3])
    frames = functional.adaptive_avg_pool2d(features, size).permute(0, 3, 1, 2).flatten(2)
    return functional.normalize(frames, dim=2)


def _build_projection(config: EncoderConfig, num_features: int) -> nn.Module:
    match config.projection:
        case "linear":
            return nn.Linear(num_features, config.embedding_dim)
        case "relu_linear":
            return nn.Sequential(nn.ReLU(), nn.Linear(num_features, config.embedding_dim))
        case "mlp":
            hidden = max(config.embedding_dim, min(num_features, _MOST_HIDDEN))
            return nn.Sequential(nn.Linear(num_features, hidden), nn.ReLU(), nn.Linear(hidden, config.embedding_dim))
