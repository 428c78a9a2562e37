"""The rows that an image shows, their order, and in which steps they are present."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sldml.config.representation import RepresentationConfig
from sldml.embedding.normalize import present_bodies, split_bodies
from sldml.recordings import Layout, Skeleton
from sldml.recordings.skeletons import walk


def drawn_rows(config: RepresentationConfig, layout: Layout) -> list[int]:
    """The rows that an image shows: those of the first `config.num_bodies` bodies and of all sensors.

    Of an imported image, all rows.
    """
    return [*range(num_drawn_bodies(config, layout) * num_joints(layout)), *range(layout.body_rows, layout.num_rows)]


def walked_rows(config: RepresentationConfig, layout: Layout) -> list[int]:
    """Of the drawn rows, those along a walk of the skeleton's tree, body after body; then each sensor once.

    A joint appears each time the walk passes it. Without a body there are only the sensors, in their order.
    """
    size, num_bodies = num_joints(layout), num_drawn_bodies(config, layout)
    walked = [body * size + joint for body in range(num_bodies) for joint in joints_walked(layout.skeleton)]
    return [*walked, *range(num_bodies * size, num_bodies * size + len(layout.sensors))]


def num_drawn_bodies(config: RepresentationConfig, layout: Layout) -> int:
    """Number of bodies that the image shows."""
    return layout.num_bodies if config.num_bodies is None else min(config.num_bodies, layout.num_bodies)


def num_joints(layout: Layout) -> int:
    """Number of rows of a body; 0 without a skeleton."""
    return 0 if layout.skeleton is None else layout.skeleton.num_joints


@functools.cache
def joints_walked(skeleton: Skeleton | None) -> tuple[int, ...]:
    """The walk of a skeleton's tree; empty without one."""
    return () if skeleton is None else walk(skeleton)


def take_rows(values: Tensor, rows: list[int], dim: int) -> Tensor:
    """Select rows of a tensor in this order; the tensor itself if these are all rows in order."""
    if rows == list(range(values.shape[dim])):
        return values
    return values.index_select(dim, _index(tuple(rows), values.device))


def present_rows(signals: Tensor, layout: Layout) -> Tensor:
    """Which rows are present: [B, T, rows, 3] → bool [B, T, rows]: those of bodies with any value, and all sensors."""
    present = torch.ones(signals.shape[:3], dtype=torch.bool, device=signals.device)
    if layout.skeleton is not None:
        bodies = split_bodies(signals, layout)
        present[:, :, : layout.body_rows] = present_bodies(bodies).repeat_interleave(bodies.shape[3], dim=2)
    return present


def column_positions(steps: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Spread columns evenly over steps, the first on the first and the last on the last.

    Returns:
        For each column, the steps before and after it (int64) and its way from the first to the second (float64,
        from 0 to below 1).
    """
    # Products and quotients of integers are rounded once and the same on every device; `linspace` is not.
    position = torch.arange(columns, dtype=torch.float64, device=device) * (steps - 1) / (columns - 1)
    before = position.floor().long()
    return before, (before + 1).clamp(max=steps - 1), position - before


@functools.lru_cache(maxsize=256)
def _index(rows: tuple[int, ...], device: torch.device) -> Tensor:
    # Cached: copying it to a GPU with every batch would wait for it. Usable outside of inference mode.
    with torch.inference_mode(False):
        return torch.tensor(rows, device=device)
