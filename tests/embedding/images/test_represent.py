from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.layouts import HAS_REFERENCES, LAYOUTS, random_signals
from support.reference_images import naive_represent, naive_resize

from sldml.config.encoder import EncoderConfig
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.encoders import build_encoder
from sldml.embedding.images import check_representation, drawn_rows, image_shape, represent, to_input
from sldml.embedding.normalize import normalize
from sldml.errors import InputError
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.recordings import KINECT_V2, Layout
from sldml.recordings.readers import utd_mhad

NAMES = [name for name in RepresentationConfig.names() if name != "image"]
PICTURES = Layout(None, 0, image_rows=12)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "swap_axes": [{}, {"value_range": "fixed", "half_range": 0.7}],
    "reindexed": [{}, {"value_range": "fixed", "half_range": 0.7}],
    "signals": [
        {"height_px": 40, "width_px": 30},
        {"height_px": 37, "width_px": 16, "value_range": "signal", "curve_height": 1.0, "start_intensity": 0.0},
    ],
    "magnitude": [{}, {"temporal_distance": 1, "temporal_distance_2": 5, "full_scale": 0.5, "columns": 12}],
    "orientation": [
        {},
        {"temporal_distance": 2, "temporal_distance_2": 1, "temporal_distance_3": 11, "columns": 9},
        {"still_threshold": 0.3, "columns": 12},
    ],
    "tsrji": [{}, {"value_range": "fixed", "z_low": -0.5, "sensor_half_range": 0.5}],
}
PAIRS = [(name, layout) for name in NAMES for layout in LAYOUTS if name != "tsrji" or layout in HAS_REFERENCES]
WAYS = [(name, options, layout) for name, layout in PAIRS for options in OPTIONS[name]]


def config(name: str, options: dict[str, Any] | None = None, **others: Any) -> RepresentationConfig:
    return RepresentationConfig.model_validate({"name": name, name: options or {}, "steps": 12} | others)


def assert_equal_images(found: torch.Tensor, expected: np.ndarray[Any, Any], name: str) -> None:
    if name == "orientation":  # 180° is -180°: what a rounding makes of it may be white or black
        difference = np.abs(found.numpy() - expected)
        np.testing.assert_allclose(np.minimum(difference, 255 - difference), 0, atol=5e-3)
    else:
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("name", "options", "layout"), WAYS)
def test_equals_the_naive_reference(name: str, options: dict[str, Any], layout: str) -> None:
    signals = random_signals(LAYOUTS[layout])
    copy = signals.clone()
    chosen = config(name, options)
    images = represent(signals, chosen, LAYOUTS[layout])
    assert images.shape == (3, *image_shape(chosen, LAYOUTS[layout]))
    assert_equal_images(images, naive_represent(signals.numpy(), chosen, LAYOUTS[layout]), name)
    assert torch.equal(signals, copy)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_naive_reference_on_moving_bodies(name: str, made_set: PreparedSet, made_frames: Frames) -> None:
    places = torch.tensor(made_set.catalog[["offset", "length"]].to_numpy(np.int64, copy=True)[[0, 70]])
    raw = made_frames.gather(places[:, 0], places[:, 1], 24)
    signals = normalize(raw, NormalizeConfig(), made_set.layout)
    chosen = config(name, steps=24, num_bodies=1)
    images = represent(signals, chosen, made_set.layout)
    assert_equal_images(images, naive_represent(signals.numpy(), chosen, made_set.layout), name)
    assert images.std(dim=(1, 2, 3)).min() > 5  # there is something to see


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_naive_reference_on_real_recordings(name: str, real_utd: Path) -> None:
    layout = utd_mhad.layout("fused")
    frames = utd_mhad.read(utd_mhad.find(real_utd / "utd_mhad", "fused")[200], "fused").values
    signals = Frames(torch.from_numpy(frames), None, layout, torch.device("cpu"))
    raw = signals.gather(torch.tensor([0]), torch.tensor([len(frames)]), 32)
    chosen = config(name, steps=32)
    normalized = normalize(raw, NormalizeConfig(), layout)
    expected = naive_represent(normalized.numpy(), chosen, layout)
    assert_equal_images(represent(normalized, chosen, layout), expected, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_bodies", [1, 2, 8])
def test_only_the_first_bodies_and_all_sensors_are_drawn(name: str, num_bodies: int) -> None:
    layout = LAYOUTS["own"]
    chosen = config(name, num_bodies=num_bodies)
    signals = random_signals(layout, num_recordings=1)
    images = represent(signals, chosen, layout)
    assert images.shape[1:] == image_shape(chosen, layout)
    assert_equal_images(images, naive_represent(signals.numpy(), chosen, layout), name)
    kept = Layout(layout.skeleton, min(num_bodies, 3), layout.sensors)
    assert torch.equal(images, represent(signals[:, :, drawn_rows(chosen, layout)], config(name), kept))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [16, 48])
