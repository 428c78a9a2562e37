"""Encoders: networks that turn an image [B, 3, H, W] into an embedding [B, dim]."""

from __future__ import annotations

import http.client
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from sldml.config import EncoderConfig, ResNet18, SmallCnn
from sldml.errors import InputError


class WeightsError(InputError):
    """Pretrained weights could be neither found on this machine nor downloaded."""


def build_encoder(config: EncoderConfig, image_shape: tuple[int, int, int]) -> nn.Module:
    """Build the encoder, its fresh weights drawn from torch's global generator.

    Args:
        config: which encoder, and the embedding's length.
        image_shape: channels, height and width of the images, as from `sldml.images.image_shape`.

    Returns:
        A module from float [B, 3, H, W] (see `sldml.images.to_input`) to [B, embedding_dim], which is not
        L2-normalised.

    Raises:
        WeightsError: ImageNet weights are wanted, but are neither cached nor to be had from the network.
        ValueError: the images do not have three channels.
    """
    if image_shape[0] != 3:
        raise ValueError(f"an encoder takes images of 3 channels, but image_shape is {image_shape}")
    match config.name:
        case "resnet18":
            return _build_resnet18(config.chosen, config.embedding_dim)
        case "small_cnn":
            return ResidualCnn(config.chosen, config.embedding_dim)


def require_imagenet_weights() -> None:
    """Fetch the ImageNet weights of resnet18 into torch's cache, where they are not there yet.

    Raises:
        WeightsError: they are neither cached nor to be had from the network.
    """
    _imagenet_weights()


def without_download(config: EncoderConfig) -> EncoderConfig:
    """The same encoder with fresh weights: to load weights into, pretrained ones need not be fetched."""
    if config.resnet18 is None:
        return config
    return config.model_copy(update={"resnet18": config.resnet18.model_copy(update={"weights": "none"})})


class ResidualCnn(nn.Module):
    """A residual CNN for images of rows × steps, [B, 3, H, W] → [B, dim].

    A 3 × 3 stem of stride 2, residual stages that halve both sides (the width doubles from the second on),
    the mean over what is left, dropout and a linear layer (the basic blocks of He et al., 2016).
    """

    def __init__(self, config: SmallCnn, embedding_dim: int) -> None:
        super().__init__()
        width = config.width
        # Stride 2 halves the time of stride (1, 2) and quarters that of stride 1 (batch 64, 50 × 64 px: 50, 96
        # and 209 ms), and is no less accurate: one-shot on ISL-Kinect .760, .750 (7 seeds), .738 (2 seeds).
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        widths = [width * 2**block for block in range(config.num_blocks)]
        self.blocks = nn.Sequential(
            *(ResidualBlock(before, after) for before, after in zip([width, *widths], widths, strict=False))
        )
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = nn.Linear(widths[-1], embedding_dim)
        # A fifth faster than channels first on a CPU, and what tensor cores want.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images [B, 3, H, W] as [B, dim]."""
        features = self.blocks(self.stem(images.contiguous(memory_format=torch.channels_last)))
        embeddings: Tensor = self.embedding(self.dropout(features.mean(dim=(2, 3))))
        return embeddings


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with stride 2 beside a 1 × 1 shortcut: [B, C, H, W] → [B, D, H/2, W/2]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Apply the block."""
        return torch.relu(self.residual(features) + self.shortcut(features))


def _build_resnet18(config: ResNet18, embedding_dim: int) -> nn.Module:
    """Torchvision's ResNet-18 with a linear embedding for its classifier, as in SL-DML (arXiv 2004.11085).

    The ReLU that SL-DML puts between the two is left out: what it gets is a mean of ReLUs, never negative.
    """
    from torchvision.models import resnet18  # takes seconds, for it brings torch's compiler with it

    encoder: nn.Module = resnet18(weights=None)
    if config.weights == "imagenet":
        encoder.load_state_dict(_imagenet_weights())
    encoder.fc = nn.Linear(512, embedding_dim)
    if config.stem == "small":
        encoder.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        encoder.maxpool = nn.Identity()
    return encoder


def _imagenet_weights() -> dict[str, Tensor]:
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.IMAGENET1K_V1
    try:
        # Torch downloads into a temporary file, checks its hash, moves it and removes what is left over, so
        # neither an interrupted download nor two at once leave half a file under the final name.
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, http.client.HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        reason = " ".join(str(error).split()) or type(error).__name__
        if cached.exists():
            problem, remedy = "cannot be read", f"remove {cached}"
        else:
            problem, remedy = "are not cached and cannot be downloaded", f"put {weights.url} into {cached.parent}"
        raise WeightsError(
            f"ImageNet weights of resnet18 {problem} ({reason}): {remedy}, or set encoder.resnet18.weights=none"
        ) from error
    return state
