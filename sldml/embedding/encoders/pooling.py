"""Pooling of feature maps [B, channels, H, W] to vectors; W is time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.encoder import PoolingConfig

_SMALLEST_FEATURE = 1e-6


def build_pooling(config: PoolingConfig) -> nn.Module:
    """Build the pooling: [B, channels, H, W] → [B, channels * `num_pooled(config)`]."""
    match config.name:
        case "mean":
            return MeanPooling()
        case "max":
            return MaxPooling()
        case "gem":
            return GeneralizedMeanPooling()
        case "time":
            return TimePooling(num_pooled(config))


def num_pooled(config: PoolingConfig) -> int:
    """Number of values that pooling keeps of each channel."""
    return config.time.num_segments if config.time is not None else 1


class MeanPooling(nn.Module):
    """The mean over both axes: [B, C, H, W] → [B, C]."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool features."""
        return features.mean(dim=(2, 3))


class MaxPooling(nn.Module):
    """The largest value over both axes: [B, C, H, W] → [B, C]."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool features."""
        return features.amax(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """(mean of x^p)^(1/p) with a learned p, between mean and maximum (Radenović et al., 2019): [B, C, H, W] → [B, C].

    Values that are not positive count as almost zero.
    """

    def __init__(self, exponent: float = 3.0) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor([exponent]))

    def forward(self, features: Tensor) -> Tensor:
        """Pool features, in float32: third powers leave the range of half precision."""
        powers = features.float().clamp(min=_SMALLEST_FEATURE).pow(self.exponent)
        return powers.mean(dim=(2, 3)).pow(1.0 / self.exponent).to(features.dtype)


class TimePooling(nn.Module):
    """The mean over rows and each of `num_segments` equal segments of time: [B, C, H, W] → [B, C * num_segments].

    Segments share a column if W is not a multiple of their number.
    """

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments

    def forward(self, features: Tensor) -> Tensor:
        """Pool features."""
        return functional.adaptive_avg_pool1d(features.mean(dim=2), self.num_segments).flatten(1)
