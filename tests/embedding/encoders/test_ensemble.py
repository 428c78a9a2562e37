"""An ensemble of encoders: one embedding whose cosine is the mean of its members'."""

from __future__ import annotations

import torch
from torch import nn

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder


def test_an_ensembles_cosine_is_the_mean_of_its_members() -> None:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"members": 3, "small_cnn": {"width": 8, "num_blocks": 1}})
    encoder = build_encoder(config, (3, 20, 16)).eval()
    images = torch.randn(4, 3, 20, 16)
    cosine = encoder(images) @ encoder(images).T
    each = [nn.functional.normalize(part, dim=1) for part in encoder.each(images)]
    assert len(each) == 3
    assert torch.allclose(cosine, sum(part @ part.T for part in each) / 3, atol=1e-5)
    frames = encoder.frames(images, steps=4, row_groups=2)
    assert torch.allclose(frames.norm(dim=2), torch.ones(4, 4), atol=1e-5)
