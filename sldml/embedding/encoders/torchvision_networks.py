"""Torchvision's networks as encoders, with stems for small images.

Each family is one class that knows the family's classifier, features and stem. Images may have any size: for networks
that need whole patches or a minimum size, they are padded with zeros (mid-grey).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.encoder import EncoderConfig, Torchvision, VitTiny
from sldml.embedding.encoders.base import Encoder
from sldml.embedding.encoders.pretrained import imagenet_state


def build_torchvision(config: EncoderConfig, shape: tuple[int, int, int]) -> Encoder:
    """Build a network of torchvision, its fresh weights drawn from torch's global generator.

    Args:
        config: One whose branch is a `Torchvision` or a `VitTiny`.
        shape: Of the images: 3, height, width.

    Raises:
        WeightsError: ImageNet weights are neither cached nor can be downloaded.
    """
    if config.vit_tiny is not None:
        return VisionTransformerEncoder(_vit_tiny(config.vit_tiny), config.vit_tiny, config, shape)
    from torchvision.models import get_model  # takes seconds: it imports torch's compiler

    options: Torchvision = config.chosen
    network: nn.Module = get_model(config.name, weights=None)
    if options.weights == "imagenet":
        network.load_state_dict(imagenet_state(config.name))
    return _family(config.name)(network, options, config, shape)


class TorchvisionEncoder(Encoder):
    """A network of torchvision without its classifier. A subclass is a family of them."""

    def __init__(
        self, network: Any, options: Torchvision | VitTiny, config: EncoderConfig, shape: tuple[int, int, int]
    ) -> None:
        """
        Args:
            network: Of torchvision, with its classifier.
            options: The network's own.
            config: Pooling, projection, length of the embedding.
            shape: Of the images: 3, height, width.
        """
        super().__init__()
        self.network = network
        self.finish(config, self.without_classifier(), options.dropout)
        if isinstance(options, Torchvision) and options.stem == "small":
            self.make_stem_small()
        self.fit_to(shape, pretrained=isinstance(options, Torchvision) and options.weights == "imagenet")

    def without_classifier(self) -> int:
        """Remove the classifier from the network. Returns the number of channels of its input."""
        raise NotImplementedError

    def make_stem_small(self) -> None:
        """Replace the first layer by one with a smaller stride."""
        raise NotImplementedError

    def fit_to(self, shape: tuple[int, int, int], *, pretrained: bool) -> None:
        """Create the parts that depend on the size of the images, if any."""


class ResNetEncoder(TorchvisionEncoder):
    """ResNet, ResNeXt, Wide ResNet: a 7 × 7 stem of stride 2 and pooling, then four stages; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        num_channels = int(self.network.fc.in_features)
        self.network.fc = nn.Identity()
        return num_channels

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        network = self.network
        features = network.maxpool(network.relu(network.bn1(network.conv1(inputs))))
        features = network.layer4(network.layer3(network.layer2(network.layer1(features))))
        return _tensor(features)

    def make_stem_small(self) -> None:  # noqa: D102
        self.network.conv1 = _small_convolution(self.network.conv1)
        self.network.maxpool = nn.Identity()


class DenseNetEncoder(TorchvisionEncoder):
    """DenseNet: a 7 × 7 stem of stride 2 and pooling, then dense blocks between halvings; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        num_channels = int(self.network.classifier.in_features)
        self.network.classifier = nn.Identity()
        # Separate stem and end: then each dense block is a part whose activations can be recomputed.
        layers = OrderedDict(self.network.features.named_children())
        stem = ("conv0", "norm0", "relu0", "pool0")
        self.stem = nn.Sequential(OrderedDict((name, layers.pop(name)) for name in stem))
        self.end = nn.Sequential(layers.pop("norm5"), nn.ReLU(inplace=True))
        self.network.features = nn.Sequential(layers)
        self.least_px = 32
        return num_channels

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        features: Tensor = self.end(self.network.features(self.stem(padded(inputs, least_px=self.least_px))))
        return features

    def make_stem_small(self) -> None:  # noqa: D102
        first = self.stem.conv0
        assert isinstance(first, nn.Conv2d)
        self.stem.conv0 = _small_convolution(first)
        self.stem.pool0 = nn.Identity()
        self.least_px = 8


class RegNetEncoder(TorchvisionEncoder):
    """RegNet: a 3 × 3 stem of stride 2, then four stages; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        num_channels = int(self.network.fc.in_features)
        self.network.fc = nn.Identity()
        return num_channels

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        return _tensor(self.network.trunk_output(self.network.stem(inputs)))

    def make_stem_small(self) -> None:  # noqa: D102
        self.network.stem[0].stride = (1, 1)


class MobileEncoder(TorchvisionEncoder):
    """EfficientNet, MobileNet v2 and v3: a 3 × 3 stem of stride 2, then inverted bottlenecks; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        first = next(layer for layer in self.network.classifier if isinstance(layer, nn.Linear))
        self.network.classifier = nn.Identity()
        return int(first.in_features)

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        return _tensor(self.network.features(inputs))

    def make_stem_small(self) -> None:  # noqa: D102
        self.network.features[0][0].stride = (1, 1)


class ShuffleNetEncoder(TorchvisionEncoder):
    """ShuffleNet v2: a 3 × 3 stem of stride 2 and pooling, then three stages; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        num_channels = int(self.network.fc.in_features)
        self.network.fc = nn.Identity()
        return num_channels

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        network = self.network
        features = network.stage4(network.stage3(network.stage2(network.maxpool(network.conv1(inputs)))))
        return _tensor(network.conv5(features))

    def make_stem_small(self) -> None:  # noqa: D102
        self.network.conv1[0].stride = (1, 1)
        self.network.maxpool = nn.Identity()


