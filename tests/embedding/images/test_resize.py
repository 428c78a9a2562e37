import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from sldml.embedding.images.resize import resize


def reference(images: Tensor, side: int) -> Tensor:
    """By the definition: triangles about the pixels' centres, twice as wide as a pixel of the coarser grid."""
    rows, columns = (_weights(length, side) for length in images.shape[2:])
    return (rows @ images.double() @ columns.T).float()


def _weights(before: int, after: int) -> Tensor:
    ratio = before / after
    pixels_apart = (torch.arange(before) + 0.5) - (torch.arange(after).unsqueeze(1) + 0.5) * ratio
    weights = (1 - pixels_apart.double().abs() / max(ratio, 1.0)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    side=st.integers(16, 80),
    channels=st.integers(1, 4),
    order=st.permutations([0, 1, 2, 3]),
)
def test_resize_is_bilinear_with_antialiasing_whatever_the_order_in_memory(
    height: int, width: int, side: int, channels: int, order: list[int]
) -> None:
    images = pixels(2, channels, height, width)
    back = [order.index(dim) for dim in range(4)]
    shuffled = images.permute(order).contiguous().permute(back)
    found = resize(shuffled, side)
    assert found.shape == (2, channels, side, side)
    torch.testing.assert_close(found, reference(images, side), atol=4e-3, rtol=0)  # torch shrinks to about 2e-3


@pytest.mark.parametrize(("height", "width"), [(20, 64), (50, 64), (64, 64), (412, 100), (22, 512), (256, 256)])
@pytest.mark.parametrize("side", [64, 256])
def test_the_sizes_that_searches_use_are_resized_as_torch_does(height: int, width: int, side: int) -> None:
    images = pixels(3, 3, height, width)
    before = images.clone()
    found = resize(images, side)
    torchs = functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    torch.testing.assert_close(found, torchs, atol=1e-3, rtol=0)
    assert torch.equal(images, before)


def test_growing_by_hand() -> None:
    # Centres of four pixels in a line of two: -1/4, 1/4, 3/4, 5/4 of the way from the first to the second.
    line = torch.tensor([[0.0, 8.0]])
    expected = torch.tensor([0.0, 2.0, 6.0, 8.0])
    assert torch.equal(resize(line.expand(1, 1, 2, 2), 4)[0, 0, 2], expected)
    assert torch.equal(resize(line.T.expand(1, 1, 2, 2), 4)[0, 0, :, 1], expected)


def test_shrinking_by_hand() -> None:
    # Four pixels become two: a triangle two pixels wide to either side of 1 and 3, so 3/8 3/8 1/8 of 3/4 … at the rim.
    line = torch.tensor([0.0, 7.0, 14.0, 21.0])
    found = resize(line.expand(1, 1, 4, 4), 2)[0, 0]
    weights = torch.tensor([0.75, 0.75, 0.25, 0.0])
    left = (weights * line).sum() / weights.sum()
    torch.testing.assert_close(found, torch.stack((left, 21 - left)).expand(2, 2))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    images = pixels(2, 3, 32, 32)
    assert resize(images, 32) is images


def test_what_is_kept_under_inference_serves_training_too() -> None:
    images = pixels(2, 3, 17, 19)
    with torch.inference_mode():
        inferred = resize(images, 41)
    images.requires_grad_()
    resized = resize(images, 41)
    assert torch.equal(resized.detach(), inferred)
    resized.sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad.sum(), torch.tensor(2.0 * 3 * 41 * 41))
