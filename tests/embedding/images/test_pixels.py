"""From values to pixels, by hand."""

from __future__ import annotations

import torch

from sldml.embedding.images.pixels import stretch, to_pixels


def test_by_a_fixed_range_zero_is_the_middle_and_what_is_beyond_is_clipped() -> None:
    values = torch.tensor([[-2.0, -1.0, 0.0, 0.5, 1.0, 7.0]])
    pixels = to_pixels(values, "fixed", half_range=1.0)
    assert pixels.tolist() == [[0.0, 0.0, 127.5, 191.25, 255.0, 255.0]]


def test_by_its_own_range_each_recording_is_stretched_alone_and_a_constant_one_is_black() -> None:
    values = torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[-10.0, 10.0], [0.0, 10.0]], [[4.0, 4.0], [4.0, 4.0]]])
    expected = [[[0.0, 63.75], [127.5, 255.0]], [[0.0, 255.0], [127.5, 255.0]], [[0.0, 0.0], [0.0, 0.0]]]
    assert to_pixels(values, "recording", half_range=1.0).tolist() == expected
    assert stretch(values).tolist() == expected


def test_pixels_are_contiguous_and_the_values_stay_as_they_were() -> None:
    values = torch.arange(12.0).reshape(1, 3, 4).transpose(1, 2)
    before = values.clone()
    for pixels in (stretch(values), to_pixels(values, "fixed", half_range=12.0)):
        assert pixels.is_contiguous()
        assert pixels.shape == (1, 4, 3)
    assert torch.equal(values, before)
