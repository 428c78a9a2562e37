"""NTU RGB+D 120: ``.skeleton`` text files of the Kinect v2, up to two actors of 25 joints.

Format and advice: https://github.com/shahroudy/NTURGB-D and Shahroudy et al. 2016 (arXiv 1604.02808),
Liu et al. 2019 (arXiv 1905.04757).
"""

import os
import re
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sldml.signals.files import read_bytes
from sldml.signals.layout import Layout
from sldml.signals.recording import Recording, RecordingError
from sldml.signals.skeletons import KINECT_V2

LAYOUT = Layout(skeleton=KINECT_V2, num_bodies=2)
RATE_HZ = 30.0
MISSING_LIST = "NTU_RGBD120_samples_with_missing_skeletons.txt"

_NUM_JOINTS = 25
_BODY_FIELDS, _JOINT_FIELDS = 10, 12
_BODY_TOKENS = _BODY_FIELDS + 1 + _NUM_JOINTS * _JOINT_FIELDS
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
# A person is taller than wide. The bound on width over height and the share of frames in which it must hold
# are those in common use for this dataset (furniture that the tracker took for a person is wider).
_WIDEST_PERSON = 0.8
_SMALLEST_SHARE = 0.3
# Nearly an hour; the longest real one has some 300. Frames without a body cost a file two bytes each.
_MOST_FRAMES = 100_000


