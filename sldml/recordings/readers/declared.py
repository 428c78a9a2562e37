"""Recordings from files of a declared format."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sldml.config.recording_format import AXES, LENGTHS_M, TIMES_S, RecordingFormat, SkeletonFormat
from sldml.errors import InputError
from sldml.recordings.content import require_content
from sldml.recordings.layout import Layout
from sldml.recordings.readers.agreement import require_frames, require_shape
from sldml.recordings.readers.arrays import Array, Numbers, read_numbers
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import SKELETONS, Skeleton

READER_FORMAT = 2
"""Incremented when the same files give different recordings, to invalidate older prepared sets."""


class ManifestRow(NamedTuple):
    """A recording in a manifest."""

    name: str
    """The path without its suffix."""
    label: str
    subject: str
    rate_hz: float | None
    details: dict[str, int | str]


def layout_of(declared: RecordingFormat) -> Layout:
    """The layout of recordings of a format.

    Raises InputError: `rows` lacks one of its rows, or names are duplicated.
    """
    skeleton = None if declared.skeleton is None else _skeleton(declared.skeleton)
    layout = Layout(skeleton, 0 if skeleton is None else declared.num_bodies, dict(declared.sensors))
    expected = layout.row_names
    if len(set(expected)) != len(expected):
        double = next(name for name in expected if expected.count(name) > 1)
        raise InputError(f"data.format: {double} is both a joint and a sensor; give the sensor another name")
    if declared.rows is not None:
        if "bodies" in declared.order and skeleton is not None:
            expected = skeleton.joint_names
        absent = [name for name in expected if name not in declared.rows]
        if absent:
            raise InputError(f"data.format.rows: {', '.join(absent[:5])} is not among the rows of a file")
    return layout


def _skeleton(declared: SkeletonFormat) -> Skeleton:
    if not declared.joints:
        return SKELETONS[declared.name]
    number = {joint: index for index, joint in enumerate(declared.joints)}
    top = next(joint for joint in declared.joints if joint not in declared.parents)
    root = declared.root or top
    # Without a tree, the root is the parent of all joints.
    parents = declared.parents or {joint: root for joint in declared.joints if joint != root}
    pairs = [None if pair is None else (number[pair[0]], number[pair[1]]) for pair in (declared.scale, declared.face)]
    references = declared.references if declared.references is not None else declared.face or (root,)
    return Skeleton(
        name=declared.name,
        joint_names=declared.joints,
        parents=tuple(number[parents[joint]] if joint in parents else -1 for joint in declared.joints),
        root=number[root],
        scale_joints=pairs[0],
        view_joints=pairs[1],
        reference_joints=tuple(number[joint] for joint in references),
        walk_start=number[declared.walk_start or root],
    )


def read(path: str | os.PathLike[str], row: ManifestRow | None = None, *, declared: RecordingFormat) -> Recording:
    """One recording: [frames, rows, 3], bodies in metres, sensors in their own units.

    Args:
        path: The file.
        row: Its row in the manifest; None for a file without one, which is named after the file.
        declared: The format of its numbers.

    Raises only RecordingError: the file is missing, truncated, garbled, or not as declared.
    """
    path = Path(path)
    row = row or ManifestRow(path.stem, "", "", None, {})
    layout = layout_of(declared)
    numbers = read_numbers(path, declared)
    try:
        numbers = replace(numbers, values=_without(numbers.values, declared))
        values = _fold(numbers.values, declared, layout)
        require_frames(numbers, len(values), declared)
        rate_hz = row.rate_hz or declared.rate_hz or _measured_rate(numbers, len(values), declared)
        values = _fill_missing(_arrange(values, declared, layout), declared, layout)
        # Adding 0 removes the sign of zeros on inverted axes.
        with np.errstate(over="ignore"):  # overflows are refused as not finite
            stored = np.ascontiguousarray(values + 0.0, dtype=np.float32)
        found = Recording(stored, rate_hz, layout.row_names, row.name, row.label, row.subject, row.details)
        return require_content(found, layout)
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None
    except ValueError as error:
        raise RecordingError(path, str(error)) from None


def _without(values: Array, declared: RecordingFormat) -> Array:
    """Replace numbers that mark missing ones by NaN."""
    numbers = [value for value in declared.missing_values if not isinstance(value, str)]
    return np.where(np.isin(values, numbers), np.nan, values) if numbers else values


def _fold(values: Array, declared: RecordingFormat, layout: Layout) -> Array:
    """[frames, rows of the file, values of a row]."""
    joints = layout.skeleton.joint_names if layout.skeleton is not None else ()
    bodies = layout.num_bodies if "bodies" in declared.order else 1
    in_file = declared.rows or (joints if "bodies" in declared.order else layout.row_names)
    sizes = {"bodies": bodies, "rows": len(in_file), "values": len(declared.values)}
    if values.ndim <= 2:
        # A table, or numbers one after another: in reading order, as many frames as they fill.
        if values.ndim == 2:
            require_shape(values.shape, sizes, declared)
        one_frame = bodies * len(in_file) * len(declared.values)
        if values.size == 0 or values.size % one_frame:
            raise ValueError(
                f"{values.size} numbers do not fill frames of {_axes_text(sizes, declared)} ({one_frame} numbers), "
                f"its shape is {list(values.shape)}; the file may be truncated or the format incomplete"
            )
        sizes["frames"] = values.size // one_frame
        values = values.reshape([sizes[axis] for axis in declared.order])
    wanted = [sizes.get(axis, -1) for axis in declared.order]
    if values.ndim != len(wanted) or any(w not in (-1, found) for w, found in zip(wanted, values.shape, strict=True)):
        raise ValueError(f"must be [{_axes_text(sizes, declared)}], but its shape is {list(values.shape)}")
    axes = [declared.order.index(axis) for axis in ("frames", "bodies", "rows", "values") if axis in declared.order]
    ordered = values.transpose(axes)
    return ordered.reshape(len(ordered), bodies * len(in_file), len(declared.values))


def _axes_text(sizes: dict[str, int], declared: RecordingFormat) -> str:
    return ", ".join(f"{sizes[axis]} {axis}" if axis in sizes else axis for axis in declared.order)


def _arrange(values: Array, declared: RecordingFormat, layout: Layout) -> Array:
    """[frames, rows of the file, values of a row] → [frames, rows, 3] in the layout's rows, axes and units."""
    if declared.rows is not None:
        num_in_file = len(declared.rows)
        if "bodies" in declared.order and layout.skeleton is not None:
            one_body = [declared.rows.index(name) for name in layout.skeleton.joint_names]
            places = [body * num_in_file + place for body in range(layout.num_bodies) for place in one_body]
        else:
            places = [declared.rows.index(name) for name in layout.row_names]
        values = values[:, places]
    arranged = np.zeros((*values.shape[:2], 3))
    for index, name in enumerate(declared.values):
        axis = AXES.get(name.removeprefix("-"))
        if axis is not None:
            arranged[:, :, axis] = -values[:, :, index] if name.startswith("-") else values[:, :, index]
    arranged[:, : layout.body_rows] *= LENGTHS_M[declared.unit] if isinstance(declared.unit, str) else declared.unit
    return arranged


