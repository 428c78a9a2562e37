"""A synthetic Kinect v2 body: from joint angles to joint positions.

Axes are those of the sensor: x to the image's right, y up, z away from the sensor. A body at rest stands at the origin
with hanging arms and faces the sensor (towards -z), its left at -x. Angles are in radians and mean the same movement
on both sides: those of left limbs are mirrored.
"""

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.skeletons import KINECT_V2

Array = NDArray[np.float64]

ANGLES = (
    "spine.pitch", "spine.yaw", "spine.roll", "neck.pitch", "neck.yaw",
    *(f"{side}.{angle}" for side in ("right", "left") for angle in (
        "shoulder.pitch", "shoulder.yaw", "shoulder.roll", "elbow.pitch", "wrist.pitch",
        "hip.pitch", "hip.roll", "knee.pitch")),
)  # fmt: skip
"""The body's 21 angles, the columns of every array of angles. Pitch turns about x, yaw about y, roll about z."""

_AXIS = {"pitch": 0, "yaw": 1, "roll": 2}
# Rest place of each joint as seen from its parent, in metres, for a body 1.7 m tall; the right side.
_OFFSETS = {
    "spine_base": (0, 0, 0), "spine_mid": (0, 0.29, 0), "spine_shoulder": (0, 0.21, 0),
    "neck": (0, 0.07, 0), "head": (0, 0.15, -0.02),
    "shoulder": (0.17, -0.04, 0), "elbow": (0.02, -0.27, 0), "wrist": (0, -0.24, 0), "hand": (0, -0.08, 0),
    "hand_tip": (0, -0.08, 0), "thumb": (-0.02, 0.03, -0.05),
    "hip": (0.08, -0.02, 0), "knee": (0.02, -0.40, 0), "ankle": (0, -0.38, 0), "foot": (0.01, -0.06, -0.12),
}  # fmt: skip
_LENGTHS = ("spine", "neck", "shoulder", "arm", "forearm", "hip", "thigh", "shank")
_LENGTH_OF = {
    "spine_mid": "spine", "spine_shoulder": "spine", "neck": "neck", "head": "neck", "shoulder": "shoulder",
    "elbow": "arm", "wrist": "forearm", "hand": "forearm", "hand_tip": "forearm", "thumb": "forearm",
    "hip": "hip", "knee": "thigh", "ankle": "shank", "foot": "shank",
}  # fmt: skip
# The spine bends half at its middle and half where it meets the shoulders.
_SPINE_JOINTS = ("spine_mid", "spine_shoulder")


def draw_bones(random: np.random.Generator) -> Array:
    """A subject's bones: rest places of the joints as seen from their parents, [25, 3] in metres."""
    height = random.normal(1.0, 0.06)
    factor = dict(zip(_LENGTHS, height * random.normal(1.0, 0.05, len(_LENGTHS)), strict=True))
    offsets = np.zeros((KINECT_V2.num_joints, 3))
    for joint, name in enumerate(KINECT_V2.joint_names):
        side, part = _split(name)
        offset = np.array(_OFFSETS[part]) * factor.get(_LENGTH_OF.get(part, ""), 1.0)
        offsets[joint] = offset * (-1 if side == "left" else 1, 1, 1)
    return offsets


def place_joints(angles: Array, offsets: Array) -> Array:
    """Joints [frames, 25, 3] in metres of a body with `angles` [frames, 21], its feet on the floor at y = 0."""
    joints = np.zeros((len(angles), KINECT_V2.num_joints, 3))
    turns: dict[int, Array] = {}
    for joint in _ORDER:
        parent = KINECT_V2.parents[joint]
        local = _LOCAL[joint]
        if parent < 0:
            turns[joint] = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
            continue
        joints[:, joint] = joints[:, parent] + turns[parent] @ offsets[joint]
        turn = turns[parent]
        for column, axis, factor in local:
            turn = turn @ _rotation(axis, angles[:, column] * factor)
        turns[joint] = turn
    lowest = joints[:, [KINECT_V2.joint_names.index(f"{side}_foot") for side in ("left", "right")], 1].min(axis=1)
    joints[:, :, 1] -= lowest[:, None]
    return joints


def mirror(joints: Array) -> Array:
    """The same movement with the other hand: x negated, left and right joints exchanged."""
    return joints[:, _MIRRORED] * (-1, 1, 1)


def turn(joints: Array, angle: float) -> Array:
    """`joints` turned about the vertical by `angle` in radians."""
    turned: Array = joints @ _rotation(1, np.array([angle]))[0].T
    return turned


def _rotation(axis: int, angle: Array) -> Array:
    matrix = np.zeros((len(angle), 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = np.cos(angle), np.sin(angle)
    matrix[:, axis, axis] = 1
    matrix[:, one, one] = matrix[:, two, two] = cos
    matrix[:, one, two], matrix[:, two, one] = -sin, sin
    return matrix


def _split(joint_name: str) -> tuple[str, str]:
    side, _, part = joint_name.partition("_")
    return (side, part) if side in ("left", "right") else ("", joint_name)


def _local_turns(joint_name: str) -> list[tuple[int, int, float]]:
    """The angles that turn the descendants of a joint: column, axis, factor."""
    side, part = _split(joint_name)
    found = []
    for column, angle in enumerate(ANGLES):
        owner, kind = angle.rsplit(".", 1)
        axis = _AXIS[kind]
        if owner == "spine" and joint_name in _SPINE_JOINTS:
            found.append((column, axis, 0.5))
        elif (owner == "neck" and joint_name == "neck") or (side and owner == f"{side}.{part}"):
            found.append((column, axis, -1.0 if side == "left" and axis != 0 else 1.0))
    return found


def _from_root() -> list[int]:
    order = [KINECT_V2.root]
    for joint in order:
        order += [child for child, parent in enumerate(KINECT_V2.parents) if parent == joint]
    return order


_ORDER = _from_root()
_LOCAL = [_local_turns(name) for name in KINECT_V2.joint_names]
_MIRRORED = [
    KINECT_V2.joint_names.index(
        name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_")
    )
    for name in KINECT_V2.joint_names
]
