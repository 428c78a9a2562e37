"""Simitate: the demonstrator's hand in motion capture, as CSV files from ROS.

R. Memmesheimer, I. Kramer, V. Seib, D. Paulus, *Simitate: A Hybrid Imitation Learning Benchmark*, IROS 2019
(arXiv 1905.06002). The files are the output of ``rostopic echo -p /tf``: a line is a message of one or several
transforms, of which those from ``world`` to ``hand`` are read; the folders are
``<category>/<class>/<person>/<sequence>/``, as in https://github.com/airglow/simitate_dataset_pytorch.
"""

import os
import re
from codecs import BOM_UTF8
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.content import require_content
from sldml.recordings.layout import Layout
from sldml.recordings.readers.files import read_bytes
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import HAND
from sldml.recordings.walking import files_below

LAYOUT = Layout(skeleton=HAND, num_bodies=1)
CATEGORIES = ("basic_motions", "motions", "sequential", "complex")

# A geometry_msgs/TransformStamped of ROS. A line has the time and then transforms one after another; the header is
# that of the first message, and later lines may have more or fewer transforms.
_FIELDS = (
    "header.seq", "header.stamp", "header.frame_id", "child_frame_id",
    "transform.translation.x", "transform.translation.y", "transform.translation.z",
    "transform.rotation.x", "transform.rotation.y", "transform.rotation.z", "transform.rotation.w",
)  # fmt: skip
_STAMP, _FRAME, _CHILD, _PLACE = 1, 2, 3, slice(4, 7)
# Estimates of the authors' baseline, next to a recording.
_ESTIMATES = "openpose.csv"
# Motion capture has tens to hundreds of poses per second. Outside of these limits, the stamps are garbled.
_SLOWEST_HZ, _FASTEST_HZ = 1.0, 10_000.0


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """All ``*.csv`` files in `folder` below a category's folder, sorted.

    Files at a wrong depth are included, so that `read` reports them.
    Raises RecordingError if `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordingError(folder, "is not a folder")
    found = (path for path in files_below(folder) if path.suffix == ".csv" and path.name != _ESTIMATES)
    return sorted(path for path in found if not set(CATEGORIES).isdisjoint(path.relative_to(folder).parts[:-1]))


def read(path: str | os.PathLike[str], *, any_name: bool = False) -> Recording:
    """One recording: the hand's position [poses, 1, 3] in metres in the frame of the capture system.

    Label, subject and sequence are the names of the folders; `details` has the number at the end of the sequence's
    name, if there is one. Poses are sorted by stamp; of several with the same stamp, the first is kept. `rate_hz` is
    the number of poses over their time span: they are captured at 120 Hz, but stamped by a slower reader that sometimes
    takes two at once, so the usual distance of stamps (10.2 ms in the published examples) would give 98 Hz. With
    `any_name` the file may be anywhere; outside of the dataset's folders, label and subject are empty.

    Raises only RecordingError: the file is missing, misplaced, truncated, garbled or without the hand.
    """
    path = Path(path)
    label, subject, sequence = ("", "", "") if any_name and not _is_in_place(path) else _folders(path)
    stamps, places = _parse(path)
    stamps, first = np.unique(stamps, return_index=True)
    if len(stamps) < 2:
        raise RecordingError(path, f"a recording needs at least 2 poses of the hand, but this one has {len(stamps)}")
    rate_hz = (len(stamps) - 1) * 1e9 / int(stamps[-1] - stamps[0])
    if not _SLOWEST_HZ <= rate_hz <= _FASTEST_HZ:
        raise RecordingError(
            path, f"stamps must be {_SLOWEST_HZ:g} to {_FASTEST_HZ:g} per second, but they are {rate_hz:.3g}"
        )
    number = re.search(r"\d{1,9}$", sequence, re.ASCII)
    recording = Recording(
        values=places[first].astype(np.float32)[:, None],
        rate_hz=rate_hz,
        row_names=LAYOUT.row_names,
        name=f"{label}/{subject}/{sequence}/{path.stem}" if label else path.stem,
        label=label,
        subject=subject,
        details={"sequence": int(number[0])} if number else {},
    )
    try:
        return require_content(recording, LAYOUT)
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None


def named(path: Path) -> tuple[str, str, str] | None:
    """Name, label and subject by the folders of a file; None if it is misplaced."""
    if not _is_in_place(path):
        return None
    label, subject, sequence = path.absolute().parts[-4:-1]
    return f"{label}/{subject}/{sequence}/{path.stem}", label, subject


def _is_in_place(path: Path) -> bool:
    names = path.absolute().parts[-5:-1]
    return len(names) == 4 and names[0] in CATEGORIES


def _folders(path: Path) -> tuple[str, ...]:
    """The names of class, person and sequence."""
    names = path.absolute().parts[-5:-1]
    if not _is_in_place(path):
        raise RecordingError(
            path,
            "must be in <category>/<class>/<person>/<sequence>/ with a category of "
            f"{', '.join(CATEGORIES)}, but is in {_shown('/'.join(names), 80)}",
        )
    for name in (*names, path.stem):
        if not name.isprintable():
            raise RecordingError(path, f"names must be readable text, but one is {_shown(name, 40)}")
    return names[1:]


def _parse(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stamps [poses] in nanoseconds and positions [poses, 3] of the hand, in the order of the file."""
    data = read_bytes(path).removeprefix(BOM_UTF8)
    if not data.isascii() or b"\x00" in data:
        raise RecordingError(path, "is not a text file")
    lines = data.decode("ascii").splitlines()
    if not any(lines):
        raise RecordingError(path, "is empty")
    _check_header(path, lines[0])
    width = len(_FIELDS)
    stamps: list[str] = []
    places: list[list[str]] = []
    for number, line in enumerate(lines[1:], start=2):
        commas = line.count(",")
        if commas % width or (line and not commas):
            raise RecordingError(
                path, f"line {number}: must be a time and {width} fields per transform, but there are {commas} commas"
            )
        if "hand" not in line:
            continue
        fields = line.split(",")
        for start in range(1, len(fields), width):
            transform = fields[start : start + width]
            # Names start with a slash in the first version of tf and in some of these messages.
            if transform[_FRAME].removeprefix("/") == "world" and transform[_CHILD].removeprefix("/") == "hand":
                stamps.append(transform[_STAMP])
                places.append(transform[_PLACE])
    if not stamps:
        raise RecordingError(path, "has no transform from world to hand")
    return _stamps(path, stamps), _places(path, places)


