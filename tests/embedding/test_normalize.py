import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sldml.config.representation import NormalizeConfig
from sldml.embedding.normalize import main_root, normalize, present_bodies, split_bodies, turn_about_y
from sldml.errors import InputError
from sldml.recordings import HAND, KINECT_V2, SKELETONS, Layout

KINECT = SKELETONS["kinect_v2"]
TWO_BODIES = Layout(KINECT_V2, 2, {"acceleration": 8.0, "rotation": 1000.0})
SENSORS_ONLY = Layout(None, 0, {"acceleration": 8.0, "rotation": 1000.0})
OFF = {"center": "none", "scale": "none", "view": "as_recorded", "sensors": "none"}
EVERYTHING = [
    NormalizeConfig(center=center, scale=scale, view=view, sensors=sensors)
    for center in ("none", "first_frame", "every_frame", "mean")
    for scale, sensors in zip(
        ("none", "torso", "extent", "per_axis"), ("none", "full_scale", "per_sensor", "per_axis"), strict=True
    )
    for view in ("as_recorded", "face_camera")
]


def config(**changes: str) -> NormalizeConfig:
    return NormalizeConfig.model_validate(OFF | changes)


def random_signals(layout: Layout = TWO_BODIES, frames: int = 9, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, frames, layout.num_rows, 3, generator=generator) + torch.tensor([0.3, 0.1, 3.0])


def bodies_of(signals: Tensor) -> Tensor:
    return split_bodies(signals, TWO_BODIES)


def test_center_every_frame_puts_the_main_root_at_the_origin_and_keeps_the_way_to_the_other_body() -> None:
    signals = random_signals()
    before, after = bodies_of(signals), bodies_of(normalize(signals, config(center="every_frame"), TWO_BODIES))
    assert after[:, :, 0, KINECT.root].abs().max() == 0
    between = before[:, :, 1] - before[:, :, 0, KINECT.root].unsqueeze(2)
    torch.testing.assert_close(after[:, :, 1], between)


def test_center_first_frame_subtracts_one_point_from_the_whole_recording() -> None:
    signals = random_signals()
    before = bodies_of(signals)
    after = bodies_of(normalize(signals, config(center="first_frame"), TWO_BODIES))
    root = before[:, 0, 0, KINECT.root]
    torch.testing.assert_close(after, before - root[:, None, None, None])


@pytest.mark.parametrize("changes", EVERYTHING)
def test_absent_bodies_stay_zero_and_present_ones_do_not_vanish(changes: NormalizeConfig) -> None:
    signals = random_signals()
    bodies = bodies_of(signals)  # a view: zeroing it zeroes the signals
    bodies[0, :, 1] = 0
    bodies[1, 2:5, 0] = 0
    bodies[2, 0, 0] = 0
    absent = ~present_bodies(bodies)
    assert absent.sum() == 9 + 3 + 1
    after = normalize(signals, changes, TWO_BODIES)
    assert torch.isfinite(after).all()
    assert torch.equal(~present_bodies(bodies_of(after)), absent)


def test_while_the_main_actor_is_absent_its_root_is_where_it_was_last_seen() -> None:
    signals = random_signals(frames=6)
    bodies = bodies_of(signals)
    bodies[:, 0, 0] = 0
    bodies[:, 3:5, 0] = 0
    root = main_root(bodies, present_bodies(bodies), KINECT)
    for frame, seen in enumerate([1, 1, 2, 2, 2, 5]):
        assert torch.equal(root[:, frame], bodies[:, seen, 0, KINECT.root])


def test_a_recording_without_the_main_actor_is_neither_moved_nor_scaled() -> None:
    signals = random_signals()
    bodies_of(signals)[:, :, 0] = 0
    changes = config(center="every_frame", scale="torso", view="face_camera")
    after = normalize(signals, changes, TWO_BODIES)
    assert torch.equal(bodies_of(after), bodies_of(signals))


