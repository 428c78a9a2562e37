"""Whether the lines of a file agree with its declared format.

The number of values alone proves little: a table of 20 joints has a multiple of 19 values in one of 19 cases, and would
then be read as a scrambled body. So each axis is compared with what is declared, and a file whose lines are rows of a
frame must also show it: in its time stamps, in a column of names, or in numbers that repeat from frame to frame.
"""

from __future__ import annotations

from math import prod

import numpy as np

from sldml.config.recording_format import RecordingFormat
from sldml.recordings.readers.arrays import Array, Numbers

_CHECKED_FRAMES = 64
"""This many frames are enough to see after how many lines a file repeats."""
_MUCH_NEARER = 0.25
"""Lines a frame apart differ by motion, other lines by the distance of joints, which is several times larger."""
_NEARER = 0.8
"""Joints move farther in two frames than in one."""


def require_shape(shape: tuple[int, ...], sizes: dict[str, int], declared: RecordingFormat) -> None:
    """Check the two axes of a table; `sizes` has those of all axes but the frames.

    The axes of `order` are divided between lines and columns: all of the outer ones make the lines, all of the inner
    ones the columns. Where to divide is found from the file, for example one frame per line or one row per line.

    Raises ValueError: no division fits.
    """
    lines, columns = shape
    wanted: list[str] = []
    for cut in range(1, len(declared.order)):
        outer, inner = declared.order[:cut], declared.order[cut:]
        fixed = inner if "frames" in outer else outer
        count = prod(sizes[axis] for axis in fixed)
        if count == (columns if "frames" in outer else lines):
            return
        parts = " x ".join(f"{sizes[axis]} {axis}" for axis in fixed)
        text = f"{count} columns ({parts})" if "frames" in outer else f"{count} lines ({parts})"
        wanted += [text] if not any(text.startswith(f"{count} ") for text in wanted) else []
    raise ValueError(
        f"has {lines} lines of {columns} columns, but the format needs {' or '.join(wanted)}: correct the joints, "
        "sensors, rows, values or order of data.format, or select columns by columns or drop_columns"
    )


def require_frames(numbers: Numbers, num_frames: int, declared: RecordingFormat) -> None:
    """Check that lines and frames agree, where the frames are the outermost axis.

    Raises ValueError: the number of time stamps is another one, or the frames begin at other lines than declared.
    """
    if numbers.times is not None:
        _require_times(numbers.times, num_frames)
    is_table = numbers.values.ndim == 2 and declared.order[0] == "frames"
    lines_per_frame = len(numbers.values) // num_frames if is_table else 1
    if lines_per_frame > 1:
        _require_names(numbers, lines_per_frame)
        _require_period(numbers.values, lines_per_frame, declared.num_bodies)


def _require_times(times: Array, num_frames: int) -> None:
    lines_per_frame, rest = divmod(len(times), num_frames)
    if rest or lines_per_frame == 0:
        raise ValueError(f"{len(times)} time stamps do not match {num_frames} frames")
    if lines_per_frame == 1 or not np.isfinite(times).all():
        return
    steps = np.diff(times)
    is_between = np.arange(1, len(times)) % lines_per_frame == 0
    within, between = np.where(is_between, 0.0, np.abs(steps)), steps[is_between]
    if within.max() > 0 and (not len(between) or within.max() >= between.min()):
        line = int(within.argmax())
        raise ValueError(
            f"rows {line + 1} and {line + 2} of the table should be of one frame, {lines_per_frame} rows each, but "
            f"have different time stamps ({times[line]:g} and {times[line + 1]:g}): correct the joints, sensors or "
            "rows of data.format, or the file"
        )


def _require_names(numbers: Numbers, lines_per_frame: int) -> None:
    """A column that is not read may name the row of each line: the names must come in the same order in each frame."""
    for cells in zip(*numbers.others, strict=True):
        first = cells[:lines_per_frame]
        # Not a column of text that differs in every line, such as a time of day.
        is_names = len(set(first)) == lines_per_frame and len(set(cells)) < 2 * lines_per_frame
        if not is_names or any(_is_number(cell) for cell in first):
            continue
        for index, cell in enumerate(cells):
            if cell != first[index % lines_per_frame]:
                raise ValueError(
                    f"row {index + 1} of the table is {cell!r} where {first[index % lines_per_frame]!r} should follow, "
                    f"because a frame has {lines_per_frame} rows: correct the joints, sensors or rows of data.format, "
                    "or the file"
                )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _require_period(table: Array, lines_per_frame: int, num_bodies: int) -> None:
    """Lines a frame apart are of the same joint, so no other lines are nearer to each other.

    Two bodies in a frame may be copies of each other; the joints of one body are not.
    """
    lines = table[: _CHECKED_FRAMES * lines_per_frame]
    most = min(3 * lines_per_frame, len(lines) - 2 * lines_per_frame)
    if most <= lines_per_frame:
        return
    distances = np.array([_distance(lines, lag) for lag in range(1, most + 1)])
    declared = distances[lines_per_frame - 1]
    for lag in range(2, most):
        distance, around = distances[lag - 1], min(distances[lag - 2], distances[lag])
        divides = lines_per_frame % lag == 0
        nearer = (num_bodies == 1 and distance < _NEARER * declared) if divides else distance < _MUCH_NEARER * declared
        if nearer and distance < _MUCH_NEARER * around:
            raise ValueError(
                f"its lines repeat after {lag} lines, but a frame has {lines_per_frame} by the format: correct the "
                "joints, sensors or rows of data.format, or the file"
            )


def _distance(lines: Array, lag: int) -> float:
    """The mean absolute difference of lines that are `lag` apart; infinite where all are missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.abs(lines[lag:] - lines[:-lag])
    there = np.isfinite(difference)
    return float(difference[there].mean()) if there.any() else np.inf