class ConvNextEncoder(TorchvisionEncoder):
    """ConvNeXt: patches of 4 pixels, then four stages with halvings between; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        norm, _, linear = self.network.classifier
        self.network.classifier = nn.Identity()
        self.norm = norm
        self.patch_px = 4
        return int(linear.in_features)

    def features(self, inputs: Tensor) -> Tensor:
        """The features, each place normalised over its channels (torchvision does so after its mean)."""
        images = padded(inputs, patch_px=self.patch_px, least_px=8 * self.patch_px)
        features: Tensor = self.norm(self.network.features(images))
        return features

    def make_stem_small(self) -> None:  # noqa: D102
        self.patch_px = 2
        self.network.features[0][0] = _patches(self.network.features[0][0], self.patch_px, std=0.02)


class SwinEncoder(TorchvisionEncoder):
    """Swin transformers, v1 and v2: patches of 4 pixels, attention within shifted windows; in all 1/32."""

    def without_classifier(self) -> int:  # noqa: D102
        num_channels = int(self.network.head.in_features)
        self.network.head = nn.Identity()
        self.patch_px = 4
        return num_channels

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        network = self.network
        return _tensor(network.permute(network.norm(network.features(padded(inputs, patch_px=self.patch_px)))))

    def make_stem_small(self) -> None:  # noqa: D102
        self.patch_px = 2
        self.network.features[0][0] = _patches(self.network.features[0][0], self.patch_px, std=0.02)


class VisionTransformerEncoder(TorchvisionEncoder):
    """Vision transformers. The features are those of the patches; the class token is attended to, but not read.

    The places' embeddings are made for the images' own number of patches: pretrained ones are resampled.
    """

    def without_classifier(self) -> int:  # noqa: D102
        self.network.heads = nn.Identity()
        self.patch_px = int(self.network.patch_size)
        return int(self.network.hidden_dim)

    def make_stem_small(self) -> None:  # noqa: D102
        self.patch_px //= 4
        fan_in = 3 * self.patch_px**2
        self.network.conv_proj = _patches(self.network.conv_proj, self.patch_px, std=math.sqrt(1 / fan_in))

    def fit_to(self, shape: tuple[int, int, int], *, pretrained: bool) -> None:  # noqa: D102
        rows, columns = (math.ceil(side / self.patch_px) for side in shape[1:])
        encoder = self.network.encoder
        if pretrained:
            places = encoder.pos_embedding.detach()
            side = math.isqrt(places.shape[1] - 1)
            grid = places[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
            grid = functional.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
            places = torch.cat((places[:, :1], grid.flatten(2).transpose(1, 2)), dim=1)
        else:
            places = torch.empty(1, 1 + rows * columns, self.network.hidden_dim).normal_(std=0.02)
        encoder.pos_embedding = nn.Parameter(places)

    def features(self, inputs: Tensor) -> Tensor:  # noqa: D102
        network = self.network
        patches = network.conv_proj(padded(inputs, patch_px=self.patch_px))
        tokens = torch.cat(
            (network.class_token.expand(len(patches), -1, -1), patches.flatten(2).transpose(1, 2)), dim=1
        )
        encoded = network.encoder(tokens)[:, 1:]
        return _tensor(encoded.transpose(1, 2).unflatten(2, patches.shape[2:]))


_FAMILIES: dict[str, type[TorchvisionEncoder]] = {
    "resnet": ResNetEncoder,
    "resnext": ResNetEncoder,
    "wide_resnet": ResNetEncoder,
    "densenet": DenseNetEncoder,
    "regnet": RegNetEncoder,
    "efficientnet": MobileEncoder,
    "mobilenet": MobileEncoder,
    "shufflenet": ShuffleNetEncoder,
    "convnext": ConvNextEncoder,
    "swin": SwinEncoder,
    "vit": VisionTransformerEncoder,
}


def _family(name: str) -> type[TorchvisionEncoder]:
    return next(family for start, family in _FAMILIES.items() if name.startswith(start))


def _vit_tiny(options: VitTiny) -> nn.Module:
    from torchvision.models import VisionTransformer

    network: nn.Module = VisionTransformer(
        image_size=options.patch_px,  # one patch: `fit_to` makes the places of the others
        patch_size=options.patch_px,
        num_layers=options.num_blocks,
        num_heads=options.width // 32,
        hidden_dim=options.width,
        mlp_dim=2 * options.width,
        dropout=options.dropout,
    )
    return network


def padded(images: Tensor, *, patch_px: int = 1, least_px: int = 1) -> Tensor:
    """Add zeros below and to the right until both sides are multiples of `patch_px` and at least `least_px`."""
    height, width = (max(math.ceil(side / patch_px) * patch_px, least_px) - side for side in images.shape[2:])
    return functional.pad(images, (0, width, 0, height)) if height or width else images


def _small_convolution(layer: nn.Conv2d) -> nn.Conv2d:
    """A fresh 3 × 3 convolution of stride 1 instead of a larger one."""
    small = nn.Conv2d(3, layer.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    return small


def _patches(layer: nn.Conv2d, patch_px: int, *, std: float) -> nn.Conv2d:
    """A fresh embedding of smaller patches."""
    small = nn.Conv2d(3, layer.out_channels, kernel_size=patch_px, stride=patch_px)
    nn.init.trunc_normal_(small.weight, std=std)
    assert small.bias is not None
    nn.init.zeros_(small.bias)
    return small


def _tensor(features: Any) -> Tensor:
    """Narrow the type: torchvision's modules return Any."""
    assert isinstance(features, Tensor)
    return features
