"""The meaning of a recording's rows: bodies, then sensors; or the pixel rows of an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sldml.recordings.skeletons import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

Rows = Literal["all", "bodies", "sensors"]
"""A selection of rows."""


@dataclass(frozen=True)
class Layout:
    """The rows of a source's recordings: `num_bodies` times the skeleton's joints, then one row per sensor.

    Imported images have neither bodies nor sensors: rows are pixel rows, frames are pixel columns, and the three
    values are red, green and blue, integers from 0 to 255.

    Raises ValueError where skeleton, bodies, sensors and image do not go together.
    """

    skeleton: Skeleton | None
    """None without bodies."""
    num_bodies: int
    sensors: Mapping[str, float] = field(default_factory=dict)
    """Row names of sensors and their full scales, in their own units."""
    image_rows: int = 0
    """Height of imported images in pixels; 0 for signals."""

    def __post_init__(self) -> None:
        if self.num_bodies < 0 or (self.skeleton is None) != (self.num_bodies == 0):
            raise ValueError(
                "num_bodies must be 0 without a skeleton and positive with one, "
                f"but they are {self.num_bodies} and {None if self.skeleton is None else self.skeleton.name}"
            )
        for sensor, full_scale in self.sensors.items():
            if not 0 < full_scale < float("inf"):
                raise ValueError(f"a sensor's full scale must be positive, but {sensor} has {full_scale}")
        if self.image_rows < 0 or (self.image_rows > 0 and (self.skeleton is not None or self.sensors)):
            raise ValueError(
                "image_rows must be 0 with a skeleton or a sensor and not negative without, "
                f"but it is {self.image_rows}"
            )
        if self.num_rows == 0:
            raise ValueError("a layout needs a skeleton, a sensor or an image, but it has none")

    @property
    def body_rows(self) -> int:
        """Number of rows of bodies, which are the first."""
        return 0 if self.skeleton is None else self.num_bodies * self.skeleton.num_joints

    @property
    def num_rows(self) -> int:
        """Number of rows of a recording."""
        return self.body_rows + len(self.sensors) + self.image_rows

    @property
    def dtype(self) -> Literal["<f4", "|u1"]:
        """The type of values in a prepared set: float32, or bytes for images."""
        return "|u1" if self.image_rows > 0 else "<f4"

    @property
    def row_names(self) -> tuple[str, ...]:
        """Joint names (``body2.`` … before those of a second body), sensor names; or ``pixel_row0`` … from the top."""
        joints = () if self.skeleton is None else self.skeleton.joint_names
        pixels = (f"pixel_row{row}" for row in range(self.image_rows))
        bodies = [("" if body == 0 else f"body{body + 1}.") for body in range(self.num_bodies)]
        return (*(body + joint for body in bodies for joint in joints), *self.sensors, *pixels)

    def part(self, rows: Rows) -> "Layout":
        """The layout of only these rows. Raises ValueError if there are none."""
        if rows == "all":
            return self
        if not (self.skeleton is not None if rows == "bodies" else self.sensors):
            raise ValueError(f"there are no {rows} among the {self.num_rows} rows of this layout")
        return Layout(self.skeleton, self.num_bodies) if rows == "bodies" else Layout(None, 0, self.sensors)

    def take_rows(self, signals: "Tensor", rows: Rows) -> "Tensor":
        """Of signals [B, T, rows, 3] the rows that `part` describes, without copying.

        Bodies are counted from the first row and sensors from the last one, so that a part takes its own rows from
        whole recordings, too.
        """
        if rows == "all":
            return signals
        if rows == "bodies":
            return signals[:, :, : self.body_rows]
        return signals[:, :, signals.shape[2] - len(self.sensors) :]

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `from_json`."""
        skeleton = None if self.skeleton is None else self.skeleton.to_json()
        return {
            "skeleton": skeleton,
            "num_bodies": self.num_bodies,
            "sensors": dict(self.sensors),
            "picture_rows": self.image_rows,  # the name in files: another one would change each prepared set's hash
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Layout":
        """From what `to_json` gave (before there were images, too). Raises ValueError for unknown or missing keys."""
        values = {"picture_rows": 0, **values}
        if set(values) != {"skeleton", "num_bodies", "sensors", "picture_rows"}:
            raise ValueError(f"a layout has skeleton, num_bodies, sensors and picture_rows, but found {sorted(values)}")
        sensors = {str(name): float(scale) for name, scale in values["sensors"].items()}
        skeleton = None if values["skeleton"] is None else Skeleton.from_json(values["skeleton"])
        return cls(skeleton, int(values["num_bodies"]), sensors, int(values["picture_rows"]))
