from __future__ import annotations

import torch

from sldml.config.representation import Reindexed, SwapAxes
from sldml.embedding.images.swap_axes import reindexed, swap_axes


def test_swap_axes_by_hand() -> None:
    signals = torch.zeros(1, 8, 2, 3)
    signals[0, 3, 1] = torch.tensor([1.0, -1.0, 0.5])
    image = swap_axes(signals, SwapAxes())[0]
    # The range is -1…1: nothing is 127.5; the lower row's fourth step shows x, y, z as red, green, blue.
    assert image[:, 0, 0].tolist() == [127.5, 127.5, 127.5]
    assert image[:, 1, 3].tolist() == [255.0, 0.0, 191.25]
    assert image[:, 1, 4].tolist() == [127.5, 127.5, 127.5]
    fixed = swap_axes(signals, SwapAxes(value_range="fixed", half_range=0.5))[0]
    assert fixed[:, 1, 3].tolist() == [255.0, 0.0, 255.0]


def test_reindexed_by_hand() -> None:
    """Two joints, six steps: two pixels of x, two of y, two of z, each with three successive steps."""
    x, y, z = torch.arange(0.0, 6), torch.arange(10.0, 16), torch.arange(20.0, 26)
    signals = torch.stack((torch.stack((x, y, z), dim=1), torch.stack((x, y, z), dim=1) + 30), dim=1)[None]
    image = reindexed(signals, Reindexed(value_range="fixed", half_range=127.5))[0] - 127.5  # as they were
    expected = [[0, 1, 2], [3, 4, 5], [10, 11, 12], [13, 14, 15], [20, 21, 22], [23, 24, 25]]
    torch.testing.assert_close(image[:, 0].T, torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=0)
    torch.testing.assert_close(image[:, 1].T, torch.tensor(expected, dtype=torch.float32) + 30, atol=1e-4, rtol=0)


def test_reindexed_steps_that_are_no_multiple_of_three_share_a_pixel() -> None:
    signals = torch.tensor([[0.0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]])[
        None, :, None
    ]  # x counts on, then y, then z
    image = reindexed(signals, Reindexed())[0, :, 0] * 11 / 255
    torch.testing.assert_close(image.T, torch.tensor([[0.0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]))
