"""Signals as curves (Gimme Signals, Memmesheimer et al. 2020, https://arxiv.org/abs/2003.06156; SL-DML).

The published images were drawn by matplotlib, one at a time. Here a curve is exactly one pixel wide, without
smoothing, so that a whole batch is drawn at once: tensor operations compute which run of pixels each curve has in each
column, and the runs are painted by a compiled loop on a CPU, by a scatter on a GPU. Both give the same image.
"""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sldml.config.representation import SignalCurves
from sldml.embedding.images.rows import column_positions


def signal_curves(signals: Tensor, present: Tensor, options: SignalCurves) -> Tensor:
    """Draw each row's x, y and z as a curve over time, on black; later curves cover earlier ones.

    The strip of row r of R begins at pixel r × s from the top and is c × s high, c being `curve_height` and
    s = height / (R - 1 + c), so that the strips fill the image. A value's share v of the range (0 to 1) lies at
    (1 - v) c s below the strip's top, rounded down to a pixel. Column k of W shows the time k / (W - 1), linearly
    between steps; between two columns the later one has the vertical line. Where a body is absent nothing is
    drawn. The hue of axis a of row r is (a R + r) / (3 R): the three curves of a row are far from one another.
    Rows are drawn from the first to the last, x before y before z.

    Args:
        signals: float [B, T, rows, 3].
        present: bool [B, T, rows], whether a row is present.
        options: size, scaling and brightness.

    Returns:
        float [B, 3, height_px, width_px] from 0 to 255.
    """
    top, bottom = runs(_shares(signals, present, options.value_range), present, options)
    shades = _shades(signals.shape[2], options.width_px, options.start_intensity, signals.device)
    paint = _paint_compiled if signals.device.type == "cpu" else paint_by_scatter
    return paint(top, bottom, shades.to(signals.dtype), options.height_px)


def _shares(signals: Tensor, present: Tensor, value_range: str) -> Tensor:
    """Position of each value in its range, 0 to 1; 0.5 in a range without extent. Absent rows are ignored."""
    dims = (1, 2, 3) if value_range == "recording" else (1,)
    there = present.unsqueeze(-1)
    low = signals.masked_fill(~there, torch.inf).amin(dim=dims, keepdim=True)
    extent = signals.masked_fill(~there, -torch.inf).amax(dim=dims, keepdim=True) - low
    flat = ~(extent > 0)
    shares = (signals - low.masked_fill(flat, 0)).div_(extent.masked_fill(flat, 1))
    return shares.clamp_(0, 1).masked_fill_(flat.expand_as(shares), 0.5)


def runs(shares: Tensor, present: Tensor, options: SignalCurves) -> tuple[Tensor, Tensor]:
    """The first and the last pixel row of each curve in each column: int16 [B, rows, 3, W]; none where first > last.

    Each operation is exact or rounded once, so that the pixels are the same on every device.
    """
    steps, width = shares.shape[1], options.width_px
    before, after, weight = column_positions(steps, width, shares.device)
    weight = weight.to(shares.dtype).view(1, -1, 1, 1)
    first, second = present.index_select(1, before).unsqueeze(-1), present.index_select(1, after).unsqueeze(-1)
    # Between a body and its absence the nearer step decides: halfway lies a body shrunk towards the origin.
    weight = torch.where(first == second, weight, (weight >= 0.5).to(shares.dtype))
    there = torch.where(weight < 0.5, first, second)
    share = shares.index_select(1, before) * (1 - weight) + shares.index_select(1, after) * weight

    spacing = options.height_px / (shares.shape[2] - 1 + options.curve_height)
    strip_top = torch.arange(shares.shape[2], device=shares.device, dtype=shares.dtype).mul_(spacing).view(1, 1, -1, 1)
    height = (1 - share) * (options.curve_height * spacing) + strip_top
    pixel = height.floor_().clamp_(0, options.height_px - 1).to(torch.int16)

    joined = there[:, 1:] & there[:, :-1]
    previous = pixel.clone()
    previous[:, 1:] = torch.where(joined, pixel[:, :-1], pixel[:, 1:])
    top = torch.where(pixel > previous, previous + 1, pixel)
    bottom = torch.where(pixel < previous, previous - 1, pixel)
    bottom = bottom.masked_fill(~there, -1)
    return top.permute(0, 2, 3, 1).contiguous(), bottom.permute(0, 2, 3, 1).contiguous()


def paint_by_scatter(top: Tensor, bottom: Tensor, shades: Tensor, height: int) -> Tensor:
    """Paint runs of pixels, [B, rows, 3, W] each, in the shades [rows, 3, channels, W] → [B, channels, height, W].

    The pixels of all runs are listed, and of those that fall on one another the last curve's is taken.
    """
    num_recordings, num_rows, num_axes, width = top.shape
    num_curves = num_rows * num_axes
    length = (bottom - top + 1).clamp_(min=0).flatten().long()
    run = torch.arange(length.numel(), device=top.device).repeat_interleave(length)
    within = torch.arange(run.numel(), device=top.device) - (length.cumsum(0) - length)[run]
    pixel_row = top.flatten().long()[run] + within
    recording, curve, column = run // (num_curves * width), run // width % num_curves, run % width
    on_top = torch.zeros(num_recordings * height * width, dtype=torch.int64, device=top.device)
    on_top.scatter_reduce_(0, (recording * height + pixel_row) * width + column, curve + 1, "amax")
    flat = shades.flatten(0, 1).transpose(1, 2)
    black = torch.zeros_like(flat[:1])
    columns = torch.arange(width, device=top.device)
    return torch.cat((black, flat))[on_top.view(num_recordings, height, width), columns].permute(0, 3, 1, 2)


def _paint_compiled(top: Tensor, bottom: Tensor, shades: Tensor, height: int) -> Tensor:
    """The same, on a CPU."""
    images = shades.new_zeros(top.shape[0], shades.shape[2], height, top.shape[3])
    _compiled_loop()(top.numpy(), bottom.numpy(), shades.contiguous().numpy(), images.numpy())
    return images


@functools.cache
def _compiled_loop() -> Callable[..., None]:
    """Compile the painting loop at first use, about a second per process.

    It is not cached on the disk: the installation may not be writable, and cached files can become stale.
    """
    import numba

    def loop(top: Any, bottom: Any, shades: Any, images: Any) -> None:
        num_recordings, num_rows, num_axes, width = top.shape
        for recording in range(num_recordings):
            for row in range(num_rows):
                for axis in range(num_axes):
                    for column in range(width):
                        for pixel in range(top[recording, row, axis, column], bottom[recording, row, axis, column] + 1):
                            for channel in range(images.shape[1]):
                                images[recording, channel, pixel, column] = shades[row, axis, channel, column]

    compiled: Callable[..., None] = numba.njit(nogil=True)(loop)
    return compiled


@functools.lru_cache(maxsize=16)
def _shades(num_rows: int, width: int, start_intensity: float, device: torch.device) -> Tensor:
    """Each curve's colour in each column, float32 [rows, 3 axes, 3 channels, W] from 0 to 255."""
    hues = [[(axis * num_rows + row) / (3 * num_rows) for axis in range(3)] for row in range(num_rows)]
    with torch.inference_mode(False):
        colors = torch.tensor([[colorsys.hsv_to_rgb(hue, 1.0, 1.0) for hue in axes] for axes in hues])
        intensity = torch.linspace(start_intensity, 1.0, width)
        return (255 * colors.unsqueeze(-1) * intensity).to(device)