def _measured_rate(numbers: Numbers, num_frames: int, declared: RecordingFormat) -> float:
    if numbers.times is None:
        raise ValueError("has no rate: set format.rate_hz, format.time_column or the manifest's rate_hz")
    times = numbers.times[:: len(numbers.times) // num_frames]
    if not np.isfinite(times).all() or np.any(np.diff(times) < 0) or not times[-1] > times[0]:
        raise ValueError("its time stamps must be finite and increasing")
    return float((num_frames - 1) / ((times[-1] - times[0]) * TIMES_S[declared.time_unit]))


def _fill_missing(values: Array, declared: RecordingFormat, layout: Layout) -> Array:
    missing = np.isnan(values)
    if not missing.any():
        return values
    if declared.missing == "zero":
        return np.where(missing, 0.0, values)
    frame, row, _ = np.argwhere(missing)[0]
    if declared.missing == "refuse":
        raise ValueError(
            f"{int(missing.any(axis=2).sum())} rows are missing, first {layout.row_names[row]} in frame {frame}; "
            "format.missing: interpolate or zero accepts it"
        )
    frames = np.arange(len(values))
    for row, axis in np.argwhere(missing.any(axis=0)):
        there = ~missing[:, row, axis]
        if not there.any():
            raise ValueError(f"{layout.row_names[row]} is missing in every frame")
        values[:, row, axis] = np.interp(frames, frames[there], values[there, row, axis])
    return values
