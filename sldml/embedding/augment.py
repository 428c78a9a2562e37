"""Random changes of training signals: turn, size, speed, crop and noise.

They change the signals, not the image: a body is turned, a movement begins faster than it ends. All random numbers
come from one generator, and how many are drawn depends only on shapes and on which changes are on, so that an
interrupted training continues exactly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sldml.config.representation import AugmentConfig
from sldml.embedding.normalize import main_root, present_bodies, split_bodies, turn_about_y
from sldml.recordings import Layout

NUM_WARP_WAVES = 3
"""Number of cosine waves of speed in a warp; the slowest is half a period long."""


def augment(signals: Tensor, config: AugmentConfig, layout: Layout, generator: torch.Generator | None = None) -> Tensor:
    """Turn, scale, crop and warp each recording of a batch by random amounts, and add noise.

    Bodies are turned about the vertical, and scaled, about the main actor's root in its first frame (the
    origin, where signals are centred); a sensor's values are scaled by the same factor. Between a
    frame with a body and one without it (all its rows zero), nothing is interpolated: the nearer frame is used.

    Args:
        signals: float [B, T, rows, 3], normalised; not modified.
        config: Largest amounts; 0 is off and draws nothing.
        layout: The meaning of the rows.
        generator: Source of all random numbers, on its own device; None for torch's generator of the signals' device.

    Returns:
        float [B, T, rows, 3]; the same tensor if all changes are off.
    """
    if config.rotation_deg > 0 or config.scale > 0:
        signals = _turn_and_scale(signals, config, layout, generator)
    if config.time_crop > 0 or config.time_warp > 0:
        signals = _resample(signals, random_positions(signals, config, generator), layout)
    if config.noise > 0:
        noise = _normal(tuple(signals.shape), signals, generator)
        present = _present_rows(signals, layout).to(signals.dtype)
        signals = signals + noise.mul_(config.noise * present.unsqueeze(-1))
    return signals


def random_positions(signals: Tensor, config: AugmentConfig, generator: torch.Generator | None) -> Tensor:
    """Draw the position of each new frame in its recording: [B, T, rows, 3] → [B, T] in frames, increasing.

    The crop cuts off a random share up to `time_crop`, split at random between start and end. Within what is
    left the speed is `1 + sum_k a_k cos(pi k u)` with `sum_k |a_k| <= time_warp < 1`, u from 0 to 1 along the
    recording: positive, so the order is kept, and its integral over the whole is 1, so both ends are.
    """
    num_recordings, num_frames = signals.shape[:2]
    along = torch.linspace(0.0, 1.0, num_frames, device=signals.device).expand(num_recordings, -1)
    start = length = None
    if config.time_crop > 0:
        cut, share_at_start = _uniform((2, num_recordings, 1), signals, generator).unbind()
        length = 1 - config.time_crop * cut
        start = share_at_start * (1 - length)
    if config.time_warp > 0:
        waves = 2 * _uniform((num_recordings, NUM_WARP_WAVES), signals, generator) - 1
        waves = config.time_warp * waves / waves.abs().sum(dim=1, keepdim=True).clamp(min=1.0)
        phase = math.pi * torch.arange(1, NUM_WARP_WAVES + 1, device=signals.device)
        along = along + (torch.sin(along.unsqueeze(-1) * phase) * (waves / phase).unsqueeze(1)).sum(dim=-1)
    if start is not None and length is not None:
        along = start + length * along
    return (along * (num_frames - 1)).clamp(0, num_frames - 1)


def _turn_and_scale(
    signals: Tensor, config: AugmentConfig, layout: Layout, generator: torch.Generator | None
) -> Tensor:
    num_recordings = signals.shape[0]
    factor = torch.ones(num_recordings, device=signals.device)
    angle = torch.zeros(num_recordings, device=signals.device)
    if config.rotation_deg > 0:
        angle = math.radians(config.rotation_deg) * (2 * _uniform((num_recordings,), signals, generator) - 1)
    if config.scale > 0:
        factor = 1 + config.scale * (2 * _uniform((num_recordings,), signals, generator) - 1)
    sensors = signals[:, :, layout.body_rows :] * factor.view(-1, 1, 1, 1)
    if layout.skeleton is None:
        return sensors
    bodies = split_bodies(signals, layout)
    present = present_bodies(bodies)
    pivot = main_root(bodies, present, layout.skeleton)[:, :1, None, None]
    cosine, sine, factor = angle.cos(), angle.sin(), factor.view(-1, 1, 1, 1, 1)
    turned = turn_about_y(bodies, cosine, sine).mul_(factor)
    turned.add_(pivot - turn_about_y(pivot, cosine, sine) * factor).mul_(present[..., None, None])
    return torch.cat((turned.flatten(2, 3), sensors), dim=2)


def _resample(signals: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """Read [B, T, rows, 3] at the positions [B, T], linearly between frames."""
    lower = positions.floor().long()
    upper = (lower + 1).clamp(max=signals.shape[1] - 1)
    batch = torch.arange(signals.shape[0], device=signals.device).unsqueeze(1)
    weight = (positions - lower).unsqueeze(-1)
    present = _present_rows(signals, layout)
    # Interpolating between a body and zeros would shrink it towards the origin: take one or the other.
    weight = torch.where(present[batch, lower] == present[batch, upper], weight, weight.round())
    return torch.lerp(signals[batch, lower], signals[batch, upper], weight.unsqueeze(-1))


def _present_rows(signals: Tensor, layout: Layout) -> Tensor:
    """Which rows are present, bool [B, T, rows]: those of present bodies, and all sensors."""
    present = torch.ones(signals.shape[:3], dtype=torch.bool, device=signals.device)
    if layout.skeleton is not None:
        bodies = split_bodies(signals, layout)
        present[:, :, : layout.body_rows] = present_bodies(bodies).repeat_interleave(bodies.shape[3], dim=2)
    return present


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(like.device)


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device).to(like.device)
