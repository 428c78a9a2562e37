"""SkeleMotion (Caetano et al. 2019, https://arxiv.org/abs/1907.13025): images of motion instead of positions.

A row's displacement is its value some steps later less its value now. Where there is no such step any more (at the
end), and where the body is absent at either of the two, the row is still. The published code counts frames of the
source; here distances count steps of the resampled recording, so that a movement done slowly looks the same.
(It also subtracts the other way round, which turns every orientation by 180°.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from sldml.config.representation import Magnitude, Orientation
from sldml.embedding.images.rows import column_positions, take_rows

STILL = 255.0
"""Value of all three channels of `orientation` for rows that are still: white, which is not a direction, because no
displacement has all of atan2(y, x), atan2(y, z) and atan2(z, x) at 180°."""


def magnitude(signals: Tensor, present: Tensor, options: Magnitude, rows: list[int]) -> Tensor:
    """Length of each row's displacement; one channel per distance, the last one repeated up to three.

    Args:
        signals: float [B, T, R, 3].
        present: bool [B, T, R], whether a row is present.
        options: distances, scale and width.
        rows: which of the R the image shows, from top to bottom (see `sldml.embedding.images.rows.walked_rows`).

    Returns:
        float [B, 3, rows, columns] from 0 to 255: lengths in [0, `full_scale`], linear between the steps that a
        column lies between (the first column is the first step, the last one the last).
    """
    before, after, weight = column_positions(signals.shape[1], options.columns, signals.device)
    channels = []
    for distance in options.distances:
        moved = displacement(signals, present, distance)
        length = moved.square_().sum(dim=-1).sqrt_().div_(options.full_scale).clamp_(max=1.0).mul_(255)
        if options.columns != signals.shape[1]:
            weights = weight.to(length.dtype).unsqueeze(-1)
            length = torch.lerp(length.index_select(1, before), length.index_select(1, after), weights)
        channels.append(take_rows(length, rows, dim=2).transpose(1, 2))
    channels += [channels[-1]] * (3 - len(channels))
    return torch.stack(channels, dim=1)


def orientation(signals: Tensor, present: Tensor, options: Orientation, rows: list[int]) -> Tensor:
    """Direction of each row's displacement: atan2(y, x), atan2(y, z) and atan2(z, x), -180…180° as 0…255.

    Displacements shorter than `still_threshold` times the distance are `STILL`. A column shows the step that is
    nearest to it: directions have no mean across ±180°, and still has none with any.

    Args:
        signals: float [B, T, R, 3].
        present: bool [B, T, R], whether a row is present.
        options: distances, threshold and width.
        rows: which of the R the image shows, from top to bottom (see `sldml.embedding.images.rows.walked_rows`).

    Returns:
        float [B, 3, distances × rows, columns] from 0 to 255; the rows of the first distance come first.
    """
    before, after, weight = column_positions(signals.shape[1], options.columns, signals.device)
    nearest = torch.where(weight < 0.5, before, after)
    parts = []
    for distance in options.distances:
        moved = displacement(signals, present, distance)
        if options.columns != signals.shape[1]:
            moved = moved.index_select(1, nearest)
        still = moved.square().sum(dim=-1).sqrt_() < options.still_threshold * distance
        # With a threshold of 0, only rows that did not move at all are still: they have no direction.
        still |= (moved == 0).all(dim=-1)
        x, y, z = moved.unbind(dim=-1)
        angles = torch.stack((torch.atan2(y, x), torch.atan2(y, z), torch.atan2(z, x)), dim=1)
        pixels = angles.rad2deg_().add_(180).div_(360).clamp_(0, 1).mul_(255)
        pixels.masked_fill_(still.unsqueeze(1), STILL)
        parts.append(take_rows(pixels, rows, dim=3).transpose(2, 3))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def displacement(signals: Tensor, present: Tensor, distance: int) -> Tensor:
    """Value `distance` steps later minus the value now, [B, T, rows, 3] → the same shape; zeros if either is absent."""
    moved = torch.zeros_like(signals)
    torch.sub(signals[:, distance:], signals[:, :-distance], out=moved[:, :-distance])
    both = present[:, distance:] & present[:, :-distance]
    moved[:, :-distance].mul_(both.unsqueeze(-1))
    return moved
