"""Encoders that read the signals themselves, and their way from recordings to embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.small import frames_of, subset_of, trial_config
from torch import Tensor, nn

from sldml.config.encoder import EncoderConfig
from sldml.config.representation import AugmentConfig, RepresentationConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.augment import augment
from sldml.embedding.embed import embed, encoder_input, input_shape, require_one_input_shape
from sldml.embedding.encoders import build_encoder
from sldml.embedding.encoders.signal_networks import SelfAttention, TemporalBlock, with_velocity
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.recognition.baselines import initialised
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recordings import Layout
from sldml.recordings.skeletons import KINECT_V2
from sldml.search.final import trained_matching
from sldml.training.loop import Training, recompute_activations

VARIANTS: list[dict[str, Any]] = [
    {"name": "temporal_cnn", "temporal_cnn": {"width": 16}},
    {"name": "temporal_cnn", "temporal_cnn": {"width": 8, "num_blocks": 6, "kernel": 5, "velocity": False}},
    {"name": "signal_attention", "signal_attention": {"width": 32}},
    {"name": "signal_attention", "signal_attention": {"width": 16, "num_blocks": 1, "velocity": False}},
]
QUIET = {"dropout": 0.0}
LAYOUT = Layout(KINECT_V2, 2, {"acceleration": 8.0})


def config_of(variant: dict[str, Any], **more: Any) -> EncoderConfig:
    return EncoderConfig.model_validate({"embedding_dim": 8} | variant | more)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(64, 20, 3), (8, 1, 3), (21, 7, 3)])
def test_every_encoder_embeds_signals_and_trains(variant: dict[str, Any], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(config_of(variant), shape)
    assert encoder.takes == "signals"
    embeddings = encoder(torch.randn(4, *shape))
    assert embeddings.shape == (4, 8)
    embeddings.square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_evaluation_each_recording_is_alone(variant: dict[str, Any]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(config_of(variant), (20, 5, 3)).eval()
    signals = torch.randn(3, 20, 5, 3)
    with torch.no_grad():
        alone = torch.cat([encoder(one.unsqueeze(0)) for one in signals])
        torch.testing.assert_close(encoder(signals), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_the_weights_and_they_come_back(variant: dict[str, Any]) -> None:
    first, second = (initialised(config_of(variant), (20, 5, 3), 3).eval() for _ in range(2))
    other = initialised(config_of(variant), (20, 5, 3), 4).eval()
    signals = torch.randn(3, 20, 5, 3)
    with torch.no_grad():
        assert torch.equal(first(signals), second(signals))
        assert not torch.allclose(first(signals), other(signals))
        other.load_state_dict(first.state_dict())
        assert torch.equal(first(signals), other(signals))


@pytest.mark.parametrize("variant", VARIANTS)
def test_recomputed_activations_give_the_same_gradients(variant: dict[str, Any]) -> None:
    gradients = []
    for recomputed in (False, True):
        encoder = initialised(config_of(variant), (20, 5, 3), 0).train()
        if recomputed:
            recompute_activations(encoder)
        torch.manual_seed(1)  # dropout
        encoder(torch.randn(4, 20, 5, 3)).square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first is not None
        assert second is not None
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_autocast_gives_about_the_same(variant: dict[str, Any]) -> None:
    encoder = initialised(config_of(variant), (20, 5, 3), 0).eval()
    signals = torch.randn(4, 20, 5, 3)
    with torch.no_grad():
        exact = encoder(signals)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(encoder(signals).float(), exact, atol=0.1 * float(exact.abs().max()))


def test_velocity_is_the_change_since_the_step_before() -> None:
    signals = torch.tensor([[[[1.0, 2, 3]], [[2, 2, 5]], [[4, 1, 5]]]])
    expected = [[[[1, 2, 3, 0, 0, 0]], [[2, 2, 5, 1, 0, 2]], [[4, 1, 5, 2, -1, 0]]]]
    assert with_velocity(signals, True).tolist() == expected
    assert with_velocity(signals, False) is signals


def test_a_block_sees_as_far_as_its_dilation_and_both_ways() -> None:
    torch.manual_seed(0)
    options = config_of({"name": "temporal_cnn", "temporal_cnn": {"width": 8, "dropout": 0.0}}).chosen
    block = TemporalBlock(options, dilation=4).eval()
    features = torch.randn(1, 8, 1, 32, requires_grad=True)
    block(features)[0, :, 0, 16].sum().backward()
    assert features.grad is not None
    seen = torch.nonzero(features.grad.abs().sum(dim=(0, 1, 2))).flatten().tolist()
    assert seen == [11, 12, 13, 15, 16, 17, 19, 20, 21]  # 16 and its neighbours, each less 4, as it is, and plus 4


def test_attention_is_what_a_naive_loop_gives() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(32, dropout=0.0)
    tokens = torch.randn(2, 3, 5, 32)
    normed = attention.norm(tokens)
    weights, biases = attention.queries_keys_values.weight, attention.queries_keys_values.bias
    expected = torch.zeros_like(tokens)
    for i in range(2):
        for j in range(3):
            queries, keys, values = (normed[i, j] @ weights.T + biases).split(32, dim=1)
            heads = []
            for head in (slice(0, 16), slice(16, 32)):
                scores = torch.softmax(queries[:, head] @ keys[:, head].T / 4.0, dim=1)
                heads.append(scores @ values[:, head])
            expected[i, j] = attention.output(torch.cat(heads, dim=1))
    torch.testing.assert_close(attention(tokens), expected, atol=1e-5, rtol=1e-4)


def test_a_token_is_a_row_during_a_few_steps() -> None:
    """With blocks that do nothing, the features of a row and time depend on that row at that time alone."""
    options = {"width": 16, "num_blocks": 1, "patch_steps": 4, "velocity": False}
    encoder = build_encoder(config_of({"name": "signal_attention", "signal_attention": options}), (12, 5, 3)).eval()
    encoder.blocks = nn.Identity()
    signals = torch.randn(1, 12, 5, 3, requires_grad=True)
    features = encoder.features(signals)
    assert features.shape == (1, 16, 5, 3)
    features[0, 0, 2, 1].backward()
    assert signals.grad is not None
    touched = torch.nonzero(signals.grad.abs().sum(dim=(0, 3)))
    assert {tuple(place) for place in touched.tolist()} == {(step, 2) for step in range(4, 8)}


@pytest.mark.parametrize("name", ["temporal_cnn", "signal_attention"])
def test_an_encoder_learns_to_tell_directions_apart(name: str) -> None:
    """The same positions in the opposite order: no mean over time of the positions can tell them apart."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig.model_validate({"name": name, "embedding_dim": 2, name: QUIET}), (32, 3, 3))
    labels = torch.arange(2).repeat(16)
    path = torch.linspace(-1, 1, 32).view(1, 32, 1, 1) * torch.randn(32, 1, 3, 3).abs()
    signals = torch.where(labels.view(-1, 1, 1, 1) == 1, path.flip(1), path)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    for _ in range(30):
        loss = nn.functional.cross_entropy(encoder(signals), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


# ------------------------------------------------------------------------------------------------ the whole way


def test_an_encoder_of_signals_sees_them_normalised_augmented_and_as_many_bodies_as_are_drawn() -> None:
    config = trial_config(representation={"num_bodies": 1})
    signals, change = torch.randn(2, 16, 51, 3), AugmentConfig(noise=0.1)
    expected = augment(normalize(signals, config.normalize, LAYOUT), change, LAYOUT, torch.Generator().manual_seed(3))
    found = encoder_input(
        signals,
        config.normalize,
        config.representation,
        LAYOUT,
        change,
        torch.Generator().manual_seed(3),
        takes="signals",
    )
    assert torch.equal(found, expected[:, :, [*range(25), 50]])
    encoder = EncoderConfig(name="temporal_cnn")
    assert input_shape(encoder, config.representation, LAYOUT) == (16, 26, 3) == tuple(found.shape[1:])


def test_the_shape_of_images_is_theirs() -> None:
    assert input_shape(EncoderConfig(), RepresentationConfig(), LAYOUT) == (3, 51, 64)
    assert input_shape(EncoderConfig(), RepresentationConfig(image_px=32), LAYOUT) == (3, 32, 32)


def test_pictures_are_no_signals() -> None:
    with pytest.raises(InputError, match=r"temporal_cnn reads signals, .* images: .*encoder\.name=small_cnn"):
        input_shape(EncoderConfig(name="temporal_cnn"), RepresentationConfig(), Layout(None, 0, image_rows=32))
    pictures = {"data": {"dataset": "image_folder"}, "representation": {"name": "image", "image_px": 32}}
    with pytest.raises(ValueError, match=r"signal_attention reads signals, .* images: .*encoder\.name=small_cnn"):
        TrialConfig.model_validate(pictures | {"encoder": {"name": "signal_attention"}})


def recordings(num_classes: int = 3) -> tuple[list[np.ndarray[Any, Any]], list[int]]:
    rng = np.random.default_rng(0)
    labels = [i % num_classes for i in range(12)]
    return [rng.normal(size=(9 + i, 25, 3)).astype(np.float32) + label for i, label in enumerate(labels)], labels


@pytest.mark.parametrize("variant", [*VARIANTS[::2], VARIANTS[0] | {"members": 2}])
def test_a_training_ships_and_recognises(variant: dict[str, Any], tmp_path: Path) -> None:
    values, labels = recordings()
    layout = Layout(KINECT_V2, 1)
    view = View(frames_of(values, layout), subset_of(labels, [len(v) for v in values]))
    config = trial_config(
        encoder={"small_cnn": None, **variant},
        normalize={"center": "none", "scale": "none"},
        augment={"noise": 0.05, "time_warp": 0.2},
        optimizer={"lr": 0.003},
        train={"min_steps_per_epoch": 10},
    )
    losses = []
    for _ in range(2):
        training = Training(config, view)
        losses.append([training.run_epoch().loss for _ in range(3)])
    assert losses[0] == losses[1]
    embeddings = embed(training.encoder, view, config.normalize, config.representation)
    assert embeddings.shape == (12, 8 * config.encoder.members)

    matching = trained_matching(config, training.encoder.state_dict(), layout)
    Recognizer(matching, encoder=config.encoder).save(tmp_path / "model")
    loaded = Recognizer.load(tmp_path / "model").matching
    assert torch.equal(loaded.features(view)[0], matching.features(view)[0])
    assert accuracy(matching, view) == 1.0


def accuracy(matching: Matching, view: View) -> float:
    distances: Tensor = matching.between(view.take(np.arange(3)), view)
    return float((distances.argmin(dim=0).numpy() == view.labels).mean())


class _Side:
    def __init__(self, rows: str) -> None:
        self.train = self.exemplars = type("Rows", (), {"rows": rows})


class _Split:
    description = "skeleton to inertial"
    development, sealed = _Side("bodies"), _Side("sensors")


def test_one_encoder_of_signals_cannot_read_two_sides_of_different_rows() -> None:
    representation = RepresentationConfig(image_px=32)
    require_one_input_shape(_Split, [EncoderConfig()], representation, LAYOUT)  # type: ignore[arg-type]
    encoders = [EncoderConfig(), EncoderConfig(name="signal_attention")]
    with pytest.raises(InputError, match=r"signal_attention would read 50 rows in training and 1 in the test; .*image"):
        require_one_input_shape(_Split, encoders, representation, LAYOUT)  # type: ignore[arg-type]
