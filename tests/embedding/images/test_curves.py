from __future__ import annotations

import colorsys

import pytest
import torch

from sldml.config.representation import SignalCurves
from sldml.embedding.images.curves import _paint_compiled, _shades, paint_by_scatter, runs, signal_curves


def drawn(signals: torch.Tensor, present: torch.Tensor | None = None, **options: object) -> torch.Tensor:
    """Of one recording [T, rows, 3]: which pixels are not black, bool [H, W]."""
    there = torch.ones(signals.shape[:2], dtype=torch.bool) if present is None else present
    image = signal_curves(signals[None], there[None], SignalCurves.model_validate({"start_intensity": 1.0} | options))
    return image[0].amax(dim=0) > 0


def only_x(*values: float) -> torch.Tensor:
    """One row [T, 1, 3] with these values as x; y and z lie below and above them all."""
    signals = torch.zeros(len(values), 1, 3)
    signals[:, 0, 0] = torch.tensor(values)
    signals[:, 0, 1] = min(values)
    signals[:, 0, 2] = max(values)
    return signals


def test_a_curve_by_hand() -> None:
    """16 columns for 16 steps, 16 pixels for the range 0…16: value v lies at floor(16 - v), at most at 15."""
    signals = only_x(0, 1, 2, 3, 7, 7, 7, 16, 16, 0, 0, 0, 0, 0, 0, 0)
    image = signal_curves(
        signals[None], torch.ones(1, 16, 1, dtype=torch.bool), SignalCurves(height_px=16, width_px=16)
    )
    # y at the bottom and z at the top have other colours than x, which is red: only x has no green and no blue.
    is_x = (image[0, 0] > 0) & (image[0, 1] == 0) & (image[0, 2] == 0)
    found = [is_x[:, column].nonzero().flatten().tolist() for column in range(16)]
    # z (drawn last) covers row 0, y row 15.
    expected = [[], [], [14], [13], [9, 10, 11, 12], [9], [9], [*range(1, 9)], [], [*range(1, 15)], *[[]] * 6]
    assert found == expected


def test_a_steady_slope_has_one_pixel_in_each_column_and_is_connected() -> None:
    top, bottom = runs(
        torch.linspace(0, 1, 64).view(1, 64, 1, 1), torch.ones(1, 64, 1, dtype=torch.bool), SignalCurves()
    )
    assert torch.equal(top, bottom)
    assert (top[0, 0, 0, 1:] - top[0, 0, 0, :-1]).abs().max() <= 1


def test_runs_of_neighbouring_columns_touch_and_do_not_overlap() -> None:
    shares = torch.rand(4, 32, 5, 3, generator=torch.Generator().manual_seed(0))
    top, bottom = runs(shares, torch.ones(4, 32, 5, dtype=torch.bool), SignalCurves(height_px=100, width_px=80))
    assert (top <= bottom).all()
    before, after = (top[..., :-1], bottom[..., :-1]), (top[..., 1:], bottom[..., 1:])
    gap = torch.maximum(after[0] - before[1], before[0] - after[1])
    assert gap.max() <= 1


def test_strips_fill_the_image_and_overlap_as_told() -> None:
    """Three rows at the top of their range and three at the bottom: where the strips begin and end."""
    top_of_range, bottom_of_range = torch.ones(1, 8, 3, 3), torch.zeros(1, 8, 3, 3)
    there = torch.ones(1, 8, 3, dtype=torch.bool)
    for height, expected in ((1.0, ([0, 20, 40], [20, 40, 59])), (4.0, ([0, 10, 20], [40, 50, 59]))):
        options = SignalCurves(height_px=60, width_px=16, curve_height=height)
        found = [runs(shares, there, options)[0][0, :, 0, 0].tolist() for shares in (top_of_range, bottom_of_range)]
        assert found == list(expected)


