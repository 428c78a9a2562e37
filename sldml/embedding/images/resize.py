"""Resizing of images to squares: bilinear, antialiased when shrinking, fast when growing.

torch's own antialiasing kernel takes most of the time that a batch needs on its way to an encoder, and images of
signals mostly grow (20 or 50 rows to 64 or 256 pixels). A growing axis needs no antialiasing: columns are a product
with a small matrix of weights, rows the mean of two neighbours, for whole rows at a time.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional


def resize(images: Tensor, side: int) -> Tensor:
    """Resize images to squares, as `torch.nn.functional.interpolate(mode="bilinear", antialias=True)` does.

    Args:
        images: float [B, C, H, W], in any memory order; not modified.
        side: Height and width of the result in pixels.

    Returns:
        float [B, C, side, side]; `images` itself if they have that size already.
    """
    height, width = images.shape[2:]
    if images.device.type != "cpu":
        return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    if width < side:  # before anything else: torch 2.15 shrinks the height of an image one pixel wide wrongly
        images = images.contiguous() @ _growing(width, side, images.dtype)
    if height > side or width > side:
        size = (min(height, side), side)
        images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return images if height >= side else _grow_rows(images, side)


def _grow_rows(images: Tensor, side: int) -> Tensor:
    """Grow the height of [B, C, H, W] to `side`.

    An image of one column whose channels are this one's columns, channels last: torch mixes two rows with vector
    instructions then, which it does not for an image of three channels.
    """
    num_images, channels, height, width = images.shape
    columns = images.reshape(num_images * channels, height, 1, width).permute(0, 3, 1, 2)
    grown = functional.interpolate(columns, size=(side, 1), mode="bilinear")
    return grown.permute(0, 2, 3, 1).reshape(num_images, channels, side, width)


@functools.lru_cache(maxsize=64)
def _growing(before: int, after: int, dtype: torch.dtype) -> Tensor:
    """Weights [before, after] of the pixels of a line in a longer one: pixel centres at (i + 1/2) / length."""
    with torch.inference_mode(False):  # cached; usable outside of inference mode
        centres = (torch.arange(after, dtype=torch.float64) + 0.5) * (before / after) - 0.5
        distances = (torch.arange(before).unsqueeze(1) - centres.clamp(0, before - 1)).abs()
        return (1 - distances).clamp_(min=0).to(dtype)
