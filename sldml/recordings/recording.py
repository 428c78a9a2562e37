"""The recording type that every reader returns; checked on construction."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


class RecordingError(ValueError):
    """A file does not contain a recording. ``str`` of it is one line: ``<path>: <reason>``.

    The parts are separate attributes (`path`, `reason`), for tables of unreadable files. It can be pickled, because it
    is raised in worker processes.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = " ".join(reason.split())
        super().__init__(self.path, self.reason)

    def __str__(self) -> str:
        return " ".join(f"{self.path}: {self.reason}".splitlines())


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording, every frame kept, neither centred nor scaled.

    Raises `RecordingError` (with the recording's name in place of a path) unless `values` is a finite float32
    array [frames, rows, 3] of at least two frames, with one name for each row.
    """

    values: NDArray[np.float32]
    """[frames, rows, 3] in the units of the source; an absent body is zeros."""
    rate_hz: float
    """Frames per second, as stated by the source."""
    row_names: tuple[str, ...]
    """One for each row: joints of the first body, of the second, then sensors."""
    name: str
    """Unique within its source: ``S001C003P008R001A001``, ``a1_s1_t1``."""
    label: str
    """The action's class: ``A001``, ``a1``."""
    subject: str
    """The person who performs it: ``P008``, ``s1``."""
    details: Mapping[str, int | str] = field(default_factory=dict)
    """Other properties: setup, camera and replication (NTU), trial (UTD-MHAD), role (image folders)."""

    def __post_init__(self) -> None:
        if reason := self._fault():
            raise RecordingError(self.name, reason)

    def _fault(self) -> str | None:
        values = self.values
        if not isinstance(values, np.ndarray) or values.dtype != np.float32:
            found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            return f"values must be a float32 array, but they are {found}"
        if values.ndim != 3 or values.shape[1] < 1 or values.shape[2] != 3:
            return f"values must be [frames, rows, 3], but their shape is {list(values.shape)}"
        if len(values) < 2:
            return f"a recording needs at least 2 frames, but this one has {len(values)}"
        if len(self.row_names) != values.shape[1]:
            return f"{values.shape[1]} rows need as many names, not {len(self.row_names)}"
        # A finite sum has finite parts: in the usual case no mask is needed.
        with np.errstate(over="ignore", invalid="ignore"):
            surely_finite = np.isfinite(values.sum())
        if not surely_finite and not np.isfinite(values).all():
            frame, row, _ = np.argwhere(~np.isfinite(values))[0]
            return f"values must be finite, but frame {frame}, row {self.row_names[row]} is not"
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            return f"rate_hz must be positive, but it is {self.rate_hz}"
        return None