def test_colours_by_hand() -> None:
    shades = _shades(2, 16, 0.5, torch.device("cpu"))
    assert shades.shape == (2, 3, 3, 16)
    assert shades[0, 0, :, -1].tolist() == [255.0, 0.0, 0.0]  # hue 0
    assert shades[0, 1, :, -1].tolist() == pytest.approx([0.0, 255.0, 0.0])  # hue 2/6
    assert shades[1, 2, :, -1].tolist() == pytest.approx([255 * part for part in colorsys.hsv_to_rgb(5 / 6, 1, 1)])
    torch.testing.assert_close(shades[0, 0, 0], torch.linspace(127.5, 255.0, 16))


def test_what_is_drawn_later_lies_on_top() -> None:
    image = signal_curves(
        torch.zeros(1, 8, 2, 3), torch.ones(1, 8, 2, dtype=torch.bool), SignalCurves(curve_height=100)
    )
    pixel = image[0, :, :, -1].T
    colors = {tuple(color) for color in pixel.round().int().tolist() if any(color)}
    # Constant: x, y and z of each row lie on one another, in the middle of its strip; the last one shows.
    assert colors == {tuple(round(255 * c) for c in colorsys.hsv_to_rgb((2 * 2 + row) / 6, 1, 1)) for row in range(2)}


def test_an_absent_body_is_not_drawn_and_does_not_scale() -> None:
    values = only_x(*range(5, 21))
    gone = values.clone()
    gone[4:8] = 0  # a zero would be the minimum
    present = torch.ones(16, 1, dtype=torch.bool)
    present[4:8] = False
    whole, gap = (drawn(v, p, height_px=32, width_px=16) for v, p in ((values, None), (gone, present)))
    assert not gap[:, 4:8].any()
    assert torch.equal(gap[:, :4], whole[:, :4])
    assert torch.equal(gap[:, 9:], whole[:, 9:])
    assert gap[:, 8].sum() == 3  # it begins anew, without a vertical line


def test_a_body_that_is_never_there_leaves_its_strip_empty() -> None:
    present = torch.tensor([[True, False]] * 8)
    picture = drawn(torch.rand(8, 2, 3), present, height_px=40, curve_height=1.0)
    assert picture[:20].any()
    assert not picture[21:].any()


def test_each_signal_can_have_its_own_range() -> None:
    signals = only_x(*range(16)).repeat(1, 2, 1)
    signals[:, 1] /= 1024  # exact, as any power of two
    both = drawn(signals, height_px=64, width_px=16, curve_height=1.0, value_range="signal")
    # A minimum lies on the border, in the first pixel of the next strip; of the last one there is no next.
    assert torch.equal(both[:32, 2:], both[32:, 2:])
    together = drawn(signals, height_px=64, width_px=16, curve_height=1.0)
    assert together[33:].any(dim=1).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scatter_and_compiled_loop_paint_the_same_picture(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    top = torch.randint(0, 40, (3, 7, 3, 50), generator=generator, dtype=torch.int16)
    bottom = (top + torch.randint(-2, 9, top.shape, generator=generator, dtype=torch.int16)).clamp(max=39)
    shades = _shades(7, 50, 0.1, torch.device("cpu")).to(dtype)
    scattered = paint_by_scatter(top, bottom, shades, 40)
    assert scattered.dtype == dtype
    assert torch.equal(scattered, _paint_compiled(top, bottom, shades, 40))
    assert 0.3 < (scattered.amax(dim=1) > 0).float().mean() < 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_picture() -> None:
    signals = torch.randn(8, 32, 20, 3, generator=torch.Generator().manual_seed(0)).cumsum(1)
    present = torch.ones(8, 32, 20, dtype=torch.bool)
    present[0, 5:9] = False
    on_cpu = signal_curves(signals, present, SignalCurves())
    assert torch.equal(signal_curves(signals.cuda(), present.cuda(), SignalCurves()).cpu(), on_cpu)
