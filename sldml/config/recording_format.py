"""The file format of a user's own dataset: `data.format`, or a YAML file next to the manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from sldml.config.parts import Part

Axis = Literal["frames", "bodies", "rows", "values"]
LENGTHS_M = {
    "metre": 1.0, "m": 1.0, "centimetre": 0.01, "cm": 0.01, "millimetre": 0.001, "mm": 0.001, "inch": 0.0254,
    "foot": 0.3048,
}  # fmt: skip
"""The units of length that `unit` may name, in metres."""
TIMES_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""The units that `time_unit` may name, in seconds."""
AXES = {"x": 0, "y": 1, "z": 2}
KNOWN_SKELETONS = ("kinect_v2", "kinect_v1", "hand")
"""Skeletons that can be given by name (`sldml.recordings.SKELETONS`)."""


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return pattern


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("not a text encoding of Python (utf-8, utf-16, latin-1, cp1252 …)") from None
    return name


def _length(unit: str | float) -> str | float:
    if isinstance(unit, str) and unit not in LENGTHS_M:
        raise ValueError(f"a unit is one of {', '.join(LENGTHS_M)}, or a number of metres")
    if not isinstance(unit, str) and not 0 < unit < float("inf"):
        raise ValueError("a number of metres must be positive")
    return unit


class SkeletonFormat(Part):
    """The joints of a body and their roles. `{name: kinect_v1}` alone is a known skeleton."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str = "skeleton"
    joints: tuple[str, ...] = ()
    """Names, in the order of the file (or of `rows`)."""
    parents: dict[str, str] = Field(default_factory=dict)
    """`joint: its parent` for all joints but one; if left out, `root` is the parent of all."""
    root: str | None = None
    """The joint that defines the body's position; None: the one without a parent."""
    scale: tuple[str, str] | None = None
    """Two joints with the body's size as their distance, such as both ends of the spine."""
    face: tuple[str, str] | None = None
    """Left and right shoulder, which define the direction that the body faces."""
    references: tuple[str, ...] | None = None
    """Reference joints of TSRJI; None: those of `face`, or the root."""
    walk_start: str | None = None
    """First joint of the walk of SkeleMotion and TSRJI; None: the root."""

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        if not self.joints:
            if self.name not in KNOWN_SKELETONS:
                raise ValueError(f"a skeleton needs joints, or one of the names {', '.join(KNOWN_SKELETONS)}")
            if self.model_fields_set - {"name"}:
                raise ValueError(f"the skeleton {self.name} is predefined: leave out other keys or give joints")
            return self
        if double := {joint for joint in self.joints if self.joints.count(joint) > 1}:
            raise ValueError(f"joints: {min(double)} is given twice")
        named: dict[str, Sequence[str | None]] = {
            "parents": [*self.parents, *self.parents.values()],
            "root": [self.root],
            "scale": self.scale or (),
            "face": self.face or (),
            "references": self.references or (),
            "walk_start": [self.walk_start],
        }
        for key, joints in named.items():
            for joint in joints:
                if joint is not None and joint not in self.joints:
                    raise ValueError(f"{key}: {joint} is not one of the joints")
        for key, pair in (("scale", self.scale), ("face", self.face)):
            if pair is not None and pair[0] == pair[1]:
                raise ValueError(f"{key}: two different joints are needed, but both are {pair[0]}")
        if self.parents:
            self._check_parents()
        elif self.root is None and len(self.joints) > 1:
            raise ValueError("give parents (joint: its parent), or the root as the parent of all joints")
        return self

    def _check_parents(self) -> None:
        top = [joint for joint in self.joints if joint not in self.parents]
        if len(top) != 1:
            raise ValueError(f"parents: exactly one joint must have none, not {', '.join(top) or 'no joint'}")
        for joint in self.joints:
            above, steps = joint, 0
            while above != top[0] and steps <= len(self.joints):
                above, steps = self.parents[above], steps + 1
            if above != top[0]:
                raise ValueError(f"parents: those of {joint} form a cycle and never reach {top[0]}")


