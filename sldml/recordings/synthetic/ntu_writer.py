"""Writing NTU RGB+D's ``.skeleton`` text files for synthetic data, as read by `sldml.recordings.readers.ntu`."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Body = tuple[int, NDArray[np.float64]]
"""A body in one frame: its identity and its joints [25, 3] in metres, z away from the sensor."""

_NUM_JOINTS = 25
# Nominal pinhole cameras of the Kinect v2: focal length and centre in pixels.
_DEPTH_CAMERA = (365.0, 256.0, 212.0)
_COLOR_CAMERA = (1060.0, 960.0, 540.0)
# Fields after the identity (clipped edges, hands, restriction, lean, tracking state), with neutral values.
_BODY = "%d 0 0 0 0 0 0 0 0 2\n25\n" + "%.6f %.6f %.6f %.3f %.3f %.3f %.3f 0 0 0 0 2\n" * _NUM_JOINTS


def write(path: str | os.PathLike[str], frames: Sequence[Sequence[Body]]) -> None:
    """Write frames, each of any number of bodies.

    Joint orientations are written as zeros (unknown); depth and colour pixels are those of ideal cameras.
    Raises ValueError for joints of another shape.
    """
    if not any(frames):
        Path(path).write_text(f"{len(frames)}\n" + "0\n" * len(frames))
        return
    # One format over all numbers at once: a format for each number takes several times as long.
    text = [f"{len(frames)}\n"]
    bodies: list[Body] = []
    for frame in frames:
        text.append(f"{len(frame)}\n" + _BODY * len(frame))
        bodies += frame
    joints = np.array([joints for _, joints in bodies], dtype=np.float64)
    if joints.shape[1:] != (_NUM_JOINTS, 3):
        raise ValueError(f"a body's joints must be [25, 3], but they are {list(joints.shape[1:])}")
    depth = np.maximum(joints[..., 2:], 0.1)
    pixels = [focal * joints[..., :2] * (1, -1) / depth + centre for focal, *centre in (_DEPTH_CAMERA, _COLOR_CAMERA)]
    columns = np.concatenate([joints, *pixels], axis=2).reshape(len(bodies), -1).tolist()
    numbers = [number for (identity, _), row in zip(bodies, columns, strict=True) for number in (identity, *row)]
    Path(path).write_text("".join(text) % tuple(numbers))
