"""Encoders: networks from images, or from the signals themselves, to embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.config.parts import BranchedPart, Part

Takes = Literal["images", "signals"]


class Torchvision(Part):
    """A torchvision network; the encoder's pooling and projection replace its classifier."""

    weights: Literal["none", "imagenet"] = "none"
    """`imagenet`: torchvision's default ImageNet weights, downloaded when they are first used."""
    stem: Literal["standard", "small"] = "standard"
    """`small` is for images of few pixels and reduces the resolution less: convolutional networks start with stride 1
    and no pooling, ConvNeXt and Swin patches of 2 instead of 4 pixels, ViT patches a quarter as wide. Layers
    whose shape changes are initialised randomly even with ImageNet weights."""
    dropout: float = Field(0.0, ge=0.0, le=0.8)
    """On the pooled features."""


class SmallCnn(Part):
    """A residual CNN of a few layers for images of rows × steps; takes seconds per epoch on a CPU."""

    width: int = Field(32, ge=8, le=256, multiple_of=8)
    num_blocks: int = Field(3, ge=1, le=5)
    dropout: float = Field(0.0, ge=0.0, le=0.8)


class VitTiny(Part):
    """A vision transformer (Dosovitskiy et al., 2021) small enough for images of rows × steps."""

    patch_px: Literal[2, 4, 8, 16] = 4
    width: int = Field(96, ge=32, le=512, multiple_of=32)
    """One attention head for each 32 of it."""
    num_blocks: int = Field(4, ge=1, le=12)
    dropout: float = Field(0.0, ge=0.0, le=0.8)


class TemporalCnn(Part):
    """A dilated residual CNN over time; its input are the signals, with one channel per row and axis."""

    width: int = Field(64, ge=8, le=512, multiple_of=8)
    num_blocks: int = Field(4, ge=1, le=8)
    """Dilations 1, 2, 4, 8, and from 1 again."""
    kernel: Literal[3, 5, 7, 9] = 3
    """In steps."""
    dropout: float = Field(0.1, ge=0.0, le=0.8)
    """In the blocks and on the pooled features."""
    velocity: bool = True
    """Whether the differences between steps are additional inputs."""


class SignalAttention(Part):
    """Attention over rows, then over time, in each block; its input are the signals, one token per row and patch."""

    width: int = Field(48, ge=16, le=512, multiple_of=16)
    """One attention head for each 16 of it."""
    num_blocks: int = Field(2, ge=1, le=8)
    patch_steps: int = Field(8, ge=1, le=32)
    """Steps per token."""
    dropout: float = Field(0.1, ge=0.0, le=0.8)
    velocity: bool = True
    """Whether the differences between steps are additional inputs."""


class TimePooling(Part):
    """Means over rows and over segments of the time axis, concatenated."""

    num_segments: int = Field(4, ge=2, le=16)


class PoolingConfig(BranchedPart):
    """Pooling of the features over rows (the image's height) and time (its width).

    `mean` and `max` are over both axes; `gem` is the generalised mean with a learned exponent (Radenović et al., 2019),
    where negative features count as zero; `time` keeps the order in time.
    """

    name: Literal["mean", "max", "gem", "time"] = "mean"
    time: TimePooling | None = None


class EncoderConfig(BranchedPart):
    """The network from an image, or from the signals themselves, to the embedding."""

    name: Literal[
        "small_cnn",
        "temporal_cnn",
        "signal_attention",
        "vit_tiny",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnext50_32x4d",
        "wide_resnet50_2",
        "regnet_x_400mf",
        "regnet_y_400mf",
        "regnet_y_800mf",
        "efficientnet_b0",
        "efficientnet_v2_s",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "densenet121",
        "convnext_tiny",
        "swin_t",
        "swin_v2_t",
        "vit_b_16",
        "vit_b_32",
    ] = "small_cnn"
    embedding_dim: int = Field(128, ge=2, le=4096)
    members: int = Field(1, ge=1, le=16)
    """Number of networks in an ensemble, each with its own weights, loss and head, trained on the same batches. The
    cost is proportional; the result depends less on a single initialisation."""
    pooling: PoolingConfig = PoolingConfig()
    projection: Literal["linear", "relu_linear", "mlp"] = "linear"
    """From pooled features to the embedding: a linear layer, a ReLU before it (the published SL-DML), or two linear
    layers with a ReLU between them."""
    small_cnn: SmallCnn | None = None
    temporal_cnn: TemporalCnn | None = None
    signal_attention: SignalAttention | None = None
    vit_tiny: VitTiny | None = None
    resnet18: Torchvision | None = None
    """He et al., 2016, as the next two."""
    resnet34: Torchvision | None = None
    resnet50: Torchvision | None = None
    resnext50_32x4d: Torchvision | None = None
    """Xie et al., 2017."""
    wide_resnet50_2: Torchvision | None = None
    """Zagoruyko and Komodakis, 2016."""
    regnet_x_400mf: Torchvision | None = None
    """Radosavovic et al., 2020, as the next two."""
    regnet_y_400mf: Torchvision | None = None
    regnet_y_800mf: Torchvision | None = None
    efficientnet_b0: Torchvision | None = None
    """Tan and Le, 2019."""
    efficientnet_v2_s: Torchvision | None = None
    """Tan and Le, 2021."""
    mobilenet_v2: Torchvision | None = None
    """Sandler et al., 2018."""
    mobilenet_v3_small: Torchvision | None = None
    """Howard et al., 2019, as the next."""
    mobilenet_v3_large: Torchvision | None = None
    shufflenet_v2_x0_5: Torchvision | None = None
    """Ma et al., 2018, as the next."""
    shufflenet_v2_x1_0: Torchvision | None = None
    densenet121: Torchvision | None = None
    """Huang et al., 2017."""
    convnext_tiny: Torchvision | None = None
    """Liu et al., 2022."""
    swin_t: Torchvision | None = None
    """Liu et al., 2021."""
    swin_v2_t: Torchvision | None = None
    """Liu et al., 2022."""
    vit_b_16: Torchvision | None = None
    """Dosovitskiy et al., 2021, as the next."""
    vit_b_32: Torchvision | None = None

    @property
    def takes(self) -> Takes:
        """Whether the input are images or the normalised signals themselves."""
        return "signals" if self.name in ("temporal_cnn", "signal_attention") else "images"

    @classmethod
    def pretrained_names(cls) -> tuple[str, ...]:
        """The encoders with available ImageNet weights."""
        return tuple(n for n in cls.branches() if cls.model_fields[n].annotation == Torchvision | None)
