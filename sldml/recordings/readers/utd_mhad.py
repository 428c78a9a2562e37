"""UTD-MHAD: 27 actions by 8 subjects, a Kinect v1 skeleton and one wearable sensor, in MATLAB files.

C. Chen, R. Jafari, N. Kehtarnavaz, *UTD-MHAD: A multimodal dataset for human action recognition utilizing a
depth camera and a wearable inertial sensor*, ICIP 2015.
"""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.content import require_content
from sldml.recordings.layout import Layout
from sldml.recordings.readers.matlab import read_array
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import KINECT_V1
from sldml.recordings.walking import files_below

MODALITIES = ("skeleton", "inertial", "fused")
SENSORS = {"acceleration": 8.0, "rotation": 1000.0}
"""The wearable sensor's rows and full scales: acceleration in g, rotation in degrees per second."""

_RATE_HZ = {"skeleton": 30.0, "inertial": 50.0, "fused": 30.0}
_LAYOUTS = {
    "skeleton": Layout(KINECT_V1, 1),
    "inertial": Layout(None, 0, SENSORS),
    "fused": Layout(KINECT_V1, 1, SENSORS),
}
_FOLDERS = {"skeleton": "Skeleton", "inertial": "Inertial"}
_NAME = re.compile(r"a(\d{1,3})_s(\d{1,3})_t(\d{1,3})_(skeleton|inertial)", re.ASCII)


def layout(modality: str) -> Layout:
    """The rows of a modality's recordings. Raises ValueError for an unknown modality."""
    if modality not in _LAYOUTS:
        raise ValueError(f"modality must be one of {', '.join(MODALITIES)}, but it is {modality!r}")
    return _LAYOUTS[modality]


def find(folder: str | os.PathLike[str], modality: str = "skeleton") -> list[Path]:
    """The files to `read` for a modality in `folder` and below, by action, subject and trial.

    Files are found by name at any depth (the published archives have ``Skeleton/`` and ``Inertial/``). For ``fused``,
    these are the skeleton files with an inertial partner. Raises RecordingError if `folder` is not a folder, ValueError
    for an unknown modality.
    """
    layout(modality)
    if not Path(folder).is_dir():
        raise RecordingError(folder, "is not a folder")
    kind = "inertial" if modality == "inertial" else "skeleton"
    found: list[tuple[tuple[int, ...], Path]] = []
    for path in files_below(Path(folder)):
        match = _NAME.fullmatch(path.stem) if path.name.endswith(f"_{kind}.mat") else None
        if match and (modality != "fused" or _partner(path).is_file()):
            found.append((tuple(map(int, match.groups()[:3])), path))
    return [path for _, path in sorted(found)]


def read(path: str | os.PathLike[str], modality: str = "skeleton", *, any_name: bool = False) -> Recording:
    """One recording: [frames, 20, 3] in metres, [samples, 2, 3] in g and degrees per second, or both.

    ``fused`` takes the skeleton file and finds the inertial one in the same folder or in ``Inertial`` next to it. The
    samples of the wearable sensor are interpolated linearly at the frames of the skeleton, with the first and last
    aligned, because the nominal rates of the two do not match (2.4 to 4.5 samples per frame). With `any_name` the file
    may have any name (`wave_skeleton.mat` and `wave_inertial.mat` are a pair); if it is not the dataset's, label and
    subject are empty.

    Raises RecordingError if the file is missing, truncated, garbled or of another kind, and ValueError for an unknown
    modality.
    """
    rows = layout(modality)
    path = Path(path)
    kind = "inertial" if modality == "inertial" else "skeleton"
    match = _NAME.fullmatch(path.stem)
    if not any_name and (match is None or match[4] != kind):
        raise RecordingError(path, f"the name must be like a1_s1_t1_{kind}.mat")
    if kind == "inertial":
        values = _read_inertial(path)
    else:
        values = _read_skeleton(path)
        if modality == "fused":
            samples = _read_inertial(_partner(path))
            values = np.concatenate([values, _resample(samples, len(values))], axis=1)
    with np.errstate(over="ignore"):  # overflows are refused as not finite
        stored = np.ascontiguousarray(values, dtype=np.float32)
    try:
        recording = Recording(
            values=stored,
            rate_hz=_RATE_HZ[modality],
            row_names=rows.row_names,
            name=f"a{match[1]}_s{match[2]}_t{match[3]}" if match else path.stem.removesuffix(f"_{kind}"),
            label=f"a{match[1]}" if match else "",
            subject=f"s{match[2]}" if match else "",
            details={"trial": int(match[3])} if match else {},
        )
        return require_content(recording, rows)
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None


def _partner(path: Path) -> Path:
    name = path.name.replace("_skeleton", "_inertial")
    beside = path.absolute().parent.parent / _FOLDERS["inertial"] / name
    own = path.with_name(name)
    return own if own.is_file() else beside


def _read_skeleton(path: Path) -> NDArray[np.float64]:
    """[frames, 20, 3]."""
    values = read_array(path, "d_skel")
    if values.shape[:2] != (20, 3) or values.ndim != 3:
        raise RecordingError(path, f"d_skel must be [20, 3, frames], but its shape is {list(values.shape)}")
    return values.transpose(2, 0, 1)


def _read_inertial(path: Path) -> NDArray[np.float64]:
    """[samples, 2, 3]."""
    values = read_array(path, "d_iner")
    if values.shape[1:] != (6,):
        raise RecordingError(path, f"d_iner must be [samples, 6], but its shape is {list(values.shape)}")
    if len(values) < 2:
        raise RecordingError(path, f"a recording needs at least 2 samples, but this one has {len(values)}")
    return values.reshape(len(values), 2, 3)


def _resample(samples: NDArray[np.float64], num_frames: int) -> NDArray[np.float64]:
    """[samples, rows, 3] at `num_frames` evenly spaced times from the first to the last sample."""
    moments = np.linspace(0, len(samples) - 1, num_frames)
    before = np.minimum(moments.astype(int), len(samples) - 2)
    weight = (moments - before)[:, None, None]
    blended: NDArray[np.float64] = samples[before] * (1 - weight) + samples[before + 1] * weight
    return blended
