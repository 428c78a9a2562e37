from __future__ import annotations

import pytest
import torch
from support.layouts import LAYOUTS

from sldml.config.representation import Magnitude, Orientation, RepresentationConfig
from sldml.embedding.images import represent
from sldml.embedding.images.motion import displacement, magnitude, orientation


def two_rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Two joints, nine steps. The first goes 0.3 along x and 0.4 along y with each step; the second stays."""
    signals = torch.zeros(1, 9, 2, 3)
    signals[0, :, 0, 0] = 0.3 * torch.arange(9)
    signals[0, :, 0, 1] = 0.4 * torch.arange(9)
    signals[0, :, 1] = 5.0
    return signals, torch.ones(1, 9, 2, dtype=torch.bool)


def test_displacement_by_hand() -> None:
    signals, present = two_rows()
    moved = displacement(signals, present, 3)
    torch.testing.assert_close(moved[0, :, 0, 0], torch.tensor([0.9] * 6 + [0.0] * 3))
    torch.testing.assert_close(moved[0, :, 0, 1], torch.tensor([1.2] * 6 + [0.0] * 3))
    assert moved[0, :, 1].abs().max() == 0


def test_magnitude_by_hand() -> None:
    signals, present = two_rows()
    options = Magnitude(temporal_distance=1, temporal_distance_2=2, temporal_distance_3=8, full_scale=2.0, columns=9)
    image = magnitude(signals, present, options, [1, 0])[0]
    assert image.shape == (3, 2, 9)
    assert image[:, 0].abs().max() == 0
    # Lengths 0.5, 1 and 4 of 2, and nothing where there is no later step.
    torch.testing.assert_close(image[0, 1], torch.tensor([63.75] * 8 + [0.0]))
    torch.testing.assert_close(image[1, 1], torch.tensor([127.5] * 7 + [0.0] * 2))
    torch.testing.assert_close(image[2, 1], torch.tensor([255.0] + [0.0] * 8))


@pytest.mark.parametrize(("second", "channels"), [(None, (0, 0, 0)), (2, (0, 1, 1))])
def test_the_last_distance_is_repeated_up_to_three_channels(second: int | None, channels: tuple[int, ...]) -> None:
    signals, present = two_rows()
    options = Magnitude(temporal_distance=1, temporal_distance_2=second, columns=9)
    image = magnitude(signals, present, options, [0])[0]
    by_distance = [
        magnitude(signals, present, Magnitude(temporal_distance=d, columns=9), [0])[0, 0] for d in (1, second or 1)
    ]
    for channel, which in enumerate(channels):
        assert torch.equal(image[channel], by_distance[which])


def test_magnitude_is_interpolated_between_steps() -> None:
    signals = torch.zeros(1, 9, 1, 3)
    signals[0, :, 0, 2] = torch.tensor([0.0, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    present = torch.ones(1, 9, 1, dtype=torch.bool)
    image = magnitude(signals, present, Magnitude(temporal_distance=1, columns=17), [0])[0, 0, 0]
    # Lengths 0.1, 0.2, 0, 0, …: a column on every step and one halfway.
    torch.testing.assert_close(image[:6] / 255, torch.tensor([0.1, 0.15, 0.2, 0.1, 0.0, 0.0]))


def directions() -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    """A displacement, and its atan2(y, x), atan2(y, z), atan2(z, x) in degrees."""
    return [
        ((1, 0, 0), (0, 0, 0)),
        ((-1, 0, 0), (180, 0, 180)),
        ((0, 1, 0), (90, 90, 0)),
        ((0, -1, 0), (-90, -90, 0)),
        ((0, 0, 1), (0, 0, 90)),
        ((1, 1, 0), (45, 90, 0)),
        ((0, 1, -1), (90, 135, -90)),
    ]


@pytest.mark.parametrize(("moved", "degrees"), directions())
def test_orientation_by_hand(moved: tuple[float, ...], degrees: tuple[float, ...]) -> None:
    signals = torch.zeros(1, 8, 1, 3)
    signals[0, 1:, 0] = torch.tensor(moved) / 2
    image = orientation(
        signals, torch.ones(1, 8, 1, dtype=torch.bool), Orientation(temporal_distance=1, columns=8), [0]
    )
    torch.testing.assert_close(image[0, :, 0, 0], (torch.tensor(degrees) + 180) / 360 * 255)
    assert (image[0, :, 0, 1:] == 255).all()  # still


def test_what_is_shorter_than_the_threshold_times_the_distance_is_still() -> None:
    signals = torch.zeros(1, 8, 1, 3)
    signals[0, :, 0, 0] = 0.01 * torch.arange(8)
    present = torch.ones(1, 8, 1, dtype=torch.bool)
    for distance in (1, 2, 3):
        for threshold, is_still in ((0.0099, False), (0.0101, True)):
            options = Orientation(temporal_distance=distance, still_threshold=threshold, columns=8)
            image = orientation(signals, present, options, [0])[0, :, 0, 0]
            assert image.tolist() == ([255.0] * 3 if is_still else [127.5] * 3)


def test_with_a_threshold_of_zero_only_what_does_not_move_is_still() -> None:
    signals = torch.zeros(1, 8, 1, 3)
    signals[0, 1:, 0, 0] = 1e-5
    options = Orientation(temporal_distance=1, still_threshold=0.0, columns=8)
    image = orientation(signals, torch.ones(1, 8, 1, dtype=torch.bool), options, [0])[0, 0, 0]
    assert image.tolist() == [127.5] + [255.0] * 7


def test_further_distances_stand_below() -> None:
    signals, present = two_rows()
    signals = signals + torch.randn(signals.shape, generator=torch.Generator().manual_seed(0))
    image = orientation(signals, present, Orientation(temporal_distance=1, temporal_distance_2=4), [0, 1, 0])
    assert image.shape == (1, 3, 6, 100)
    for i, distance in enumerate((1, 4)):
        alone = orientation(signals, present, Orientation(temporal_distance=distance), [0, 1, 0])
        assert torch.equal(image[:, :, 3 * i : 3 * i + 3], alone)


def test_no_direction_is_as_white_as_still() -> None:
    """All three channels near white means still, whatever the displacement."""
    signals = torch.zeros(20_000, 2, 1, 3)
    signals[:, 1, 0] = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0))
    options = Orientation(temporal_distance=1, still_threshold=0.0, columns=8)
    image = orientation(signals, torch.ones(20_000, 2, 1, dtype=torch.bool), options, [0])
    assert image[:, :, 0, 0].amin(dim=1).max() < 200


@pytest.mark.parametrize(("name", "nothing"), [("magnitude", 0.0), ("orientation", 255.0)])
def test_coming_and_going_is_no_motion(name: str, nothing: float) -> None:
    signals = torch.zeros(1, 8, 50, 3)
    signals[:, 2:5, 25:] = 3.0  # a second person stands there for a while
    config = RepresentationConfig.model_validate({"name": name, "steps": 8, name: {"temporal_distance": 1}})
    assert (represent(signals, config, LAYOUTS["ntu"]) == nothing).all()
