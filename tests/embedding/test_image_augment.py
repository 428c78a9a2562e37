"""Random changes of images: each against what it is by hand, and drawn as often as promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sldml.config.representation import ImageAugment
from sldml.embedding.image_augment import (
    augment_images,
    from_corners,
    imported_images,
    random_transforms,
    rotation,
    warp,
)

ALL_ON = ImageAugment(
    rotation_deg=40, shear_deg=20, perspective=0.5, translate=0.2, scale=0.3, crop=0.3, flip=0.5
)  # fmt: skip
CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(shape, generator=generator(seed))


def transforms(config: ImageAugment, num_images: int = 1, size: tuple[int, int] = (8, 8), seed: int = 0) -> Tensor:
    return random_transforms(num_images, size, config, generator(seed), CPU)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """The first numbers that a part draws, from -1 to 1."""
    return 2 * torch.rand(shape, generator=generator(seed)) - 1


def test_columns_are_frames_and_rows_are_rows() -> None:
    signals = torch.arange(2 * 4 * 3 * 3.0).reshape(2, 4, 3, 3)
    images = imported_images(signals)
    assert images.shape == (2, 3, 3, 4)
    assert images[1, 2, 0, 3] == signals[1, 3, 0, 2]


def test_nothing_is_done_and_nothing_drawn_where_all_is_off() -> None:
    images, random = noise(2, 3, 5, 7), generator()
    before = random.get_state()
    assert augment_images(images, ImageAugment(), random) is images
    assert torch.equal(random.get_state(), before)


def test_a_certain_flip_mirrors_left_and_right() -> None:
    images = noise(3, 3, 4, 6)
    flipped = augment_images(images, ImageAugment(flip=1.0), generator())
    assert torch.allclose(flipped, images.flip(3), atol=1e-3)


def test_half_of_the_images_are_flipped_and_the_others_stay() -> None:
    images = noise(400, 1, 2, 4)
    flipped = augment_images(images, ImageAugment(flip=0.5), generator())
    same = (flipped - images).abs().amax(dim=(1, 2, 3)) < 1e-2
    mirrored = (flipped - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-2
    assert (same ^ mirrored).all()
    assert 160 < mirrored.sum() < 240


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_quarter_turns_are_those_of_numpy(quarters: int) -> None:
    images = noise(2, 3, 6, 6)
    turned = warp(images, rotation(torch.tensor([90.0 * quarters] * 2), (6, 6)))
    assert np.allclose(turned, np.rot90(images.numpy(), quarters, axes=(2, 3)), atol=1e-2)


def test_a_turn_of_an_oblong_image_keeps_square_pixels() -> None:
    images = noise(1, 1, 4, 10)
    turned = warp(images, rotation(torch.tensor([90.0]), (4, 10)))
    expected = np.zeros((4, 10), np.float32)
    expected[:, 3:7] = np.rot90(images[0, 0, :, 3:7].numpy())  # what is turned out of the image is lost
    assert np.allclose(turned[0, 0], expected, atol=1e-2)


def test_each_part_moves_places_as_it_says() -> None:
    """Where the place (x, y) of the new image is read in the old one, in halves of a side from the centre."""

    def read_at(config: ImageAugment, x: float, y: float, size: tuple[int, int] = (8, 8)) -> list[float]:
        place = transforms(config, size=size)[0] @ torch.tensor([x, y, 1.0])
        return (place[:2] / place[2]).tolist()

    first, pair = drawn(1).item(), drawn(1, 2)[0].tolist()
    # A shift by a share of the side is twice that share in halves of a side.
    assert read_at(ImageAugment(translate=0.25), 0.3, 0.1) == pytest.approx([0.3 - 0.5 * pair[0], 0.1 - 0.5 * pair[1]])
    assert read_at(ImageAugment(scale=0.5), 0.3, 0.1) == pytest.approx([v / (1 + 0.5 * first) for v in (0.3, 0.1)])
    slope = np.tan(np.deg2rad(30 * first))
    # An image twice as wide as high: a pixel down is 2 / 8, a pixel across 2 / 16.
    assert read_at(ImageAugment(shear_deg=30), 0.3, 0.1, (8, 16)) == pytest.approx([0.3 - slope * 0.1 / 2, 0.1])
    crop = ImageAugment(crop=0.5)
    random = torch.rand(3, generator=generator())
    cut = 0.5 * random[0].item()
    left, top = (cut * (2 * random[i].item() - 1) - (1 - cut) for i in (1, 2))
    assert read_at(crop, -1, -1) == pytest.approx([left, top])
    assert read_at(crop, 1, 1) == pytest.approx([left + 2 * (1 - cut), top + 2 * (1 - cut)])


def test_a_crop_stays_within_the_image_and_a_perspective_outside_of_nothing() -> None:
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    cropped = transforms(ImageAugment(crop=0.8), 500) @ corners.T
    assert cropped[:, :2].abs().max() <= 1 + 1e-6
    sides = cropped[:, 0, 1] - cropped[:, 0, 0]
    assert 0.4 - 1e-5 <= sides.min() < 0.45
    assert 1.95 < sides.max() <= 2
    tilted = transforms(ImageAugment(perspective=0.6), 500)
    assert (tilted @ torch.tensor([0.0, 0.0, 1.0]))[:, 2].min() > 0


def test_a_perspective_takes_corners_to_corners() -> None:
    corners = torch.tensor([[[-0.5, -1.0], [0.75, -0.5], [1.0, 1.0], [-0.75, 0.5]]])
    transform = from_corners(corners)[0]
    for corner, (x, y) in zip(corners[0], [(-1, -1), (1, -1), (1, 1), (-1, 1)], strict=True):
        place = transform @ torch.cat([corner, torch.ones(1)])
        assert (place[:2] / place[2]).tolist() == pytest.approx([x, y], abs=1e-5)


def test_what_lies_beyond_the_horizon_is_black() -> None:
    # The right third of the new image would be read from behind the viewer.
    transform = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-3.0, 0.0, 1.0]]])
    seen = warp(torch.full((1, 1, 6, 6), 100.0), transform)
    assert (seen[..., 4:] == 0).all()
    assert torch.allclose(seen[..., 1:5, 0], torch.tensor(100.0))


def test_one_generator_makes_one_picture() -> None:
    images = noise(4, 3, 8, 8)
    first = augment_images(images, ALL_ON, generator(3))
    assert torch.equal(first, augment_images(images, ALL_ON, generator(3)))
    assert not torch.equal(first, augment_images(images, ALL_ON, generator(4)))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        assert torch.equal(first, augment_images(images, ALL_ON))


def test_how_much_is_drawn_depends_on_the_batch_and_on_what_is_on_alone() -> None:
    states = []
    for height, seed in ((8, 1), (31, 2)):
        random = generator()
        augment_images(noise(4, 3, height, 8, seed=seed), ALL_ON, random)
        states.append(random.get_state())
    assert torch.equal(*states)


def test_each_image_is_changed_by_its_own_amounts_and_none_in_place() -> None:
    images = noise(1, 3, 8, 8).repeat(4, 1, 1, 1)
    before = images.clone()
    changed = augment_images(images, ALL_ON, generator())
    assert torch.equal(images, before)
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 4


def test_values_stay_within_a_picture() -> None:
    changed = augment_images(noise(64, 3, 16, 24), ALL_ON, generator())
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 255 + 1e-3
    assert torch.isfinite(changed).all()
