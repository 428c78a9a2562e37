import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sldml.config import RepresentationConfig
from sldml.images import image_shape, represent, to_input
from sldml.signals import KINECT_V2, Layout

LAYOUT = Layout(None, 0, {f"sensor{row}": 1.0 for row in range(5)})
NAMES = RepresentationConfig.names()


def config(**changes: object) -> RepresentationConfig:
    return RepresentationConfig.model_validate({"name": "swap_axes", "steps": 8} | changes)


def random_signals(num_recordings: int = 4, steps: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(num_recordings, steps, LAYOUT.num_rows, 3, generator=generator) + 1


def naive_swap_axes(signals: NDArray[np.float32], half_range: float | None) -> NDArray[np.float64]:
    """One pixel after the other, as the paper says it."""
    num_recordings, frames, rows, _ = signals.shape
    images = np.zeros((num_recordings, 3, rows, frames))
    for recording in range(num_recordings):
        values = signals[recording].astype(np.float64)
        low, high = (values.min(), values.max()) if half_range is None else (-half_range, half_range)
        for row in range(rows):
            for frame in range(frames):
                for axis in range(3):
                    value = min(max(values[frame, row, axis], low), high)
                    share = (value - low) / (high - low) if high > low else 0.0
                    images[recording, axis, row, frame] = 255 * share
    return images


def naive_resize(images: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Bilinear with antialiasing: a triangle as wide as a source or a target pixel, the wider of the two."""
    for axis in (2, 3):
        size = images.shape[axis]
        ratio = size / side
        width = max(ratio, 1.0)
        resized = []
        for pixel in range(side):
            center = (pixel + 0.5) * ratio
            weights = np.maximum(0, 1 - np.abs(np.arange(size) + 0.5 - center) / width)
            resized.append(np.tensordot(images, weights / weights.sum(), axes=(axis, 0)))
        images = np.stack(resized, axis=axis)
    return images


@pytest.mark.parametrize(
    ("options", "half_range"),
    [
        ({"value_range": "recording"}, None),
        ({"value_range": "fixed"}, 2.5),
        ({"value_range": "fixed", "half_range": 100.0}, 100.0),
    ],
)
@pytest.mark.parametrize("image_px", [None, 16])
def test_swap_axes_equals_the_naive_reference(
    options: dict[str, object], half_range: float | None, image_px: int | None
) -> None:
    signals = random_signals()
    signals[2] = 0.7  # a constant recording
    copy = signals.clone()
    expected = naive_swap_axes(signals.numpy(), half_range)
    if image_px is not None:
        expected = naive_resize(expected, image_px)
    images = represent(signals, config(swap_axes=options, image_px=image_px), LAYOUT)
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-3)
    assert torch.equal(signals, copy)


def test_making_images_smaller_is_antialiased() -> None:
    signals = random_signals(steps=64)
    images = represent(signals, config(steps=64, image_px=16), LAYOUT)
    expected = naive_resize(naive_swap_axes(signals.numpy(), None), 16)
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-3)


def test_swap_axes_by_hand() -> None:
    layout = Layout(None, 0, {"upper": 1.0, "lower": 1.0})
    signals = torch.zeros(1, 8, 2, 3)
    signals[0, 3, 1] = torch.tensor([1.0, -1.0, 0.5])
    image = represent(signals, config(), layout)[0]
    # The range is -1…1: nothing is 127.5; the lower row's fourth step shows x, y, z as red, green, blue.
    assert image[:, 0, 0].tolist() == [127.5, 127.5, 127.5]
    assert image[:, 1, 3].tolist() == [255.0, 0.0, 191.25]
    assert image[:, 1, 4].tolist() == [127.5, 127.5, 127.5]
    fixed = represent(signals, config(swap_axes={"value_range": "fixed", "half_range": 0.5}), layout)[0]
    assert fixed[:, 1, 3].tolist() == [255.0, 0.0, 255.0]


def test_a_constant_recording_is_black() -> None:
    assert represent(torch.full((1, 8, 5, 3), 3.5), config(), LAYOUT).abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("image_px", [None, 32])
def test_every_representation_has_the_shape_it_says(name: str, image_px: int | None) -> None:
    for layout in (LAYOUT, Layout(KINECT_V2, 2)):
        chosen = RepresentationConfig.model_validate({"name": name, "steps": 20, "image_px": image_px})
        images = represent(torch.randn(2, 20, layout.num_rows, 3), chosen, layout)
        assert images.shape == (2, *image_shape(chosen, layout))
        assert images.min() >= 0
        assert images.max() <= 255


@pytest.mark.parametrize("name", NAMES)
def test_recordings_do_not_mix(name: str) -> None:
    signals = random_signals()
    chosen = RepresentationConfig.model_validate({"name": name, "steps": 8, "image_px": 16})
    alone = torch.cat([represent(recording.unsqueeze(0), chosen, LAYOUT) for recording in signals])
    torch.testing.assert_close(represent(signals, chosen, LAYOUT), alone)


def test_input_by_hand() -> None:
    assert to_input(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-2.0, 0.0, 2.0]


def test_signals_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8 steps, 5 rows, 3\], not \[4, 7, 5, 3\]"):
        represent(random_signals()[:, :7], config(), LAYOUT)


def test_only_the_first_bodies_and_all_sensors_are_drawn():
    layout = Layout(KINECT_V2, 2, {"acceleration": 8.0})
    config = RepresentationConfig(steps=8, num_bodies=1, swap_axes={"value_range": "fixed", "half_range": 100.0})
    signals = torch.arange(51, dtype=torch.float32).view(1, 1, 51, 1).expand(1, 8, 51, 3)
    images = represent(signals, config, layout)
    rows = images[0, 0, :, 0] / 255 * 200 - 100
    assert image_shape(config, layout) == (3, 26, 8) == tuple(images.shape[1:])
    assert rows.round().tolist() == [*range(25), 50]