class TextFormat(Part):
    """The format of text files (`.npy`, `.npz` and `.mat` files describe themselves)."""

    delimiter: str | None = Field(None, min_length=1)
    """Separator of columns; None: `,` in .csv, a tab in .tsv, else any white space."""
    decimal: Literal[".", ","] = "."
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    skip_lines: int = Field(0, ge=0)
    """Number of lines to skip at the beginning."""
    comment: str | None = Field(None, min_length=1)
    """The rest of a line from this text on is ignored."""
    ignore_lines: Annotated[str, AfterValidator(_regular_expression)] | None = None
    """A regular expression: lines that contain a match are ignored, such as a heading for each frame."""
    header: bool = False
    """Whether the first remaining line holds the names of the columns."""

    @model_validator(mode="after")
    def _decimal_is_no_delimiter(self) -> Self:
        if self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal cannot both be {self.decimal!r}")
        return self


Column = int | str
"""A column by number (from 1), or by its name in the header line."""


class RecordingFormat(Part):
    """The meaning of the numbers in files that hold one recording each.

    The rows of a recording are the joints of `num_bodies` bodies, then the sensors. `columns`, `drop_columns` and
    `time_column` select columns of tables (text, or arrays with two axes); the remaining numbers are read in `order`.
    """

    skeleton: SkeletonFormat | None = None
    num_bodies: int = Field(1, ge=1, le=8)
    """Number of bodies in a file, with a skeleton; an absent body is zeros."""
    sensors: dict[str, float] = Field(default_factory=dict)
    """`sensor: its full scale` in its own unit, for `normalize.sensors`."""
    rows: tuple[str, ...] | None = None
    """The rows of the file, if they differ from the joints and sensors in order; other rows are dropped."""
    order: tuple[Axis, ...] = ("frames", "rows", "values")
    """The axes of the array, from the outermost to the innermost."""
    values: tuple[str, ...] = ("x", "y", "z")
    """The numbers of a row: x (right), y (up), z (depth), with - for the opposite direction; other names are dropped,
    and missing axes are zero."""
    unit: Annotated[str | float, AfterValidator(_length)] = "metre"
    """Unit of length of the bodies; sensors keep their own units."""
    rate_hz: float | None = Field(None, gt=0)
    """Frames per second; the manifest's column rate_hz has precedence."""
    variable: str | None = None
    """Name of the array in a `.npz` or `.mat` file; None: the only one."""
    columns: tuple[Column | None, ...] | None = None
    """Keep these columns, in this order; null inserts zeros."""
    drop_columns: tuple[Column, ...] = ()
    """Drop these columns."""
    time_column: Column | None = None
    """The column of time stamps, from which the rate is computed; not part of the signal."""
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    missing: Literal["refuse", "interpolate", "zero"] = "refuse"
    """What to do about missing numbers: refuse the file, interpolate linearly, or take 0."""
    missing_values: tuple[str | float, ...] = ("", "NA")
    """Texts or numbers that mark a missing number, in addition to NaN."""
    text: TextFormat = TextFormat()

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        if self.skeleton is None and not self.sensors:
            raise ValueError("a skeleton or sensors are needed: without them the rows have no meaning")
        if self.skeleton is None and "num_bodies" in self.model_fields_set and self.num_bodies != 1:
            raise ValueError("num_bodies needs a skeleton")
        for sensor, full_scale in self.sensors.items():
            if not full_scale > 0:
                raise ValueError(f"sensors: the full scale of {sensor} must be positive, but it is {full_scale}")
        self._check_axes()
        if self.columns is not None and self.drop_columns:
            raise ValueError("columns and drop_columns: give only one of them")
        numbers = [c for c in (*(self.columns or ()), *self.drop_columns, self.time_column) if isinstance(c, int)]
        if any(number < 1 for number in numbers):
            raise ValueError(f"columns are counted from 1, but {min(numbers)} is named")
        if self.time_column is not None and self.order[0] != "frames":
            raise ValueError("time_column needs frames as the first of order")
        return self

    def _check_axes(self) -> None:
        if sorted(self.order) not in (["frames", "rows", "values"], ["bodies", "frames", "rows", "values"]):
            raise ValueError("order needs frames, rows and values once each (and bodies, if they are an axis)")
        if "bodies" in self.order and (self.skeleton is None or self.sensors):
            raise ValueError("order: bodies can be an axis only with a skeleton and without sensors")
        axes = [value.removeprefix("-") for value in self.values if value.removeprefix("-") in AXES]
        if not axes or len(set(axes)) != len(axes):
            raise ValueError(f"values need x, y or z, each at most once, but they are {', '.join(self.values)}")
        rows = self.rows or ()
        if double := {row for row in rows if rows.count(row) > 1}:
            raise ValueError(f"rows: {min(double)} is given twice (give dropped rows different names)")
