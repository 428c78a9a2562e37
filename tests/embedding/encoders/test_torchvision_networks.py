"""torchvision's networks as encoders: stems, padding, and the same values as torchvision's own."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder
from sldml.embedding.encoders.torchvision_networks import padded

TORCHVISION = EncoderConfig.pretrained_names()


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_small_stem_keeps_more_pixels(name: str) -> None:
    sizes, num_features = [], set()
    for stem in ("standard", "small"):
        config = EncoderConfig.model_validate({"name": name, name: {"stem": stem}})
        with torch.device("cpu" if name.startswith("regnet") else "meta"):  # shapes alone; a RegNet computes its own
            encoder = build_encoder(config, (3, 64, 64)).eval()
            sizes.append(encoder.features(torch.empty(1, 3, 64, 64)).shape)
        assert isinstance(encoder.projection, nn.Linear)
        num_features.add(encoder.projection.in_features)
    assert {size[1] for size in sizes} == num_features
    factor = 2 if name.startswith(("regnet", "efficientnet", "mobilenet", "convnext", "swin")) else 4
    assert sizes[1][2] == factor * sizes[0][2]
    assert sizes[1][3] == factor * sizes[0][3]


def test_torchvisions_own_mean_and_classifier_are_what_pooling_and_projection_are() -> None:
    """With a classifier for its projection an encoder is torchvision's network again."""
    for name in ("resnet18", "regnet_x_400mf", "mobilenet_v2", "shufflenet_v2_x0_5", "densenet121"):
        torch.manual_seed(0)
        original = torchvision.models.get_model(name).eval()
        torch.manual_seed(0)
        encoder = build_encoder(EncoderConfig.model_validate({"name": name, "embedding_dim": 1000}), (3, 64, 64)).eval()
        classifiers = [module for module in original.modules() if isinstance(module, nn.Linear)]
        encoder.projection = classifiers[-1]
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(encoder(images), original(images), atol=1e-4, rtol=1e-4)


def test_images_are_padded_below_and_to_the_right() -> None:
    images = torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    assert padded(images) is images
    expected = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert torch.equal(padded(images, patch_px=4)[0, 0], expected)
    assert padded(images, patch_px=2, least_px=8).shape == (1, 1, 8, 8)
    assert padded(torch.ones(1, 3, 9, 16), patch_px=4, least_px=8).shape == (1, 3, 12, 16)
