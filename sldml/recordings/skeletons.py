"""The skeletons of the sources: names, tree, and the joints for centring, scaling and turning a body."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints. Joints are counted from 0, in the order in which the source stores them."""

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    """The joint nearer to the root; -1 for the root itself."""
    root: int
    """The joint that defines the body's position."""
    scale_joints: tuple[int, int] | None
    """The ends of the torso, with the body's size as their distance; None if there is none."""
    view_joints: tuple[int, int] | None
    """Left and right shoulder, which define the direction that the body faces."""
    reference_joints: tuple[int, ...]
    """Reference joints of TSRJI: shoulders and hips."""
    walk_start: int
    """First joint of `walk`: the middle of the spine."""

    def __post_init__(self) -> None:
        if reason := self._fault():
            raise ValueError(f"skeleton {self.name}: {reason}")

    def _fault(self) -> str | None:
        count = len(self.joint_names)
        if not count or len(set(self.joint_names)) != count:
            return "needs joints with different names"
        if len(self.parents) != count:
            return f"{count} joints need as many parents, not {len(self.parents)}"
        named = (self.root, self.walk_start, *(self.scale_joints or ()), *(self.view_joints or ()))
        for joint in (*named, *self.reference_joints):
            if not 0 <= joint < count:
                return f"joints are numbered from 0 to {count - 1}, but {joint} is used"
        if list(self.parents).count(-1) != 1:
            return f"exactly one joint has no parent, but {list(self.parents).count(-1)} have none"
        for joint in range(count):
            seen: set[int] = set()
            while joint != -1:
                if joint in seen or not -1 <= self.parents[joint] < count:
                    return f"the parents of {self.joint_names[joint]} do not lead to the joint without a parent"
                seen.add(joint)
                joint = self.parents[joint]
        return None

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Skeleton":
        """From the result of `to_json`. Raises ValueError for missing or unknown keys, or without a tree."""
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"not a skeleton: {error}") from None

    @property
    def num_joints(self) -> int:
        """How many joints a body has."""
        return len(self.joint_names)


def walk(skeleton: Skeleton) -> tuple[int, ...]:
    """Joints in the order of a depth-first walk, which lists a joint each time it is passed.

    It starts and ends at `walk_start`, visits children in the order of their numbers and the parent last.
    For `KINECT_V2` this is the walk of SkeleMotion (Caetano et al. 2019, https://arxiv.org/abs/1907.13025).
    """

    def visit(joint: int, came_from: int) -> list[int]:
        children = [child for child, parent in enumerate(skeleton.parents) if parent == joint]
        path = [joint]
        for neighbour in [*children, skeleton.parents[joint]]:
            if neighbour not in (came_from, -1):
                path += [*visit(neighbour, joint), joint]
        return path

    return tuple(visit(skeleton.walk_start, -1))


KINECT_V2 = Skeleton(
    name="kinect_v2",
    joint_names=(
        "spine_base", "spine_mid", "neck", "head",
        "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_shoulder", "right_elbow", "right_wrist", "right_hand",
        "left_hip", "left_knee", "left_ankle", "left_foot",
        "right_hip", "right_knee", "right_ankle", "right_foot",
        "spine_shoulder", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
    ),
    # The parents of the thumbs are the hand tips, as in SkeleMotion's walk.
    parents=(-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 21, 11, 23),
    root=0,
    scale_joints=(0, 20),
    view_joints=(4, 8),
    reference_joints=(4, 8, 12, 16),
    walk_start=1,
)  # fmt: skip
"""NTU RGB+D (Shahroudy et al. 2016, https://arxiv.org/abs/1604.02808, figure 2); the paper's joint 1 is 0."""

KINECT_V1 = Skeleton(
    name="kinect_v1",
    joint_names=(
        "head", "shoulder_center", "spine", "hip_center",
        "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_shoulder", "right_elbow", "right_wrist", "right_hand",
        "left_hip", "left_knee", "left_ankle", "left_foot",
        "right_hip", "right_knee", "right_ankle", "right_foot",
    ),
    parents=(1, 2, 3, -1, 1, 4, 5, 6, 1, 8, 9, 10, 3, 12, 13, 14, 3, 16, 17, 18),
    root=3,
    scale_joints=(1, 3),
    view_joints=(4, 8),
    reference_joints=(4, 8, 12, 16),
    walk_start=2,
)  # fmt: skip
"""UTD-MHAD (Chen et al. 2015, https://personal.utdallas.edu/~kehtar/UTD-MHAD.html)."""

HAND = Skeleton("hand", ("hand",), (-1,), 0, scale_joints=None, view_joints=None, reference_joints=(), walk_start=0)
"""A single point, as in Simitate."""

SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (KINECT_V2, KINECT_V1, HAND)}
