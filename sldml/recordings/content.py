"""What a recording must contain besides finite numbers: a body with an extent, or a signal that changes."""

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.layout import Layout
from sldml.recordings.recording import Recording, RecordingError


def require_content(recording: Recording, layout: Layout) -> Recording:
    """The same recording, if it contains something.

    A body that stands still is accepted (see `stands_still`).

    Raises RecordingError: no body is present in any frame, all joints of the bodies coincide, a point or the sensors
    never change, or an image has a single colour.
    """
    if reason := _fault(recording.values, layout):
        raise RecordingError(recording.name, reason)
    return recording


def stands_still(values: NDArray[np.float32], layout: Layout) -> bool:
    """Whether the bodies [frames, rows, 3] are the same in all frames in which they are present, and so are sensors."""
    if layout.skeleton is None:
        return False
    bodies, present = _bodies(values, layout)
    each = (bodies[present[:, number], number] for number in range(layout.num_bodies))
    sensors = values[:, layout.body_rows :]
    return not any((body != body[0]).any() for body in (*each, sensors) if body.size)


def extent_of(values: NDArray[np.float32], layout: Layout) -> float | None:
    """The largest extent of a body in a frame along an axis, median over bodies and frames; None for a single point."""
    if layout.skeleton is None or layout.skeleton.num_joints == 1:
        return None
    bodies, present = _bodies(values, layout)
    if not present.any():
        return None
    with np.errstate(over="ignore"):
        return float(np.median(np.ptp(bodies[present], axis=1).max(axis=1)))


def _fault(values: NDArray[np.float32], layout: Layout) -> str | None:
    if layout.image_rows > 0:
        one_colour = not (values != values[0, 0]).any()
        return "is an image of a single colour" if one_colour else None
    if layout.skeleton is not None:
        bodies, present = _bodies(values, layout)
        if not present.any():
            return f"has no body in any of its {len(values)} frames: all coordinates are 0"
        if layout.skeleton.num_joints > 1:
            shown = bodies[present]
            return None if (shown != shown[:, :1]).any() else "all joints of the body have the same position"
    if not (values != values[0]).any():
        return f"is constant: all of its {len(values)} frames have the same numbers"
    return None


def _bodies(values: NDArray[np.float32], layout: Layout) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The bodies [frames, bodies, joints, 3], and whether each is present [frames, bodies]."""
    bodies = values[:, : layout.body_rows].reshape(len(values), layout.num_bodies, -1, 3)
    present: NDArray[np.bool_] = np.any(bodies, axis=(2, 3))
    return bodies, present
