"""Representations that show values as pixels: one row of the image for each row of the signals."""

from __future__ import annotations

from torch import Tensor

from sldml.config.representation import Reindexed, SwapAxes
from sldml.embedding.images.pixels import to_pixels


def swap_axes(signals: Tensor, options: SwapAxes) -> Tensor:
    """SL-DML (arXiv 2004.11085): image[row, frame, channel] = signal[row, frame, axis].

    Args:
        signals: float [B, T, rows, 3].
        options: how values become pixels.

    Returns:
        float [B, 3, rows, T] from 0 to 255.
    """
    return to_pixels(signals.permute(0, 3, 2, 1), options.value_range, options.half_range)


def reindexed(signals: Tensor, options: Reindexed) -> Tensor:
    """Skeleton-DML (arXiv 2012.13823): x₀…x_{T−1}, y₀…y_{T−1}, z₀…z_{T−1} of a row, cut into triples.

    Pixel k of a row is its triple k: the left third shows x, the middle y, the right z, and red, green and blue are
    three successive steps (where T is no multiple of 3, the pixels on the two borders have some of both sides).

    Args:
        signals: float [B, T, rows, 3].
        options: how values become pixels.

    Returns:
        float [B, 3, rows, T] from 0 to 255.
    """
    num_recordings, steps, rows, _ = signals.shape
    pixels = to_pixels(signals, options.value_range, options.half_range)
    triples = pixels.permute(0, 2, 3, 1).reshape(num_recordings, rows, steps, 3)
    return triples.permute(0, 3, 1, 2)
