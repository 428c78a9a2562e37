"""Normalisation of signals: centre, turn and scale, in batches.

The `Layout` says which rows are bodies and which are sensors. Centre, size and direction are those of the first body,
the main actor, so that the distance between two people is kept.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sldml.config.representation import NormalizeConfig
from sldml.errors import InputError
from sldml.recordings import Layout, Skeleton

SMALLEST_LENGTH = 1e-6
"""A torso or shoulder line shorter than this (in the source's units) is not divided by."""
SMALLEST_SPREAD = 1e-5
"""Values whose standard deviation is below this share of their root mean square are constant except for rounding, and
are not divided."""


def normalize(signals: Tensor, config: NormalizeConfig, layout: Layout) -> Tensor:
    """Centre, turn and scale the bodies of a batch, and scale its sensors; each recording by its own values.

    *Centre.* `first_frame` and `every_frame` take the main actor's root; while the main actor is absent, its
    last position. `mean` takes the mean of all the main actor's joints over the frames in which it is there.

    *View.* Facing the camera means that the mean line from left to right shoulder points along +x, as it does in
    front of a Kinect. A recording whose mean line has no horizontal extent is not turned.

    *Scale.* `torso` is the torso's mean length. `extent` is the standard deviation of the main actor's joints about
    their mean, over frames, joints and axes together; `per_axis` is the same for x, y and z each (after the turn). All
    bodies are divided by it, the origin staying where it is. A recording without such a length is not scaled.

    *Sensors.* `per_sensor` divides a sensor by the standard deviation about its mean, x, y and z together, and keeps
    the mean (of an acceleration: where down is). `per_axis` makes each axis's mean 0 and standard deviation 1.

    A body that is absent in a frame (all its rows zero) stays zero there. Imported images stay as they are.

    Args:
        signals: float [B, T, rows, 3] in the source's units; not modified.
        config: Which normalisation.
        layout: The meaning of the rows.

    Returns:
        float [B, T, rows, 3]; `signals` itself if nothing is normalised.

    Raises:
        ValueError: `signals` does not have the layout's rows.
        InputError: the skeleton does not declare the joints that are needed.
    """
    if signals.dim() != 4 or signals.shape[2:] != (layout.num_rows, 3):
        raise ValueError(f"signals must be [recordings, frames, {layout.num_rows} rows, 3], not {list(signals.shape)}")
    if layout.image_rows > 0:
        return signals
    scales_sensors = len(layout.sensors) > 0 and config.sensors != "none"
    if layout.skeleton is not None:
        signals = _normalize_bodies(signals, config, layout, layout.skeleton)
    elif scales_sensors:
        signals = signals.clone()
    if scales_sensors:
        _scale_sensors(signals[:, :, layout.body_rows :], config, layout)
    return signals


def split_bodies(signals: Tensor, layout: Layout) -> Tensor:
    """View the skeleton rows of [B, T, rows, 3] as [B, T, bodies, joints, 3]."""
    num_recordings, num_frames = signals.shape[:2]
    rows = signals[:, :, : layout.body_rows]
    return rows.reshape(num_recordings, num_frames, layout.num_bodies, -1, 3)


def present_bodies(bodies: Tensor) -> Tensor:
    """Whether each body is present: [B, T, bodies, joints, 3] → bool [B, T, bodies]; an absent body is all zeros."""
    if bodies.device.type == "cpu" and bool((bodies[:, :, :, 0, 0] != 0).all()):  # one number is enough
        return bodies.new_ones(bodies.shape[:3], dtype=torch.bool)
    # The Euclidean norm is the one for which torch has a fast kernel; it is zero for numbers below 1e-22, too, which
    # are no place in any unit.
    norms: Tensor = torch.linalg.vector_norm(bodies.flatten(3), dim=-1)
    return norms > 0


def main_root(bodies: Tensor, present: Tensor, skeleton: Skeleton) -> Tensor:
    """The root of the main actor in each frame: [B, T, bodies, joints, 3] → [B, T, 3].

    In frames without the main actor, its last position, before its first frame its first one; zero if it never appears.
    """
    num_frames = bodies.shape[1]
    main_present = present[:, :, 0]
    if present.device.type == "cpu" and bool(main_present.all()):  # on a GPU this would wait for the device
        return bodies[:, :, 0, skeleton.root]
    frames = torch.arange(num_frames, device=bodies.device)
    first_seen = main_present.int().argmax(dim=1, keepdim=True)
    last_seen = torch.where(main_present, frames, first_seen).cummax(dim=1).values
    return bodies[:, :, 0, skeleton.root].gather(1, last_seen.unsqueeze(-1).expand(-1, -1, 3))


def _normalize_bodies(signals: Tensor, config: NormalizeConfig, layout: Layout, skeleton: Skeleton) -> Tensor:
    """A copy of [B, T, rows, 3] with its bodies normalised and its sensors as they were."""
    before = split_bodies(signals, layout)
    present = present_bodies(before)
    root = main_root(before, present, skeleton)
    centre = _centre(before, present, root, config, layout)
    factor = present.to(signals.dtype)
    if config.scale == "torso":
        factor = factor / _torso_length(before, present, skeleton).unsqueeze(-1)
    if config.view == "as_recorded":
        moved = _move(signals, centre, factor, layout)
        bodies = split_bodies(moved, layout)  # a view
    else:
        moved = _move(signals, centre, None, layout)
        bodies = split_bodies(moved, layout)
        cosine, sine = _turn_to_camera(before, present, skeleton)
        pivot = root[:, :1, None, None] if centre is None else None
        turned = turn_about_y(bodies if pivot is None else bodies - pivot, cosine, sine)
        bodies.copy_(turned if pivot is None else turned + pivot).mul_(factor[..., None, None])
    if config.scale in ("extent", "per_axis"):
        bodies.div_(_extent(bodies[:, :, 0], present, each_axis=config.scale == "per_axis")[:, None, None, None])
    return moved


def _torso_length(bodies: Tensor, present: Tensor, skeleton: Skeleton) -> Tensor:
    """Mean length of the main actor's torso in [B, T, bodies, joints, 3]: [B, 1]; 1 if it has no length."""
    if skeleton.scale_joints is None:
        raise InputError(
            f"normalize.scale torso: the skeleton {skeleton.name} declares no joints to scale by; "
            "set normalize.scale to extent, per_axis or none"
        )
    lower, upper = skeleton.scale_joints
    torso = (bodies[:, :, 0, upper] - bodies[:, :, 0, lower]).norm(dim=-1, keepdim=True)
    length = _mean_over_present(torso, present)
    return torch.where(length > SMALLEST_LENGTH, length, torch.ones_like(length))


def _turn_to_camera(bodies: Tensor, present: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B] of the turn that takes the main actor's mean shoulder line to +x."""
    if skeleton.view_joints is None:
        raise InputError(
            f"normalize.view face_camera: the skeleton {skeleton.name} declares no shoulders to face by; "
            "set normalize.view=as_recorded"
        )
    left, right = skeleton.view_joints
    return _turn_to_x(_mean_over_present(bodies[:, :, 0, right] - bodies[:, :, 0, left], present))


def _centre(bodies: Tensor, present: Tensor, root: Tensor, config: NormalizeConfig, layout: Layout) -> Tensor | None:
    """The centre to subtract from bodies [B, T, bodies, joints, 3]: [B, T, 3] or [B, 1, 3]; None for no centring."""
    match config.center:
        case "none":
            return None
        case "first_frame":
            return root[:, :1]
        case "every_frame":
            if layout.body_rows == 1:
                raise InputError(
                    "normalize.center every_frame: with a single joint nothing would be left of a recording; "
                    "set normalize.center=first_frame"
                )
            return root
        case "mean":
            joints = _mean_over_present(bodies[:, :, 0].flatten(2), present)
            return joints.view(len(bodies), -1, 3).mean(dim=1, keepdim=True)


def _move(signals: Tensor, point: Tensor | None, factor: Tensor | None, layout: Layout) -> Tensor:
    """(bodies - point) * factor in a copy of [B, T, rows, 3]; sensors as they were.

    `point` is [B, T or 1, 3], `factor` [B, T, bodies]; without them 0 and 1.
    """
    bodies = split_bodies(signals, layout)
    if factor is None:
        moved = signals.clone(memory_format=torch.contiguous_format)
    elif layout.body_rows == layout.num_rows:
        moved = (bodies * factor[..., None, None]).view(signals.shape)
    else:
        moved = signals.clone(memory_format=torch.contiguous_format)
        split_bodies(moved, layout).mul_(factor[..., None, None])
    if point is None:
        return moved
    points = point[:, :, None] if factor is None else point[:, :, None] * factor.unsqueeze(-1)
    points = points.expand(-1, bodies.shape[1], bodies.shape[2], -1)  # [B, T, bodies, 3], in the moved bodies' units
    if signals.device.type == "cpu":
        # A product with ones and zeros, which is exact. Broadcasting over the joints runs in loops of three numbers.
        ones = _one_per_joint(layout.num_bodies, layout.body_rows, layout.num_rows, signals.dtype)
        moved.view(-1, layout.num_rows * 3).addmm_(points.reshape(-1, layout.num_bodies * 3), ones, alpha=-1)
    else:
        split_bodies(moved, layout).sub_(points.unsqueeze(3))
    return moved


@functools.lru_cache(maxsize=64)
def _one_per_joint(num_bodies: int, body_rows: int, num_rows: int, dtype: torch.dtype) -> Tensor:
    """Matrix [bodies * 3, rows * 3] that copies a point of each body to its joints, and zero to the sensors."""
    with torch.inference_mode(False):  # cached; usable outside of inference mode
        ones = torch.zeros(num_bodies, 3, num_rows, 3, dtype=dtype)
        for body, rows in enumerate(torch.arange(body_rows).chunk(num_bodies)):
            for axis in range(3):
                ones[body, axis, rows, axis] = 1
        return ones.view(num_bodies * 3, num_rows * 3)


def _extent(actor: Tensor, present: Tensor, each_axis: bool) -> Tensor:
    """Standard deviation of [B, T, joints, 3] about its mean while the actor is present: [B, 3] or [B, 1]; 1 for 0."""
    num_joints = actor.shape[2]
    mean = _mean_over_present(actor.flatten(2), present).view(-1, num_joints, 3).mean(dim=1)
    deviation = actor - mean[:, None, None]

    def mean_square(values: Tensor) -> Tensor:
        squares = _mean_over_present(values.square().flatten(2), present).view(-1, num_joints, 3).mean(dim=1)
        return squares if each_axis else squares.mean(dim=1, keepdim=True)

    return _spread(mean_square(deviation), mean_square(actor))


def _scale_sensors(sensors: Tensor, config: NormalizeConfig, layout: Layout) -> None:
    """Scale [B, T, sensors, 3] in place."""
    if config.sensors == "full_scale":
        sensors.div_(_full_scales(tuple(layout.sensors.values()), sensors.dtype, sensors.device))
        return
    mean = sensors.mean(dim=1, keepdim=True)
    variance = (sensors - mean).square().mean(dim=1, keepdim=True)
    mean_square = sensors.square().mean(dim=1, keepdim=True)
    if config.sensors == "per_sensor":
        sensors.div_(_spread(variance.mean(dim=-1, keepdim=True), mean_square.mean(dim=-1, keepdim=True)))
    else:
        sensors.sub_(mean).div_(_spread(variance, mean_square))


@functools.lru_cache(maxsize=64)
def _full_scales(scales: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Cached: copying them to a GPU with every batch would wait for it. Usable outside of inference mode.
    with torch.inference_mode(False):
        return torch.tensor(scales, dtype=dtype, device=device).unsqueeze(-1)


def _spread(variance: Tensor, mean_square: Tensor) -> Tensor:
    """The standard deviation; 1 if it is only rounding."""
    known = variance > SMALLEST_SPREAD**2 * mean_square
    return torch.where(known, variance, torch.ones_like(variance)).sqrt()


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
