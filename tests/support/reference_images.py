"""The representations as their definitions say them: one recording, one pixel after the other. Slow, to compare."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sldml.config.representation import RepresentationConfig
from sldml.recordings import Layout, Skeleton

Array = NDArray[np.float64]

NTU_WALK = [
    1, 20, 2, 3, 2, 20, 4, 5, 6, 7, 21, 22, 21, 7, 6, 5, 4, 20, 8, 9, 10, 11, 23, 24, 23, 11, 10, 9, 8, 20, 1, 0,
    12, 13, 14, 15, 14, 13, 12, 0, 16, 17, 18, 19, 18, 17, 16, 0, 1,
]  # fmt: skip
"""FACTS of the project, after Caetano et al.: the walk of a Kinect v2 skeleton, joints counted from 0."""


def naive_represent(signals: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    """[B, T, rows, 3] → [B, 3, H, W], not resized."""
    naive = {
        "swap_axes": naive_swap_axes,
        "reindexed": naive_reindexed,
        "signals": naive_signals,
        "magnitude": naive_magnitude,
        "orientation": naive_orientation,
        "tsrji": naive_tsrji,
        "image": naive_image,
    }[config.name]
    return np.stack([naive(recording, config, layout) for recording in signals])


def naive_walk(skeleton: Skeleton) -> list[int]:
    """Walk with an explicit stack; to children first, in the order of their numbers, then up to the parent."""
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(len(skeleton.parents))}
    for child, parent in enumerate(skeleton.parents):
        if parent >= 0:
            neighbours[parent].append(child)
    for child, parent in enumerate(skeleton.parents):
        if parent >= 0:
            neighbours[child].append(parent)
    visited, stack = {skeleton.walk_start}, [skeleton.walk_start]
    path = [skeleton.walk_start]
    while stack:
        unseen = [joint for joint in neighbours[stack[-1]] if joint not in visited]
        if unseen:
            visited.add(unseen[0])
            stack.append(unseen[0])
        else:
            stack.pop()
        if stack:
            path.append(stack[-1])
    return path


def _bodies(config: RepresentationConfig, layout: Layout) -> list[int]:
    """The first row of each body that is shown."""
    shown = layout.num_bodies if config.num_bodies is None else min(config.num_bodies, layout.num_bodies)
    return [body * layout.skeleton.num_joints for body in range(shown)] if layout.skeleton else []


def _sensors(layout: Layout) -> list[int]:
    return list(range(layout.num_rows - len(layout.sensors), layout.num_rows))


def _shown(config: RepresentationConfig, layout: Layout) -> list[int]:
    joints = [first + joint for first in _bodies(config, layout) for joint in range(layout.skeleton.num_joints)]
    return joints + _sensors(layout)


def _walked(config: RepresentationConfig, layout: Layout) -> list[int]:
    rows = [first + joint for first in _bodies(config, layout) for joint in naive_walk(layout.skeleton)]
    return rows + _sensors(layout)


def _is_present(recording: NDArray[np.float32], frame: int, row: int, layout: Layout) -> bool:
    if layout.skeleton is None or row >= layout.num_bodies * layout.skeleton.num_joints:
        return True
    size = layout.skeleton.num_joints
    first = row // size * size
    return any(recording[frame, joint, axis] != 0 for joint in range(first, first + size) for axis in range(3))


def _pixel(value: float, low: float, high: float) -> float:
    share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.0
    return 255 * share


def _range(values: Array, options: object) -> tuple[float, float]:
    if options.value_range == "fixed":  # type: ignore[attr-defined]
        return -options.half_range, options.half_range  # type: ignore[attr-defined]
    return float(values.min()), float(values.max())


def naive_swap_axes(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    rows = _shown(config, layout)
    low, high = _range(recording[:, rows].astype(np.float64), config.chosen)
    image = np.zeros((3, len(rows), len(recording)))
    for i, row in enumerate(rows):
        for frame in range(len(recording)):
            for axis in range(3):
                image[axis, i, frame] = _pixel(float(recording[frame, row, axis]), low, high)
    return image


def naive_reindexed(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    rows = _shown(config, layout)
    low, high = _range(recording[:, rows].astype(np.float64), config.chosen)
    image = np.zeros((3, len(rows), len(recording)))
    for i, row in enumerate(rows):
        sequence = [float(value) for axis in range(3) for value in recording[:, row, axis]]
        for pixel in range(len(sequence) // 3):
            for channel in range(3):
                image[channel, i, pixel] = _pixel(sequence[3 * pixel + channel], low, high)
    return image


def naive_image(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    image = np.zeros((3, layout.image_rows, len(recording)))
    for column in range(len(recording)):
        for row in range(layout.image_rows):
            image[:, row, column] = recording[column, row]
    return image


def _moved(recording: NDArray[np.float32], frame: int, row: int, distance: int, layout: Layout) -> list[float] | None:
    """The displacement to the frame `distance` later; None where there is none."""
    later = frame + distance
    if later >= len(recording):
        return None
    if not (_is_present(recording, frame, row, layout) and _is_present(recording, later, row, layout)):
        return None
    return [float(recording[later, row, axis] - recording[frame, row, axis]) for axis in range(3)]


def naive_magnitude(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    options, rows, frames = config.chosen, _walked(config, layout), len(recording)
    distances = [options.temporal_distance]
    distances += [d for d in (options.temporal_distance_2, options.temporal_distance_3) if d is not None]
    while len(distances) < 3:
        distances.append(distances[-1])
    image = np.zeros((3, len(rows), options.columns))
    for channel, distance in enumerate(distances):
        for i, row in enumerate(rows):
            lengths = []
            for frame in range(frames):
                moved = _moved(recording, frame, row, distance, layout)
                length = 0.0 if moved is None else math.sqrt(sum(part * part for part in moved))
                lengths.append(255 * min(length / options.full_scale, 1.0))
            for column in range(options.columns):
                position = column * (frames - 1) / (options.columns - 1)
                before = math.floor(position)
                after, weight = min(before + 1, frames - 1), position - before
                image[channel, i, column] = (1 - weight) * lengths[before] + weight * lengths[after]
    return image


def naive_orientation(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    options, rows, frames = config.chosen, _walked(config, layout), len(recording)
    distances = [options.temporal_distance, options.temporal_distance_2, options.temporal_distance_3]
    blocks = []
    for distance in [d for d in distances if d is not None]:
        image = np.zeros((3, len(rows), options.columns))
        for i, row in enumerate(rows):
            for column in range(options.columns):
                frame = math.floor(column * (frames - 1) / (options.columns - 1) + 0.5)
                moved = _moved(recording, frame, row, distance, layout)
                if moved is None or math.sqrt(sum(part * part for part in moved)) < options.still_threshold * distance:
                    image[:, i, column] = 255
                    continue
                x, y, z = moved
                for channel, (first, second) in enumerate(((y, x), (y, z), (z, x))):
                    degrees = math.atan2(first, second) * 180 / math.pi
                    image[channel, i, column] = (degrees + 180) / 360 * 255
        blocks.append(image)
    return np.concatenate(blocks, axis=1)


def naive_tsrji(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    options, skeleton = config.chosen, layout.skeleton
    assert skeleton is not None
    values = recording[:, _shown(config, layout)].astype(np.float64)
    recorded = float(values.min()), float(values.max())
    fixed = [(options.x_low, options.x_high), (options.y_low, options.y_high), (options.z_low, options.z_high)]
    references: Sequence[int] = skeleton.reference_joints
    if options.reference != "all":
        references = [list(skeleton.joint_names).index(options.reference)]
    lines = []

    def add(row: int, ranges: Sequence[tuple[float, float]]) -> None:
        line = [
            [_pixel(float(recording[t, row, axis]), *ranges[axis]) for t in range(len(recording))] for axis in range(3)
        ]
        lines.append(line)

    for reference in references:
        for first in _bodies(config, layout):
            for joint in naive_walk(skeleton):
                for row in (first + reference, first + joint):
                    add(row, fixed if options.value_range == "fixed" else [recorded] * 3)
    for row in _sensors(layout):
        half = options.sensor_half_range
        add(row, [(-half, half)] * 3 if options.value_range == "fixed" else [recorded] * 3)
    return np.array(lines).transpose(1, 0, 2)


def naive_signals(recording: NDArray[np.float32], config: RepresentationConfig, layout: Layout) -> Array:
    """Every operation rounded to float32, for half a unit in the last place can move a curve by a pixel."""
    options, rows, frames = config.chosen, _shown(config, layout), len(recording)
    single = np.float32
    image = np.zeros((3, options.height_px, options.width_px))
    there = {(t, row): _is_present(recording, t, row, layout) for t in range(frames) for row in rows}
    seen = {row: [t for t in range(frames) if there[t, row]] for row in rows}
    everything = [recording[t, row, axis] for row in rows for t in seen[row] for axis in range(3)]
    spacing = options.height_px / (len(rows) - 1 + options.curve_height)
    for i, row in enumerate(rows):
        for axis in range(3):
            values = everything
            if options.value_range == "signal":
                values = [recording[t, row, axis] for t in seen[row]]
            low, high = (min(values), max(values)) if values else (single(0), single(0))
            shares = []
            for t in range(frames):
                share = (recording[t, row, axis] - low) / (high - low) if high > low else single(0.5)
                shares.append(min(max(share, single(0)), single(1)))
            color = colorsys.hsv_to_rgb((axis * len(rows) + i) / (3 * len(rows)), 1.0, 1.0)
            previous = None
            for column in range(options.width_px):
                position = column * (frames - 1) / (options.width_px - 1)
                before = math.floor(position)
                after, weight = min(before + 1, frames - 1), single(position - before)
                if there[before, row] != there[after, row]:
                    weight = single(weight >= 0.5)
                if not there[before if weight < 0.5 else after, row]:
                    previous = None
                    continue
                share = shares[before] * (single(1) - weight) + shares[after] * weight
                height = (single(1) - share) * single(options.curve_height * spacing) + single(i) * single(spacing)
                pixel = min(max(math.floor(height), 0), options.height_px - 1)
                if previous is None or pixel == previous:
                    run = [pixel]
                else:
                    step = 1 if pixel > previous else -1
                    run = list(range(previous + step, pixel + step, step))
                grown = column / (options.width_px - 1)
                intensity = options.start_intensity + (1 - options.start_intensity) * grown
                for line in run:
                    image[:, line, column] = [255 * part * intensity for part in color]
                previous = pixel
    return image


def naive_resize(images: Array, side: int) -> Array:
    """Bilinear with antialiasing: a triangle as wide as a source or a target pixel, the wider of the two."""
    for axis in (2, 3):
        size = images.shape[axis]
        ratio = size / side
        width = max(ratio, 1.0)
        resized = []
        for pixel in range(side):
            center = (pixel + 0.5) * ratio
            weights = np.maximum(0, 1 - np.abs(np.arange(size) + 0.5 - center) / width)
            resized.append(np.tensordot(images, weights / weights.sum(), axes=(axis, 0)))
        images = np.stack(resized, axis=axis)
    return images
