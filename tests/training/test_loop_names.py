"""Every name that a configuration may have trains: one epoch of one step with its defaults moves the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.small import BASE, frames_of, subset_of

from sldml.config.encoder import EncoderConfig, PoolingConfig
from sldml.config.loss import LossConfig
from sldml.config.miner import MinerConfig
from sldml.config.representation import RepresentationConfig
from sldml.config.training import OptimizerConfig, ScheduleConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.recordings import KINECT_V2, Layout
from sldml.training.loop import Training

SIDE_PX = 16
LABELS = [0, 0, 1, 1, 2, 2]
IMAGE = {"steps": SIDE_PX, "image_px": 32}
SMALL_ENCODER = BASE["encoder"]


def recordings(layout: Layout, dtype: type) -> Frames:
    """Six recordings of noise: nothing in them is learnt by heart in one step, so that every loss has work to do."""
    rng = np.random.default_rng(0)
    shape = SIDE_PX, layout.num_rows, 3
    values: list[NDArray[Any]] = [
        rng.integers(0, 256, shape).astype(dtype) if layout.image_rows else rng.normal(size=shape).astype(dtype)
        for _ in LABELS
    ]
    return frames_of(values, layout)


def one_step(changes: dict[str, Any]) -> Training:
    """Train for one epoch of one step, and check what must hold after it whatever the configuration is."""
    config = TrialConfig.model_validate({**BASE, "train": {"max_epochs": 2}, **changes})
    pictures = config.representation.name == "image"
    layout = Layout(None, 0, image_rows=SIDE_PX) if pictures else Layout(KINECT_V2, 1)
    train = subset_of(LABELS, [SIDE_PX] * len(LABELS))
    frames = recordings(layout, np.uint8 if pictures else np.float32)
    training = Training(config, View(frames, train))
    assert training.steps_per_epoch == 1
    names = [name for name, _ in training.encoder.named_parameters()]
    before = [p.detach().clone() for p in training.encoder.parameters()]
    proxies = [p.detach().clone() for p in training.objectives[0].loss.parameters()]

    stats = training.run_epoch()

    assert np.isfinite([stats.loss, stats.metric_loss, stats.head_loss]).all()
    assert stats.loss > 0
    gradients = {name: p.grad for name, p in training.encoder.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    reached = [name for name, gradient in gradients.items() if gradient.abs().max() > 0]  # type: ignore[union-attr]
    assert names[0] in reached, "no gradient has come as far as the first layer"
    assert len(reached) > 0.8 * len(names)  # a network may have a layer or two that one batch does not reach
    moved = [not torch.equal(new, old) for new, old in zip(training.encoder.parameters(), before, strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    for proxy, old in zip(training.objectives[0].loss.parameters(), proxies, strict=True):
        assert not torch.equal(proxy, old), "the loss has weights that are not trained"
    return training


@pytest.mark.parametrize("name", LossConfig.names())
def test_every_loss(name: str) -> None:
    training = one_step({"loss": {"name": name}})
    assert bool(list(training.objectives[0].loss.parameters())) == (training.proxy_optimizer is not None)


@pytest.mark.parametrize("name", MinerConfig.names())
def test_every_miner(name: str) -> None:
    training = one_step({"loss": {"name": "triplet_margin"}, "miner": {"name": name}})
    assert (training.objectives[0].miner is None) == (name == "none")


ONE_OF_EACH_FAMILY = {
    *("small_cnn", "vit_tiny", "temporal_cnn", "signal_attention", "resnet18", "regnet_x_400mf", "mobilenet_v3_small"),
    *("shufflenet_v2_x0_5", "densenet121", "convnext_tiny", "swin_t"),
}
ENCODERS = [
    pytest.param(name, marks=[] if name in ONE_OF_EACH_FAMILY else pytest.mark.verify) for name in EncoderConfig.names()
]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder(name: str) -> None:
    options = SMALL_ENCODER if name == "small_cnn" else {"name": name, "embedding_dim": 8}
    # SGD: an optimiser with moments would need three times the memory of the largest networks.
    training = one_step({"encoder": options, "representation": IMAGE, "optimizer": {"name": "sgd", "lr": 0.1}})
    shape = input_shape(training.config.encoder, training.config.representation, training.view.layout)
    with torch.no_grad():
        assert training.encoder.eval()(torch.zeros(1, *shape)).shape == (1, 8)


@pytest.mark.parametrize("name", OptimizerConfig.names())
def test_every_optimiser(name: str) -> None:
    one_step({"optimizer": {"name": name}})


@pytest.mark.parametrize("name", ScheduleConfig.names())
def test_every_schedule(name: str) -> None:
    training = one_step({"schedule": {"name": name}})
    assert 0 < training.schedule.get_last_lr()[0] <= training.config.optimizer.lr


@pytest.mark.parametrize("name", PoolingConfig.names())
def test_every_pooling(name: str) -> None:
    one_step({"encoder": {**SMALL_ENCODER, "pooling": {"name": name}}})


@pytest.mark.parametrize("name", RepresentationConfig.names())
def test_every_representation(name: str) -> None:
    data = {"data": {"dataset": "image_folder", "folder": "one_shot", "image_px": SIDE_PX}} if name == "image" else {}
    protocol = {"protocol": {"name": "image_folder"}} if name == "image" else {}
    one_step({**data, **protocol, "representation": {"name": name, "steps": SIDE_PX}})