class NtuName(NamedTuple):
    """What a file name says: ``S001C003P008R001A001`` is (1, 3, 8, 1, 1)."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int


def parse_name(stem: str) -> NtuName:
    """The five numbers of a file name without its ending. Raises RecordingError for any other name."""
    match = _NAME.fullmatch(stem)
    if match is None:
        raise RecordingError(stem, "the name must be like S001C003P008R001A001")
    return NtuName(*map(int, match.groups()))


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """All ``*.skeleton`` files in `folder` and below, sorted. Raises RecordingError if it is no folder."""
    if not Path(folder).is_dir():
        raise RecordingError(folder, "is not a folder")
    return sorted(Path(folder).rglob("*.skeleton"))


def missing_list(folder: str | os.PathLike[str]) -> set[str] | None:
    """The recordings that the dataset's authors ask to leave out, or None where their list is not there.

    The list is looked for in `folder` and in the folder that holds it. Three lines of text come first.
    Raises RecordingError if it is there but cannot be read.
    """
    for place in (Path(folder), Path(folder).absolute().parent):
        path = place / MISSING_LIST
        if path.is_file():
            lines = read_bytes(path).decode("utf-8", errors="replace").split()
            return {line for line in lines if _NAME.fullmatch(line)}
    return None


def read(path: str | os.PathLike[str]) -> Recording:
    """One recording: [frames, 50, 3] in metres, the main actor's 25 joints, then the second actor's.

    Every frame is kept; where an actor is absent its joints are zeros. Bodies are followed by their identity
    through gaps and changes of order. The main actor is the body whose x, y and z vary most in sum (variance
    over all joints and frames in which it is there), the second actor the next. Of several bodies, those that
    are not of a person's extent are dropped. Only what is used is looked at: of a joint's twelve columns the
    first three.

    Raises RecordingError, and nothing else, for a file that is missing, cut, garbled or without any body.
    """
    path = Path(path)
    try:
        name = parse_name(path.stem)
        return Recording(
            values=_actors(_parse(path)),
            rate_hz=RATE_HZ,
            row_names=LAYOUT.row_names,
            name=path.stem,
            label=f"A{name.action:03d}",
            subject=f"P{name.performer:03d}",
            details={"setup": name.setup, "camera": name.camera, "replication": name.replication},
        )
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None


class _Bodies(NamedTuple):
    """All bodies of all frames, in the order of the file."""

    num_frames: int
    frames: list[int]
    identities: list[int]
    joints: NDArray[np.float64]
    """[bodies, 25, 3] in metres."""


def _parse(path: Path) -> _Bodies:
    # Only the columns that are used become numbers (a quarter of them), which is faster than one array of
    # everything. Identities stay whole numbers: their 17 digits are more than a float64 holds.
    data = read_bytes(path)
    if not data.isascii() or b"_" in data:  # Python would read 1_0 as ten
        raise RecordingError(path, "is not a text file")
    tokens = data.split()
    if not tokens:
        raise RecordingError(path, "is empty")
    num_frames = _count(path, tokens[0], "frame count")
    if num_frames > _MOST_FRAMES:
        raise RecordingError(path, f"frame count must be at most {_MOST_FRAMES}, but it is {num_frames}")
    position, end = 1, len(tokens)
    frames: list[int] = []
    identities: list[int] = []
    starts: list[int] = []
    # Counts are believed only as far as the file goes on.
    for frame in range(num_frames):
        if position >= end:
            raise RecordingError(path, f"ends before frame {frame} of {num_frames}")
        num_bodies = _count(path, tokens[position], f"body count of frame {frame}")
        position += 1
        present = set()
        for _ in range(num_bodies):
            if position + _BODY_TOKENS > end:
                raise RecordingError(path, f"ends within frame {frame} of {num_frames}")
            joint_count = tokens[position + _BODY_FIELDS]
            if joint_count != b"25":
                raise RecordingError(path, f"frame {frame}: joint count must be 25, but it is {_shown(joint_count)}")
            identity = _count(path, tokens[position], f"body identity in frame {frame}")
            if identity in present:
                raise RecordingError(path, f"frame {frame}: body {identity} is there twice")
            present.add(identity)
            identities.append(identity)
            frames.append(frame)
            starts.append(position + _BODY_FIELDS + 1)
            position += _BODY_TOKENS
    if position != end:
        raise RecordingError(path, f"goes on after its last frame ({num_frames} frames)")
    if not starts:
        raise RecordingError(path, f"holds no body in any of its {num_frames} frames")

    width = _NUM_JOINTS * _JOINT_FIELDS
    columns = [tokens[start + axis : start + width : _JOINT_FIELDS] for axis in range(3) for start in starts]
    try:
        numbers = np.array(list(map(float, chain.from_iterable(columns))))
    except ValueError as error:
        raise RecordingError(path, f"a coordinate is no number: {error}") from None
    joints = numbers.reshape(3, len(starts), _NUM_JOINTS).transpose(1, 2, 0)
    # Metres: what is far beyond the sensor's reach is a garbled file, and what is not finite is none either.
    bad = ~(np.abs(joints) < 1e6).all(axis=(1, 2))
    if bad.any():
        body = int(bad.argmax())
        raise RecordingError(path, f"frame {frames[body]}: coordinates of body {identities[body]} must be finite")
    return _Bodies(num_frames, frames, identities, joints)


def _actors(bodies: _Bodies) -> NDArray[np.float32]:
    """The one or two actors among all bodies: [frames, 50, 3]."""
    places: dict[int, list[int]] = {}
    for place, identity in enumerate(bodies.identities):
        places.setdefault(identity, []).append(place)
    actors = list(places.values())
    if len(actors) > 1:
        actors = [actor for actor in actors if _is_person(bodies.joints[actor])] or actors
        actors.sort(key=lambda actor: -bodies.joints[actor].reshape(-1, 3).var(axis=0).sum())
    values = np.zeros((bodies.num_frames, LAYOUT.num_rows, 3), np.float32)
    frames = np.array(bodies.frames)
    for number, actor in enumerate(actors[: LAYOUT.num_bodies]):
        rows = slice(number * _NUM_JOINTS, (number + 1) * _NUM_JOINTS)
        values[frames[actor], rows] = bodies.joints[actor]
    return values


def _is_person(joints: NDArray[np.float64]) -> bool:
    """Whether a body [frames, 25, 3] is higher than wide often enough."""
    extent = np.ptp(joints, axis=1)
    return bool((extent[:, 0] <= _WIDEST_PERSON * extent[:, 1]).mean() >= _SMALLEST_SHARE)


def _count(path: Path, token: bytes, what: str) -> int:
    # int() would also take "+1", and it refuses more than 4300 digits with an error of its own.
    if not token.isdigit() or len(token) > 20:
        raise RecordingError(path, f"{what} must be a whole number, but it is {_shown(token)}")
    return int(token)


def _shown(token: bytes) -> str:
    text = token[:24].decode("ascii")
    return repr(text) if len(token) <= 24 else f"{text!r}…"
