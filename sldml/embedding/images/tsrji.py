"""TSRJI (Caetano et al. 2019, https://arxiv.org/abs/1909.05704): a tree's walk, seen from reference joints.

As defined here the reference joint stands before *every* joint of the walk, so that an image of NTU's 49-joint walk
has 98 rows for each reference joint. (The published code puts it between joints and leaves it out of the walk: 93.)
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sldml.config.representation import RepresentationConfig, Tsrji
from sldml.embedding.images.pixels import stretch
from sldml.embedding.images.rows import joints_walked, num_drawn_bodies, num_joints, take_rows
from sldml.errors import InputError
from sldml.recordings import Layout


def reference_joints(options: Tsrji, layout: Layout) -> tuple[int, ...]:
    """The joints that are inserted, counted from 0.

    Raises:
        InputError: there is no body, the skeleton declares no reference joint, or has no joint of this name.
    """
    skeleton = layout.skeleton
    if skeleton is None:
        raise InputError(
            "representation.name tsrji shows joints from reference joints, but these recordings hold sensors alone: "
            "choose another one, such as swap_axes or magnitude"
        )
    if options.reference in skeleton.joint_names:
        return (skeleton.joint_names.index(options.reference),)
    if options.reference != "all":
        raise InputError(
            f"representation.tsrji.reference {options.reference!r}: the skeleton {skeleton.name} has no such joint; "
            f"take all, or one of {', '.join(skeleton.joint_names)}"
        )
    if not skeleton.reference_joints:
        raise InputError(
            f"representation.tsrji.reference all: the skeleton {skeleton.name} declares no reference joints (it "
            "would be both shoulders and both hips); declare them, or name one joint in representation.tsrji.reference"
        )
    return skeleton.reference_joints


def tsrji_rows(config: RepresentationConfig, layout: Layout) -> list[int]:
    """Rows of the drawn ones, from top to bottom: reference by reference, body by body; then each sensor once.

    A body is seen from its own reference joint.
    """
    size, bodies = num_joints(layout), num_drawn_bodies(config, layout)
    rows = [
        body * size + joint
        for reference in reference_joints(config.chosen, layout)
        for body in range(bodies)
        for walked in joints_walked(layout.skeleton)
        for joint in (reference, walked)
    ]
    return [*rows, *range(bodies * size, bodies * size + len(layout.sensors))]


def tsrji(signals: Tensor, config: RepresentationConfig, layout: Layout) -> Tensor:
    """Signals along the walk with reference joints between them, x y z as red, green, blue.

    Args:
        signals: float [B, T, drawn rows, 3] (see `sldml.embedding.images.rows.drawn_rows`).
        config: Reference joints, bodies, and the scaling to pixels.
        layout: The meaning of the rows.

    Returns:
        float [B, 3, H, T] from 0 to 255, H = references × bodies × 2 × length of the walk + sensors.
    """
    options: Tsrji = config.chosen
    if options.value_range == "fixed":
        low, extent = _fixed_ranges(options, signals.shape[2], len(layout.sensors), signals.device)
        pixels = (signals - low).div_(extent).clamp_(0, 1).mul_(255)
    else:
        pixels = stretch(signals)
    return take_rows(pixels.permute(0, 3, 2, 1), tsrji_rows(config, layout), dim=2)


@functools.lru_cache(maxsize=16)
def _fixed_ranges(options: Tsrji, num_rows: int, num_sensors: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lowest value and extent of each row and axis, [rows, 3]."""
    body = [[options.x_low, options.y_low, options.z_low], [options.x_high, options.y_high, options.z_high]]
    sensor = [[-options.sensor_half_range] * 3, [options.sensor_half_range] * 3]
    with torch.inference_mode(False):
        low, high = (
            torch.tensor([body[k]] * (num_rows - num_sensors) + [sensor[k]] * num_sensors, device=device)
            for k in range(2)
        )
        return low, high - low
