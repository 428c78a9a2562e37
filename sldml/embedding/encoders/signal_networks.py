"""Encoders of signals: networks that take normalised signals [B, T, rows, 3] instead of images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.encoder import EncoderConfig, SignalAttention, Takes, TemporalCnn
from sldml.embedding.encoders.base import Encoder

_NUM_DILATIONS = 4
_HEAD_DIM = 16


class TemporalConvolutions(Encoder):
    """Dilated residual convolutions over time (after Bai et al., 2018; not causal): [B, T, rows, 3] → [B, dim].

    Each row's axes, and how they change from step to step, are the channels. Features are [B, width, 1, T].
    """

    takes: ClassVar[Takes] = "signals"

    def __init__(self, options: TemporalCnn, config: EncoderConfig, shape: tuple[int, int, int]) -> None:
        """
        Args:
            options: The network's own.
            config: Pooling, projection, length of the embedding.
            shape: Steps, rows, 3.
        """
        super().__init__()
        self.velocity = options.velocity
        num_channels = shape[1] * 3 * (2 if options.velocity else 1)
        self.norm = nn.BatchNorm2d(num_channels)
        self.stem = nn.Sequential(
            nn.Conv2d(num_channels, options.width, kernel_size=(1, 1), bias=False),
            nn.BatchNorm2d(options.width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            *(TemporalBlock(options, dilation=2 ** (block % _NUM_DILATIONS)) for block in range(options.num_blocks))
        )
        self.finish(config, options.width, options.dropout)

    def features(self, inputs: Tensor) -> Tensor:
        """[B, T, rows, 3] → [B, width, 1, T]."""
        # Each step's channels lie together: a view of [B, channels, 1, T] in the memory format channels_last.
        signals = with_velocity(inputs, self.velocity).flatten(2).transpose(1, 2).unsqueeze(2)
        features: Tensor = self.blocks(self.stem(self.norm(signals)))
        return features


class TemporalBlock(nn.Module):
    """Two convolutions over time beside a shortcut, the first dilated: [B, C, 1, T] → the same."""

    def __init__(self, options: TemporalCnn, dilation: int) -> None:
        super().__init__()
        width, kernel = options.width, options.kernel
        self.residual = nn.Sequential(
            nn.Conv2d(
                width,
                width,
                kernel_size=(1, kernel),
                padding=(0, dilation * (kernel // 2)),
                dilation=(1, dilation),
                bias=False,
            ),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Dropout(options.dropout),
            nn.Conv2d(width, width, kernel_size=(1, kernel), padding=(0, kernel // 2), bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Apply the block."""
        return torch.relu(features + self.residual(features))


class FactorizedAttention(Encoder):
    """Attention over the rows of a time, then over the times of a row (after Plizzari et al., 2021).

    A token is a row during `patch_steps` steps: [B, T, rows, 3] → [B, dim]. Features are [B, width, rows, times].
    """

    takes: ClassVar[Takes] = "signals"

    def __init__(self, options: SignalAttention, config: EncoderConfig, shape: tuple[int, int, int]) -> None:
        """
        Args:
            options: The network's own.
            config: Pooling, projection, length of the embedding.
            shape: Steps, rows, 3.
        """
        super().__init__()
        num_steps, num_rows, _ = shape
        self.patch_steps, self.velocity = options.patch_steps, options.velocity
        num_axes = 6 if options.velocity else 3
        num_times = -(-num_steps // options.patch_steps)
        self.norm = nn.BatchNorm1d(num_rows * num_axes)
        self.tokens = nn.Linear(options.patch_steps * num_axes, options.width)
        # As large as the tokens. With the usual 0.02, rows cannot be told apart for many epochs: one-shot on 7 of
        # ISL-Kinect's auxiliary classes after 12 epochs .463 instead of .558 (one seed).
        self.places = nn.Parameter(torch.randn(1, num_rows, options.width) * 0.5)
        self.times = nn.Parameter(torch.randn(num_times, 1, options.width) * 0.5)
        self.blocks = nn.Sequential(*(AttentionBlock(options) for _ in range(options.num_blocks)))
        self.last_norm = nn.LayerNorm(options.width)
        self.finish(config, options.width, options.dropout)

    def features(self, inputs: Tensor) -> Tensor:
        """[B, T, rows, 3] → [B, width, rows, T / patch_steps]; the last step is repeated to fill the last token."""
        signals = with_velocity(inputs, self.velocity)
        num_steps, num_rows, num_axes = signals.shape[1:]
        signals = self.norm(signals.flatten(2).transpose(1, 2)).transpose(1, 2)
        if missing := -num_steps % self.patch_steps:
            signals = torch.cat((signals, signals[:, -1:].expand(-1, missing, -1)), dim=1)
        patches = signals.unflatten(1, (-1, self.patch_steps)).unflatten(3, (num_rows, num_axes))
        tokens = self.tokens(patches.transpose(2, 3).flatten(3)) + self.places + self.times
        features: Tensor = self.last_norm(self.blocks(tokens))
        return features.permute(0, 3, 2, 1)


class AttentionBlock(nn.Module):
    """Attention over rows, attention over time, and a layer of twice the width: [B, times, rows, D] → the same."""

    def __init__(self, options: SignalAttention) -> None:
        super().__init__()
        width = options.width
        self.over_rows = SelfAttention(width, options.dropout)
        self.over_times = SelfAttention(width, options.dropout)
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.Dropout(options.dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply the block."""
        tokens = tokens + self.over_rows(tokens)
        tokens = tokens + self.over_times(tokens.transpose(1, 2)).transpose(1, 2)
        output: Tensor = tokens + self.layers(tokens)
        return output


class SelfAttention(nn.Module):
    """Multi-head attention among the tokens of the last axis but one: [A, B, N, D] → the same."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = width // _HEAD_DIM
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend."""
        found = self.queries_keys_values(self.norm(tokens)).flatten(0, 1)
        queries, keys, values = found.unflatten(2, (3, self.num_heads, _HEAD_DIM)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        output: Tensor = self.dropout(self.output(attended.transpose(1, 2).flatten(2).unflatten(0, tokens.shape[:2])))
        return output


def with_velocity(signals: Tensor, wanted: bool) -> Tensor:
    """Append the change since the last step to each value: [B, T, rows, 3] → [B, T, rows, 6]; 0 at the first step."""
    if not wanted:
        return signals
    change = functional.pad(signals.diff(dim=1), (0, 0, 0, 0, 1, 0))
    return torch.cat((signals, change), dim=-1)