def _check_header(path: Path, header: str) -> None:
    names = header.split(",")
    blocks = range((len(names) - 1) // len(_FIELDS))
    expected = ["%time", *(f"field.transforms{block}.{field}" for block in blocks for field in _FIELDS)]
    if names != expected or not blocks:
        raise RecordingError(
            path, f"must start with the header of rostopic echo -p /tf, but starts with {_shown(header, 40)}"
        )


def _stamps(path: Path, texts: list[str]) -> NDArray[np.int64]:
    for text in texts:
        # Nanoseconds since 1970 have 19 digits until 2286; int() would also accept "+1" and "1_0".
        if not text.isdigit() or len(text) > 19 or int(text) >= 2**63:
            raise RecordingError(path, f"a stamp must be a whole number of nanoseconds, but it is {_shown(text)}")
    return np.array(list(map(int, texts)), dtype=np.int64)


def _places(path: Path, texts: list[list[str]]) -> NDArray[np.float64]:
    flat = list(chain.from_iterable(texts))
    for text in flat:
        if "_" in text:  # Python would read 1_0 as ten
            raise RecordingError(path, f"a coordinate is not a number: {_shown(text)}")
    try:
        places = np.array(list(map(float, flat))).reshape(-1, 3)
    except ValueError as error:
        raise RecordingError(path, f"a coordinate is not a number: {str(error)[:80]}") from None
    # Metres: values beyond any room, or not finite, mean a garbled file.
    bad = ~(np.abs(places) < 1e6).all(axis=1)
    if bad.any():
        raise RecordingError(path, f"pose {int(bad.argmax())} of the hand must be finite, but it is not")
    return places


def _shown(text: str, most: int = 24) -> str:
    return repr(text) if len(text) <= most else f"{text[:most]!r}…"
