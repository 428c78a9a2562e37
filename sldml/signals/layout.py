"""What the rows of a source mean: bodies first, then sensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sldml.signals.skeletons import Skeleton


@dataclass(frozen=True)
class Layout:
    """The rows of a source's recordings: `num_bodies` times the skeleton's joints, then one row a sensor.

    Raises ValueError where skeleton, bodies and sensors do not go together.
    """

    skeleton: Skeleton | None
    """None where there is no body."""
    num_bodies: int
    sensors: Mapping[str, float] = field(default_factory=dict)
    """A sensor's row name and its full scale, in its own unit: dividing by it gives values in [-1, 1]."""

    def __post_init__(self) -> None:
        if self.num_bodies < 0 or (self.skeleton is None) != (self.num_bodies == 0):
            raise ValueError(
                "num_bodies must be 0 without a skeleton and positive with one, "
                f"but they are {self.num_bodies} and {None if self.skeleton is None else self.skeleton.name}"
            )
        for sensor, full_scale in self.sensors.items():
            if not 0 < full_scale < float("inf"):
                raise ValueError(f"a sensor's full scale must be positive, but {sensor} has {full_scale}")
        if self.num_rows == 0:
            raise ValueError("a layout needs a skeleton or a sensor, but it has neither")

    @property
    def body_rows(self) -> int:
        """How many rows, from the first on, belong to bodies."""
        return 0 if self.skeleton is None else self.num_bodies * self.skeleton.num_joints

    @property
    def num_rows(self) -> int:
        """How many rows a recording has."""
        return self.body_rows + len(self.sensors)

    @property
    def row_names(self) -> tuple[str, ...]:
        """Joint names (``body2.`` and so on before those of further bodies), then sensor names."""
        joints = () if self.skeleton is None else self.skeleton.joint_names
        bodies = [("" if body == 0 else f"body{body + 1}.") for body in range(self.num_bodies)]
        return (*(body + joint for body in bodies for joint in joints), *self.sensors)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `from_json`."""
        skeleton = None if self.skeleton is None else self.skeleton.to_json()
        return {"skeleton": skeleton, "num_bodies": self.num_bodies, "sensors": dict(self.sensors)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Layout":
        """From what `to_json` gave. Raises ValueError where a key is missing or unknown."""
        if set(values) != {"skeleton", "num_bodies", "sensors"}:
            raise ValueError(f"a layout has skeleton, num_bodies and sensors, but found {sorted(values)}")
        sensors = {str(name): float(scale) for name, scale in values["sensors"].items()}
        skeleton = None if values["skeleton"] is None else Skeleton.from_json(values["skeleton"])
        return cls(skeleton, int(values["num_bodies"]), sensors)
