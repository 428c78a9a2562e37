"""Scaling of values to pixels from 0 to 255."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def to_pixels(values: Tensor, value_range: Literal["recording", "fixed"], half_range: float) -> Tensor:
    """Scale values [B, …]: by each recording's own minimum and maximum, or from minus to plus `half_range`.

    The result is contiguous for any memory order of `values`.
    """
    if value_range == "fixed":
        pixels = torch.empty(values.shape, dtype=values.dtype, device=values.device)
        return torch.mul(values, 127.5 / half_range, out=pixels).add_(127.5).clamp_(0, 255)
    return stretch(values)


def stretch(values: Tensor) -> Tensor:
    """Scale each recording of [B, …] from its own minimum and maximum to 0…255; a constant one to zeros.

    The result is contiguous for any memory order of `values`.
    """
    dims = tuple(range(1, values.dim()))
    low = values.amin(dim=dims, keepdim=True)
    extent = values.amax(dim=dims, keepdim=True) - low
    extent = torch.where(extent > 0, extent, torch.ones_like(extent))
    pixels = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    return torch.sub(values, low, out=pixels).div_(extent).mul_(255)