def test_images_are_resized(name: str, side: int) -> None:
    signals = random_signals(LAYOUTS["own"])
    images = represent(signals, config(name, image_px=side), LAYOUTS["own"])
    plain = represent(signals, config(name), LAYOUTS["own"])
    np.testing.assert_allclose(images.numpy(), naive_resize(plain.double().numpy(), side), atol=1e-2)


@pytest.mark.parametrize(("name", "layout"), PAIRS)
@pytest.mark.parametrize("image_px", [None, 64])
def test_an_encoder_takes_every_image(name: str, image_px: int | None, layout: str) -> None:
    chosen = config(name, image_px=image_px)
    encoder = build_encoder(
        EncoderConfig.model_validate({"embedding_dim": 4, "small_cnn": {"width": 16, "num_blocks": 1}}),
        image_shape(chosen, LAYOUTS[layout]),
    )
    images = to_input(represent(random_signals(LAYOUTS[layout]), chosen, LAYOUTS[layout]))
    encoder(images).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_recordings_do_not_mix(name: str) -> None:
    layout = LAYOUTS["fused"]
    signals = random_signals(layout)
    chosen = config(name, image_px=16)
    alone = torch.cat([represent(recording.unsqueeze(0), chosen, layout) for recording in signals])
    torch.testing.assert_close(represent(signals, chosen, layout), alone)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    layout=st.sampled_from(HAS_REFERENCES),
    scale=st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e6]),
    seed=st.integers(0, 2**16),
    where=st.tuples(*[st.integers(0, 11)] * 2),
)
def test_whatever_is_finite_becomes_pixels(
    name: str, layout: str, scale: float, seed: int, where: tuple[int, int]
) -> None:
    rows = LAYOUTS[layout]
    signals = random_signals(rows, num_recordings=2, seed=seed) * scale
    first, last = min(where), max(where)
    signals[0, first:last, : rows.skeleton.num_joints] = 0
    images = represent(signals, config(name), rows)
    assert torch.isfinite(images).all()
    assert 0 <= images.min() <= images.max() <= 255


@pytest.mark.parametrize(
    ("name", "expected"), [("swap_axes", 0), ("reindexed", 0), ("magnitude", 0), ("orientation", 255), ("tsrji", 0)]
)
def test_a_constant_recording_has_one_shade(name: str, expected: float) -> None:
    images = represent(torch.full((1, 12, 50, 3), 3.5), config(name), LAYOUTS["ntu"])
    assert (images == expected).all()


# Not `signals`, whose strips are laid out for two bodies: see test_curves.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "signals"])
def test_an_absent_second_body_leaves_the_first_as_it_is(name: str) -> None:
    layout = LAYOUTS["ntu"]
    signals = random_signals(layout, num_recordings=1)
    signals[:, :, 25:] = 0
    signals[:, :, 0] = 0  # as if centred: zero is among the first body's values, too
    both, one = (represent(signals, config(name, num_bodies=n), layout)[0] for n in (2, 1))
    height = {"tsrji": 98}.get(name, one.shape[1])  # of one body, the first reference's
    assert torch.equal(both[:, :height], one[:, :height])