def test_scale_divides_by_the_mean_torso_over_present_frames() -> None:
    signals = torch.zeros(1, 3, TWO_BODIES.num_rows, 3)
    bodies = bodies_of(signals)
    lower, upper = KINECT.scale_joints
    # Torsos of 0.4 and 0.6 m, the actor absent in the last frame: the mean is 0.5 m, not 1 / 3 m.
    bodies[0, :2, 0, lower] = torch.tensor([1.0, 1.0, 1.0])
    bodies[0, 0, 0, upper] = torch.tensor([1.0, 1.4, 1.0])
    bodies[0, 1, 0, upper] = torch.tensor([1.0, 1.0, 1.6])
    bodies[0, :, 1, 3] = torch.tensor([0.1, 0.2, 0.3])
    after = bodies_of(normalize(signals, config(scale="torso"), TWO_BODIES))
    torch.testing.assert_close(after, bodies / 0.5)


def test_a_torso_without_length_leaves_the_recording_unscaled() -> None:
    signals = random_signals()
    lower, upper = KINECT.scale_joints
    bodies = bodies_of(signals)
    bodies[0, :, 0, upper] = bodies[0, :, 0, lower]
    after = bodies_of(normalize(signals, config(scale="torso"), TWO_BODIES))
    assert torch.equal(after[0], bodies[0])
    assert not torch.allclose(after[1], bodies[1])


@pytest.mark.parametrize("layout", [TWO_BODIES, SENSORS_ONLY])
def test_sensors_are_divided_by_their_full_scale_and_by_nothing_else(layout: Layout) -> None:
    signals = random_signals(layout)
    everything = config(center="every_frame", scale="torso", view="face_camera", sensors="full_scale")
    after = normalize(signals, everything, layout)
    assert torch.equal(after[:, :, -2], signals[:, :, -2] / 8.0)
    assert torch.equal(after[:, :, -1], signals[:, :, -1] / 1000.0)
    unscaled = normalize(signals, config(center="every_frame", scale="per_axis"), layout)
    assert torch.equal(unscaled[:, :, -2:], signals[:, :, -2:])


def two_sensors() -> Tensor:
    """Four frames: an acceleration with gravity along y, and a rotation about z alone."""
    signals = torch.zeros(1, 4, 2, 3)
    signals[0, :, 0, 0] = torch.tensor([-2.0, 2.0, -2.0, 2.0])  # variance 4
    signals[0, :, 0, 1] = torch.tensor([9.0, 9.0, 11.0, 11.0])  # mean 10, variance 1
    signals[0, :, 0, 2] = torch.tensor([1.0, 3.0, 3.0, 1.0])  # mean 2, variance 1
    signals[0, :, 1, 2] = torch.tensor([0.0, 0.0, 0.0, 600.0])  # mean 150, variance (3 * 150² + 450²) / 4 = 67500
    return signals


def test_per_sensor_divides_by_the_standard_deviation_of_all_axes_and_keeps_the_mean() -> None:
    after = normalize(two_sensors(), config(sensors="per_sensor"), SENSORS_ONLY)
    torch.testing.assert_close(after[0, :, 0], two_sensors()[0, :, 0] / math.sqrt((4 + 1 + 1) / 3))
    torch.testing.assert_close(after[0, :, 1], two_sensors()[0, :, 1] / math.sqrt(67_500 / 3))


