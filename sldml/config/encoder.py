"""The networks that can turn an image into an embedding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.parts import Choice, Part


class ResNet18(Part):
    """Torchvision's ResNet-18 (He et al., 2016)."""

    weights: Literal["none", "imagenet"] = "none"
    stem: Literal["standard", "small"] = "standard"
    """`small`: a 3 × 3 first layer of stride 1 and no pooling, for images of few pixels."""


class SmallCnn(Part):
    """A residual CNN of a few layers, made for images of rows × steps; seconds per epoch on a CPU."""

    width: int = Field(32, ge=8, le=256, multiple_of=8)
    num_blocks: int = Field(3, ge=1, le=5)
    dropout: float = Field(0.0, ge=0.0, le=0.8)


class EncoderConfig(Choice):
    """The network that turns an image into an embedding."""

    name: Literal["small_cnn", "resnet18"] = "small_cnn"
    embedding_dim: int = Field(128, ge=2, le=4096)
    resnet18: ResNet18 | None = None
    small_cnn: SmallCnn | None = None
