"""Encoders with few weights, one or more of each kind, by a short name."""

from __future__ import annotations

from typing import Any

from sldml.config.encoder import EncoderConfig

TORCHVISION = EncoderConfig.pretrained_names()


VARIANTS: dict[str, dict[str, Any]] = {
    "small_cnn": {"name": "small_cnn", "small_cnn": {"width": 8}},
    "small_cnn deep": {"name": "small_cnn", "small_cnn": {"width": 8, "num_blocks": 5, "dropout": 0.5}},
    "small_cnn shallow": {"name": "small_cnn", "small_cnn": {"width": 16, "num_blocks": 1}},
    "vit_tiny": {"name": "vit_tiny", "vit_tiny": {"width": 32, "num_blocks": 1, "dropout": 0.2}},
    **{name: {"name": name} for name in TORCHVISION},
    **{
        f"{name} small": {"name": name, name: {"stem": "small", "dropout": 0.3}}
        for name in (
            *("resnet18", "regnet_x_400mf", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121"),
            *("convnext_tiny", "swin_t"),
        )
    },
}


def config_of(variant: str, **more: Any) -> EncoderConfig:
    return EncoderConfig.model_validate({"embedding_dim": 24} | VARIANTS[variant] | more)