def test_per_axis_makes_each_axis_of_a_sensor_mean_0_and_deviation_1() -> None:
    after = normalize(two_sensors(), config(sensors="per_axis"), SENSORS_ONLY)[0]
    torch.testing.assert_close(after[:, 0, 0], torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    torch.testing.assert_close(after[:, 0, 1], torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    torch.testing.assert_close(after[:, 0, 2], torch.tensor([-1.0, 1.0, 1.0, -1.0]))
    torch.testing.assert_close(after[:, 1, 2], torch.tensor([-1.0, -1.0, -1.0, 3.0]) / math.sqrt(3))
    assert torch.equal(after[:, 1, :2], torch.zeros(4, 2))


@pytest.mark.parametrize("how", ["per_sensor", "per_axis"])
def test_a_sensor_that_shows_one_value_is_not_blown_up(how: str) -> None:
    signals = torch.full((1, 77, 2, 3), 9.80665)
    after = normalize(signals, config(sensors=how), SENSORS_ONLY)
    expected = signals if how == "per_sensor" else torch.zeros_like(signals)
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=0)


def one_body() -> Tensor:
    """Two frames of a main actor in which two joints lie off the origin, a third frame without it, and a companion."""
    signals = torch.zeros(1, 3, TWO_BODIES.num_rows, 3)
    bodies = bodies_of(signals)
    bodies[0, :2, 0, 1] = torch.tensor([50.0, 0.0, 0.0])
    bodies[0, 0, 0, 2] = torch.tensor([0.0, 25.0, -100.0])
    bodies[0, 1, 0, 2] = torch.tensor([0.0, -25.0, -100.0])
    bodies[0, :, 1, 4] = torch.tensor([7.0, 8.0, 9.0])
    return signals


def test_center_mean_subtracts_the_mean_of_all_joints_and_present_frames() -> None:
    after = bodies_of(normalize(one_body(), config(center="mean"), TWO_BODIES))
    # Over 2 frames * 25 joints: x 100 / 50, y 0, z -200 / 50.
    mean = torch.tensor([2.0, 0.0, -4.0])
    torch.testing.assert_close(after[0, :2], bodies_of(one_body())[0, :2] - mean)
    torch.testing.assert_close(after[0, 2, 1], bodies_of(one_body())[0, 2, 1] - mean)
    assert not after[0, 2, 0].any()
    torch.testing.assert_close(after[0, :2, 0].mean(dim=(0, 1)), torch.zeros(3), atol=1e-5, rtol=0)


# Over 2 frames * 25 joints: x twice 50 with mean 2, y 25 and -25 with mean 0, z twice -100 with mean -4.
VARIANCES = torch.tensor([2 * 50**2 / 50 - 2**2, 2 * 25**2 / 50, 2 * 100**2 / 50 - 4**2])


@pytest.mark.parametrize("center", ["none", "mean"])
def test_scale_per_axis_divides_each_axis_by_its_standard_deviation_about_the_mean(center: str) -> None:
    centred = bodies_of(normalize(one_body(), config(center=center), TWO_BODIES))
    after = bodies_of(normalize(one_body(), config(center=center, scale="per_axis"), TWO_BODIES))
    torch.testing.assert_close(after, centred / VARIANCES.sqrt())


@pytest.mark.parametrize("center", ["none", "mean"])
def test_scale_extent_divides_by_the_standard_deviation_of_all_axes(center: str) -> None:
    centred = bodies_of(normalize(one_body(), config(center=center), TWO_BODIES))
    after = bodies_of(normalize(one_body(), config(center=center, scale="extent"), TWO_BODIES))
    torch.testing.assert_close(after, centred / VARIANCES.mean().sqrt())


@pytest.mark.parametrize("scale", ["extent", "per_axis"])
def test_a_body_without_extent_is_left_unscaled(scale: str) -> None:
    signals = torch.full((1, 41, TWO_BODIES.num_rows, 3), 3.3333)
    bodies_of(signals)[:, :, 1] = 0
    after = normalize(signals, config(scale=scale), TWO_BODIES)
    assert torch.equal(after, signals)


def test_what_a_skeleton_does_not_say_is_refused_with_what_to_do() -> None:
    hand = Layout(HAND, 1)
    signals = random_signals(hand)
    with pytest.raises(InputError, match=r"normalize.scale torso: the skeleton hand .* extent"):
        normalize(signals, config(scale="torso"), hand)
    with pytest.raises(InputError, match=r"normalize.view face_camera: the skeleton hand .*as_recorded"):
        normalize(signals, config(view="face_camera"), hand)
    with pytest.raises(InputError, match=r"a single joint .* normalize.center=first_frame"):
        normalize(signals, config(center="every_frame"), hand)


def test_a_single_point_can_be_centred_and_scaled() -> None:
    signals = torch.tensor([[1.0, 5, 2], [3.0, 5, 2], [1.0, 5, 2], [3.0, 5, 2]]).view(1, 4, 1, 3)
    after = normalize(signals, config(center="first_frame", scale="extent"), Layout(HAND, 1))
    expected = torch.tensor([0.0, 2, 0, 2]) / math.sqrt(1 / 3)
    torch.testing.assert_close(after[0, :, 0, 0], expected)
    assert not after[..., 1:].any()


def test_pictures_are_left_as_they_are() -> None:
    layout = Layout(None, 0, {}, image_rows=5)
    pictures = random_signals(layout)
    for changes in EVERYTHING:
        assert normalize(pictures, changes, layout) is pictures


@pytest.mark.parametrize("center", ["none", "first_frame", "every_frame", "mean"])
def test_facing_the_camera_points_the_mean_shoulder_line_along_x(center: str) -> None:
    signals = random_signals()
    bodies_of(signals)[1, 4:, 0] = 0
    after = bodies_of(normalize(signals, config(center=center, view="face_camera"), TWO_BODIES))
    line = after[:, :, 0, KINECT.view_joints[1]] - after[:, :, 0, KINECT.view_joints[0]]
    mean = line.mean(dim=1)
    assert (mean[:, 0] > 0).all()
    torch.testing.assert_close(mean[:, 2], torch.zeros(3), atol=1e-5, rtol=0)


def test_facing_the_camera_keeps_heights_and_distances_and_the_first_root() -> None:
    signals = random_signals()
    before = bodies_of(signals)
    after = bodies_of(normalize(signals, config(view="face_camera"), TWO_BODIES))
    torch.testing.assert_close(after[..., 1], before[..., 1])
    torch.testing.assert_close(after[:, 0, 0, KINECT.root], before[:, 0, 0, KINECT.root])
    torch.testing.assert_close(_distances(after), _distances(before), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(after, before, atol=0.1)


def _distances(bodies: Tensor) -> Tensor:
    points = bodies.flatten(1, 3)
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


def test_an_upright_shoulder_line_leaves_the_view_alone() -> None:
    signals = random_signals()
    bodies = bodies_of(signals)
    bodies[:, :, 0, KINECT.view_joints[1]] = bodies[:, :, 0, KINECT.view_joints[0]] + torch.tensor([0, 0.3, 0])
    after = normalize(signals, config(view="face_camera"), TWO_BODIES)
    torch.testing.assert_close(after, signals, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", ["torso", "extent"])
@given(turn_deg=st.floats(-180, 180), size=st.floats(0.2, 5), x=st.floats(-3, 3), z=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_everything_on_takes_out_place_size_and_view(
    scale: Literal["torso", "extent"], turn_deg: float, size: float, x: float, z: float
) -> None:
    layout = Layout(KINECT_V2, 2)
    signals = random_signals(layout)
    turn = torch.full((3,), math.radians(turn_deg))
    moved = turn_about_y(signals, turn.cos(), turn.sin()) * size + torch.tensor([x, 0.5, z])
    changes = config(center="every_frame", scale=scale, view="face_camera")
    expected = normalize(signals, changes, layout)
    torch.testing.assert_close(normalize(moved, changes, layout), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("changes", EVERYTHING)
def test_the_input_is_not_modified_and_recordings_do_not_mix(changes: NormalizeConfig) -> None:
    signals = random_signals()
    copy = signals.clone()
    after = normalize(signals, changes, TWO_BODIES)
    assert torch.equal(signals, copy)
    assert after.dtype == torch.float32
    alone = torch.cat([normalize(recording.unsqueeze(0), changes, TWO_BODIES) for recording in signals])
    torch.testing.assert_close(after, alone)


def test_turn_about_y_by_hand() -> None:
    point = torch.tensor([[[1.0, 5.0, 0.0]]])
    # A quarter turn, in the sense that takes z to x, takes x to -z.
    turned = turn_about_y(point, torch.tensor([0.0]), torch.tensor([1.0]))
    torch.testing.assert_close(turned, torch.tensor([[[0.0, 5.0, -1.0]]]))


def test_signals_with_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"52 rows, 3\], not \[3, 9, 50, 3\]"):
        normalize(random_signals()[:, :, :50], NormalizeConfig(), TWO_BODIES)
