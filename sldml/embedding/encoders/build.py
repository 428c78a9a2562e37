"""Encoders by configuration."""

from __future__ import annotations

import torch

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders.base import Encoder
from sldml.embedding.encoders.ensemble import Ensemble
from sldml.embedding.encoders.pretrained import imagenet_state
from sldml.embedding.encoders.signal_networks import FactorizedAttention, TemporalConvolutions
from sldml.embedding.encoders.small_cnn import ResidualCnn
from sldml.embedding.encoders.torchvision_networks import build_torchvision


def build_encoder(config: EncoderConfig, shape: tuple[int, int, int]) -> Encoder:
    """Build the encoder, its fresh weights drawn from torch's global generator.

    Args:
        config: Which encoder, and the length of the embedding.
        shape: Shape of its input, as from `sldml.embedding.embed.input_shape`: channels, height and width of images, or
            steps, rows and axes of signals.

    Returns:
        A module from float [B, 3, H, W] (see `sldml.embedding.images.to_input`), or from [B, T, rows, 3] where
        `config.takes` is `signals`, to [B, embedding_dim], which is not L2-normalised; of several members, to
        [B, members * embedding_dim].

    Raises:
        WeightsError: ImageNet weights are neither cached nor can be downloaded.
        ValueError: the images do not have three channels, or the signals not three axes.
    """
    if config.takes == "signals" and shape[2] != 3:
        raise ValueError(f"an encoder of signals takes 3 axes, but the signals' shape is {shape}")
    if config.takes == "images" and shape[0] != 3:
        raise ValueError(f"an encoder takes images of 3 channels, but their shape is {shape}")
    encoder: Encoder
    if config.members > 1:
        single = config.model_copy(update={"members": 1})
        return Ensemble([build_encoder(single, shape) for _ in range(config.members)])
    match config.name:
        case "small_cnn":
            encoder = ResidualCnn(config.chosen, config)
        case "temporal_cnn":
            encoder = TemporalConvolutions(config.chosen, config, shape)
        case "signal_attention":
            encoder = FactorizedAttention(config.chosen, config, shape)
        case _:
            encoder = build_torchvision(config, shape)
    return encoder.to(memory_format=torch.channels_last)


def require_imagenet_weights(name: str) -> None:
    """Download the ImageNet weights of an encoder into torch's cache if they are not cached yet.

    Args:
        name: one of `EncoderConfig.pretrained_names()`.

    Raises:
        WeightsError: they are neither cached nor can be downloaded.
    """
    imagenet_state(name)


def without_download(config: EncoderConfig) -> EncoderConfig:
    """The same configuration without pretrained weights, for an encoder whose weights are loaded from a file."""
    if config.name not in EncoderConfig.pretrained_names():
        return config
    return config.model_copy(update={config.name: config.chosen.model_copy(update={"weights": "none"})})
