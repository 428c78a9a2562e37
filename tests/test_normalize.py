import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sldml.config import NormalizeConfig
from sldml.normalize import main_root, normalize, present_bodies, split_bodies, turn_about_y
from sldml.signals import KINECT_V2, SKELETONS, Layout

KINECT = SKELETONS["kinect_v2"]
TWO_BODIES = Layout(KINECT_V2, 2, {"acceleration": 8.0, "rotation": 1000.0})
SENSORS_ONLY = Layout(None, 0, {"acceleration": 8.0, "rotation": 1000.0})
OFF = {"center": "none", "scale": "none", "view": "as_recorded"}
EVERYTHING = [
    NormalizeConfig(center=center, scale=scale, view=view)
    for center in ("none", "first_frame", "every_frame")
    for scale in ("none", "torso")
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
    after = normalize(signals, config(center="every_frame", scale="torso", view="face_camera"), layout)
    assert torch.equal(after[:, :, -2], signals[:, :, -2] / 8.0)
    assert torch.equal(after[:, :, -1], signals[:, :, -1] / 1000.0)
    unscaled = normalize(signals, config(center="every_frame"), layout)
    assert torch.equal(unscaled[:, :, -2:], signals[:, :, -2:])


@pytest.mark.parametrize("center", ["none", "first_frame", "every_frame"])
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


@given(turn_deg=st.floats(-180, 180), size=st.floats(0.2, 5), x=st.floats(-3, 3), z=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_everything_on_takes_out_place_size_and_view(turn_deg: float, size: float, x: float, z: float) -> None:
    layout = Layout(KINECT_V2, 2)
    signals = random_signals(layout)
    turn = torch.full((3,), math.radians(turn_deg))
    moved = turn_about_y(signals, turn.cos(), turn.sin()) * size + torch.tensor([x, 0.5, z])
    changes = config(center="every_frame", scale="torso", view="face_camera")
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
