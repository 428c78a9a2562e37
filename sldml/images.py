"""Representations: how a batch of signals becomes a batch of images for an encoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sldml.config import RepresentationConfig, SwapAxes
from sldml.signals import Layout


def represent(signals: Tensor, config: RepresentationConfig, layout: Layout) -> Tensor:
    """Turn signals into images.

    Args:
        signals: float [B, config.steps, rows, 3], normalised; not modified.
        config: which representation, and the size of its images.
        layout: what the rows are.

    Returns:
        float [B, 3, H, W] from 0 to 255, not rounded, as `image_shape` says; resized bilinearly (with
        antialiasing) where `config.image_px` is set.

    Raises:
        ValueError: `signals` does not have `config.steps` frames and the layout's rows.
    """
    if signals.dim() != 4 or signals.shape[1:] != (config.steps, layout.num_rows, 3):
        raise ValueError(
            f"signals must be [recordings, {config.steps} steps, {layout.num_rows} rows, 3], not {list(signals.shape)}"
        )
    signals = signals[:, :, drawn_rows(config, layout)]
    match config.name:
        case "swap_axes":
            images = _swap_axes(signals, config.chosen)
    if config.image_px is None:
        return images
    side = (config.image_px, config.image_px)
    return functional.interpolate(images, size=side, mode="bilinear", antialias=True)


def image_shape(config: RepresentationConfig, layout: Layout) -> tuple[int, int, int]:
    """Channels, height and width (3, H, W) of the images that `represent` makes."""
    if config.image_px is not None:
        return 3, config.image_px, config.image_px
    match config.name:
        case "swap_axes":
            return 3, len(drawn_rows(config, layout)), config.steps


def drawn_rows(config: RepresentationConfig, layout: Layout) -> list[int]:
    """The rows that the image shows: those of the first `config.num_bodies` bodies, and every sensor's."""
    kept = layout.body_rows
    if config.num_bodies is not None and layout.num_bodies > 0:
        kept = min(kept, config.num_bodies * layout.body_rows // layout.num_bodies)
    return [*range(kept), *range(layout.body_rows, layout.num_rows)]


def to_input(images: Tensor) -> Tensor:
    """Bring pixels from 0…255 to -2…2, about what an encoder with ImageNet weights was trained on."""
    return (images / 255 - 0.5) / 0.25


def _swap_axes(signals: Tensor, options: SwapAxes) -> Tensor:
    """SL-DML (arXiv 2004.11085): image[row, frame, channel] = signal[row, frame, axis]."""
    images = signals.permute(0, 3, 2, 1)
    if options.value_range == "fixed":
        return (images / (2 * options.half_range) + 0.5).clamp(0, 1) * 255
    return _stretch(images)


def _stretch(images: Tensor) -> Tensor:
    """Scale each image of [B, C, H, W] from its own minimum and maximum to 0…255; a constant one to zeros."""
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    extent = images.amax(dim=(1, 2, 3), keepdim=True) - low
    extent = torch.where(extent > 0, extent, torch.ones_like(extent))
    return (images - low) / extent * 255