def test_pictures_are_shown_as_they_are() -> None:
    signals = torch.randint(0, 256, (2, 12, 12, 3), generator=torch.Generator().manual_seed(0)).float()
    chosen = RepresentationConfig(name="image", steps=12)
    assert image_shape(chosen, PICTURES) == (3, 12, 12)
    images = represent(signals, chosen, PICTURES)
    np.testing.assert_array_equal(images.numpy(), naive_represent(signals.numpy(), chosen, PICTURES))
    resized = represent(signals, RepresentationConfig(name="image", steps=12, image_px=16), PICTURES)
    np.testing.assert_allclose(resized.numpy(), naive_resize(images.double().numpy(), 16), atol=1e-2)


@pytest.mark.parametrize(
    ("chosen", "layout", "message"),
    [
        (config("swap_axes"), PICTURES, "imported images: set representation.name=image and representation.steps=12"),
        (RepresentationConfig(name="image", steps=12), LAYOUTS["ntu"], "are signals: choose another one"),
        (RepresentationConfig(name="image", steps=64), PICTURES, r"set representation\.steps=12"),
        (config("tsrji"), LAYOUTS["inertial"], "sensors alone: choose another one"),
        (config("tsrji"), LAYOUTS["hand"], "the skeleton hand declares no reference joints"),
        (config("tsrji", {"reference": "tail"}), LAYOUTS["own"], "no such joint; take all, or one of wrist, elbow"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_remedy(
    chosen: RepresentationConfig, layout: Layout, message: str
) -> None:
    signals = torch.zeros(1, chosen.steps, layout.num_rows, 3)
    for refused in (
        lambda: check_representation(chosen, layout),
        lambda: image_shape(chosen, layout),
        lambda: represent(signals, chosen, layout),
    ):
        with pytest.raises(InputError, match=message) as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_signals_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"12 steps, 50 rows, 3\], not \[3, 11, 50, 3\]"):
        represent(random_signals(LAYOUTS["ntu"], steps=11), config("swap_axes"), LAYOUTS["ntu"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "magnitude", "steps": 8, "magnitude": {"temporal_distance": 8}},
            "less than `steps`, but it is 8 of 8",
        ),
        ({"name": "orientation", "orientation": {"temporal_distance_3": 2}}, "set the second one first"),
        ({"name": "tsrji", "tsrji": {"y_low": 2.0}}, "`y_low < y_high` must hold, but they are 2.0 and 2.0"),
        ({"name": "signals", "swap_axes": {}}, "set only the selected branch"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RepresentationConfig.model_validate(values)


def test_sizes_by_hand() -> None:
    two, fused = Layout(KINECT_V2, 2), LAYOUTS["fused"]
    assert image_shape(config("swap_axes"), two) == (3, 50, 12)
    assert image_shape(config("reindexed"), fused) == (3, 22, 12)
    assert image_shape(config("signals"), two) == (3, 128, 128)
    assert image_shape(config("magnitude"), two) == (3, 2 * 49, 100)
    assert image_shape(config("magnitude", {"columns": 64}), LAYOUTS["inertial"]) == (3, 2, 64)
    assert image_shape(config("orientation", {"temporal_distance_2": 8}, num_bodies=1), two) == (3, 2 * 49, 100)
    assert image_shape(config("tsrji"), two) == (3, 4 * 2 * 2 * 49, 12)
    assert image_shape(config("tsrji", {"reference": "left_shoulder"}), two) == (3, 2 * 2 * 49, 12)
    assert image_shape(config("tsrji"), fused) == (3, 4 * 2 * 39 + 2, 12)


def test_input_by_hand() -> None:
    assert to_input(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-2.0, 0.0, 2.0]
