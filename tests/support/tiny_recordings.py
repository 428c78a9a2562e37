"""Recordings that are made up from the name of a file that need not exist: `read` travels to worker processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from sldml.recordings import Layout, Recording, RecordingError
from sldml.recordings.sources import RawSource

LAYOUT = Layout(None, 0, {"acceleration": 8.0, "rotation": 1000.0})


def read(path: Path, num_frames: int = 4) -> Recording:
    """`17` is recording 17, whose every number is 17; `17-broken` is none. Details tell which process read it."""
    number, _, fault = path.name.partition("-")
    match fault:
        case "broken":
            raise RecordingError(path, "is broken")
        case "fatal":
            os._exit(1)
        case "slow":
            time.sleep(60)
    values = np.full((num_frames, LAYOUT.num_rows, 3), float(number), np.float32)
    return Recording(values, 50.0, LAYOUT.row_names, number, "a1", "s1", {"process": os.getpid()})


def source_of(folder: Path, num_files: int, *, num_frames: int = 4) -> RawSource:
    """So many of them."""
    files = tuple(folder / str(number) for number in range(num_files))
    return RawSource("tiny", {}, folder, files, LAYOUT, read, facts=(num_frames,) * num_files)
