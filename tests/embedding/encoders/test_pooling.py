"""What becomes of a feature map, by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from sldml.config.encoder import EncoderConfig, PoolingConfig
from sldml.embedding.encoders import build_encoder
from sldml.embedding.encoders.pooling import GeneralizedMeanPooling, build_pooling, num_pooled

# Two channels, two rows, four steps.
FEATURES = torch.tensor([[[[1.0, 2, 3, 4], [5, 6, 7, 8]], [[0, 0, 0, 0], [0, 0, 2, -2]]]])


def pooled(name: str, **options: Any) -> torch.Tensor:
    config = PoolingConfig.model_validate({"name": name, **options})
    found: torch.Tensor = build_pooling(config)(FEATURES)
    assert found.shape == (1, 2 * num_pooled(config))
    return found


def test_the_mean_and_the_maximum_are_over_rows_and_time() -> None:
    assert pooled("mean").tolist() == [[4.5, 0.0]]
    assert pooled("max").tolist() == [[8.0, 2.0]]


def test_the_generalised_mean_is_the_root_of_the_mean_power() -> None:
    first = ((1 + 8 + 27 + 64 + 125 + 216 + 343 + 512) / 8) ** (1 / 3)
    second = (8 / 8) ** (1 / 3)  # 2 cubed, once among eight; what is negative counts as nothing
    assert pooled("gem").detach()[0].tolist() == pytest.approx([first, second], rel=1e-5)


def test_the_generalised_means_exponent_learns_and_leads_from_mean_to_maximum() -> None:
    positive = FEATURES[:, :1]
    assert float(GeneralizedMeanPooling(1.0)(positive).detach()) == pytest.approx(4.5)
    assert float(GeneralizedMeanPooling(20.0)(positive).detach()) > 7.2
    pooling = GeneralizedMeanPooling()
    pooling(FEATURES).sum().backward()
    assert pooling.exponent.grad is not None
    assert float(pooling.exponent.grad) > 0


def test_segments_of_time_keep_their_order() -> None:
    # Rows are averaged: 3 4 5 6, and 0 0 1 -1; of each channel one segment after the other.
    assert pooled("time", time={"num_segments": 2}).tolist() == [[3.5, 5.5, 0.0, 0.0]]
    assert pooled("time").tolist() == [[3, 4, 5, 6, 0, 0, 1, -1]]
    # Three segments of four steps share one: 0-1, 1-2, 2-3.
    assert pooled("time", time={"num_segments": 3}).tolist() == [[3.5, 4.5, 5.5, 0, 0.5, 0]]


def test_time_pooling_tells_a_movement_from_its_reverse_and_the_mean_does_not() -> None:
    there = torch.rand(1, 3, 2, 8)
    back = there.flip(3)
    assert torch.allclose(build_pooling(PoolingConfig())(there), build_pooling(PoolingConfig())(back))
    time = build_pooling(PoolingConfig(name="time"))
    assert not torch.allclose(time(there), time(back), atol=1e-2)


@pytest.mark.parametrize("pooling", [{"name": "mean"}, {"name": "max"}, {"name": "gem"}, {"name": "time"}])
@pytest.mark.parametrize("name", ["small_cnn", "mobilenet_v3_small", "temporal_cnn", "signal_attention"])
def test_every_pooling_goes_with_every_kind_of_encoder(name: str, pooling: dict[str, str]) -> None:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"name": name, "embedding_dim": 6, "pooling": pooling})
    shape = (3, 5, 32) if config.takes == "images" else (32, 5, 3)
    encoder = build_encoder(config, shape)
    embeddings = encoder(torch.randn(3, *shape))
    assert embeddings.shape == (3, 6)
    embeddings.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_projections() -> None:
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for projection in ("linear", "relu_linear", "mlp"):
        torch.manual_seed(0)
        config = EncoderConfig.model_validate({"embedding_dim": 6, "projection": projection})
        encoder = build_encoder(config, (3, 5, 32))
        shapes[projection] = [tuple(p.shape) for p in encoder.projection.parameters() if p.dim() == 2]
    assert shapes == {"linear": [(6, 128)], "relu_linear": [(6, 128)], "mlp": [(128, 128), (6, 128)]}


def test_the_published_projection_has_a_relu_first() -> None:
    encoder = build_encoder(EncoderConfig(projection="relu_linear"), (3, 5, 32))
    features = torch.randn(2, 128)
    assert isinstance(encoder.projection, nn.Sequential)
    linear = encoder.projection[1]
    assert torch.equal(encoder.projection(features), linear(features.clamp(min=0)))
