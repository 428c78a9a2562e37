"""What is done to signals before anything looks at them: centre, turn and scale, on whole batches.

Bodies are told apart from sensors by the `Layout`. The first body is the main actor: it alone says where the
centre is, how long a torso is and which way is forward, so that the distance between two people is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sldml.config import NormalizeConfig
from sldml.errors import InputError
from sldml.signals import Layout, Skeleton

SMALLEST_LENGTH = 1e-6
"""A torso or a shoulder line shorter than this (in the source's units) has no length to divide by."""


def normalize(signals: Tensor, config: NormalizeConfig, layout: Layout) -> Tensor:
    """Centre, turn and scale the bodies of a batch, and divide its sensors by their full scale.

    A body that is absent in a frame (all its rows exactly zero) stays zero there. While the main actor is
    absent, its root is where it was last seen. A torso without length leaves the recording unscaled, and
    shoulders whose mean line has no horizontal extent leave it unturned. Facing the camera means that the
    mean line from left to right shoulder points along +x, as it does in front of a Kinect.

    Args:
        signals: float [B, T, rows, 3] in the source's units; not modified.
        config: what to do.
        layout: what the rows are.

    Returns:
        float [B, T, rows, 3], skeleton rows in torso lengths and sensor rows in full scales where
        `config.scale` says so.

    Raises:
        ValueError: `signals` does not have the layout's rows.
    """
    if signals.dim() != 4 or signals.shape[2:] != (layout.num_rows, 3):
        raise ValueError(f"signals must be [recordings, frames, {layout.num_rows} rows, 3], not {list(signals.shape)}")
    parts = []
    if layout.skeleton is not None:
        bodies = split_bodies(signals, layout)
        parts.append(_normalize_bodies(bodies, config, layout.skeleton).flatten(2, 3))
    if layout.sensors:
        sensors = signals[:, :, layout.body_rows :]
        if config.scale != "none":
            sensors = sensors / signals.new_tensor(list(layout.sensors.values())).unsqueeze(-1)
        parts.append(sensors)
    return torch.cat(parts, dim=2)


def split_bodies(signals: Tensor, layout: Layout) -> Tensor:
    """View the skeleton rows of [B, T, rows, 3] as [B, T, bodies, joints, 3]."""
    num_recordings, num_frames = signals.shape[:2]
    rows = signals[:, :, : layout.body_rows]
    return rows.reshape(num_recordings, num_frames, layout.num_bodies, -1, 3)


def present_bodies(bodies: Tensor) -> Tensor:
    """Say where a body is there: [B, T, bodies, joints, 3] → bool [B, T, bodies]; absent is all zero."""
    return bodies.flatten(3).abs().amax(dim=-1) > 0


def main_root(bodies: Tensor, present: Tensor, skeleton: Skeleton) -> Tensor:
    """Follow the main actor's root, gaps filled: [B, T, bodies, joints, 3] → [B, T, 3].

    In a frame without the main actor it is where it was last seen, before the first one where it will be
    seen first; zero where the main actor never appears.
    """
    num_frames = bodies.shape[1]
    main_present = present[:, :, 0]
    frames = torch.arange(num_frames, device=bodies.device)
    first_seen = main_present.int().argmax(dim=1, keepdim=True)
    last_seen = torch.where(main_present, frames, first_seen).cummax(dim=1).values
    return bodies[:, :, 0, skeleton.root].gather(1, last_seen.unsqueeze(-1).expand(-1, -1, 3))


def _normalize_bodies(bodies: Tensor, config: NormalizeConfig, skeleton: Skeleton) -> Tensor:
    present = present_bodies(bodies)
    root = main_root(bodies, present, skeleton)
    first_root = root[:, :1]
    if config.center == "first_frame":
        changed = bodies - first_root[:, :, None, None]
    elif config.center == "every_frame":
        changed = bodies - root[:, :, None, None]
    else:
        changed = bodies
    if config.view == "face_camera":
        if skeleton.view_joints is None:
            raise InputError(
                f"normalize.view face_camera: the skeleton {skeleton.name} declares no shoulders to face by"
            )
        left, right = skeleton.view_joints
        pivot = (first_root if config.center == "none" else torch.zeros_like(first_root))[:, :, None, None]
        shoulders = bodies[:, :, 0, right] - bodies[:, :, 0, left]
        cosine, sine = _turn_to_x(_mean_over_present(shoulders, present))
        changed = turn_about_y(changed - pivot, cosine, sine) + pivot
    factor = present.to(bodies.dtype)
    if config.scale == "torso":
        if skeleton.scale_joints is None:
            raise InputError(f"normalize.scale torso: the skeleton {skeleton.name} declares no joints to scale by")
        lower, upper = skeleton.scale_joints
        torso = (bodies[:, :, 0, upper] - bodies[:, :, 0, lower]).norm(dim=-1, keepdim=True)
        length = _mean_over_present(torso, present)
        length = torch.where(length > SMALLEST_LENGTH, length, torch.ones_like(length))
        factor = factor / length.unsqueeze(-1)
    return changed * factor[..., None, None]


def turn_about_y(points: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the points of a recording about the vertical axis: [B, …, 3], cosine and sine [B] → [B, …, 3].

    The sense is the one that takes (cosine, ·, sine) to (1, ·, 0).
    """
    shape = (-1, *[1] * (points.dim() - 2))
    cosine, sine = cosine.view(shape), sine.view(shape)
    x, y, z = points.unbind(dim=-1)
    return torch.stack((cosine * x + sine * z, y, cosine * z - sine * x), dim=-1)


def _turn_to_x(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B] of the turn about y that takes the horizontal part of [B, 3] to +x."""
    x, _, z = direction.unbind(dim=-1)
    length = torch.hypot(x, z)
    known = length > SMALLEST_LENGTH
    length = torch.where(known, length, torch.ones_like(length))
    return torch.where(known, x / length, torch.ones_like(x)), torch.where(known, z / length, torch.zeros_like(z))


def _mean_over_present(values: Tensor, present: Tensor) -> Tensor:
    """Mean of [B, T, k] over the frames in which the main actor is present → [B, k]; zero without any."""
    weight = present[:, :, :1].to(values.dtype)
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
