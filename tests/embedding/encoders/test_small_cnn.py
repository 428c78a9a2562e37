"""The small convolutional network learns, also from large images."""

from __future__ import annotations

import subprocess
import sys

import torch

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder


def test_a_small_cnn_learns_to_tell_classes_apart() -> None:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"embedding_dim": 4, "small_cnn": {"width": 8, "num_blocks": 2}})
    encoder = build_encoder(config, (3, 10, 32))
    labels = torch.arange(4).repeat(8)
    # Four classes: the frequency of the movement, at a random phase.
    phase = 6.28 * torch.rand(32, 1, 10, 1)
    time = torch.linspace(0, 6.28, 32)
    images = torch.sin(time * (labels.view(-1, 1, 1, 1) + 1) + phase).expand(-1, 3, -1, -1)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(encoder(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_a_narrow_small_cnn_trains_on_large_images() -> None:
    # In a process of its own: where the 1 x 1 shortcut had a stride of 2, this ended with a segmentation fault.
    code = """
import torch
from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder
torch.set_num_threads(1)
for side in (112, 128):
    encoder = build_encoder(EncoderConfig.model_validate({"small_cnn": {"width": 8}}), (3, side, side))
    for _ in range(2):
        encoder(torch.randn(16, 3, side, side)).square().mean().backward()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
