"""NTU RGB+D 120: ``.skeleton`` text files of the Kinect v2, up to two actors of 25 joints.

Format and advice: https://github.com/shahroudy/NTURGB-D and Shahroudy et al. 2016 (arXiv 1604.02808),
Liu et al. 2019 (arXiv 1905.04757).

**Identities.** The tracker keeps the identity of a body while it sees it; the order of bodies in a frame has no
meaning. A person who is lost and found again may get a new identity, so that one person is several *fragments*. Two
identities are joined if they never share a frame, the later one starts at most half a second (15 frames) after the
earlier one ends, and at most 0.3 m from its last position (of the base of the spine, which moves least). Nearest pairs
are joined first; a pair is not joined if its persons then share a frame.

Reasons for these limits: the bases of two people are hardly ever within 0.3 m unless they embrace, and a slow walk
(0.6 m/s) covers this distance in half a second. People who move faster or are unseen for longer remain two actors
rather than being mixed with another person. The limits are this project's own: no recordings of the dataset were
available for tuning.

Fragments are joined *before* furniture is dropped: a person who falls and is found again lying down is wide in the
later fragment, and only the joined fragments have a person's extent.
"""

import math
import os
import re
from bisect import bisect_right
from codecs import BOM_UTF8
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.content import require_content
from sldml.recordings.layout import Layout
from sldml.recordings.readers.files import read_bytes
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import KINECT_V2
from sldml.recordings.walking import files_below

LAYOUT = Layout(skeleton=KINECT_V2, num_bodies=2)
RATE_HZ = 30.0
MISSING_LIST = "NTU_RGBD120_samples_with_missing_skeletons.txt"

_NUM_JOINTS = 25
_BODY_FIELDS, _JOINT_FIELDS = 10, 12
# A body's own line, the count of its joints, and the joints.
_BODY_LINES = 2 + _NUM_JOINTS
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
# A person is taller than wide. The limit of width over height and the share of frames in which it must hold are
# those commonly used for this dataset (furniture that was tracked as a person is wider).
_WIDEST_PERSON = 0.8
_SMALLEST_SHARE = 0.3
# When two identities are joined: see above.
_LONGEST_GAP_FRAMES = 15
_FARTHEST_M = 0.3
_ROOT = KINECT_V2.root
# Real recordings have a few; all pairs are compared.
_MOST_IDENTITIES = 1000
# Nearly an hour; the longest real recording has about 300. Frames without a body take two bytes each.
_MOST_FRAMES = 100_000


class NtuName(NamedTuple):
    """The parts of a file name: ``S001C003P008R001A001`` is (1, 3, 8, 1, 1)."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int


def parse_name(stem: str) -> NtuName:
    """The five numbers of a file name without its suffix. Raises RecordingError for any other name."""
    match = _NAME.fullmatch(stem)
    if match is None:
        raise RecordingError(stem, "the name must be like S001C003P008R001A001")
    return NtuName(*map(int, match.groups()))


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """All ``*.skeleton`` files in `folder` and below, sorted; links are followed.

    Raises RecordingError if it is not a folder.
    """
    if not Path(folder).is_dir():
        raise RecordingError(folder, "is not a folder")
    return [path for path in files_below(Path(folder)) if path.suffix == ".skeleton"]


def missing_list(folder: str | os.PathLike[str]) -> set[str] | None:
    """The recordings that the dataset's authors exclude, or None if their list is missing.

    The list is expected in `folder` or its parent folder, and starts with three lines of text.
    Raises RecordingError if it cannot be read.
    """
    for parent in (Path(folder), Path(folder).absolute().parent):
        path = parent / MISSING_LIST
        if path.is_file():
            lines = read_bytes(path).decode("utf-8", errors="replace").split()
            return {line for line in lines if _NAME.fullmatch(line)}
    return None


def read(path: str | os.PathLike[str], *, any_name: bool = False) -> Recording:
    """One recording: [frames, 50, 3] in metres, the main actor's 25 joints, then the second actor's.

    Every frame is kept; the joints of an absent actor are zeros. Bodies are followed by their identity, and by their
    position if they return with another identity (see the module). The main actor is the body with the largest sum of
    the variances of x, y and z (over all joints and the frames in which it is present), the second actor the next. Of
    several bodies, those without a person's extent are dropped. Only the first three of a joint's twelve columns are
    used, and the last one, its tracking state, must be present. With `any_name` the file may have any name; if it is
    not the dataset's, label and subject are empty.

    Raises only RecordingError: the file is missing, truncated, garbled or without any body (see `require_content`).
    """
    path = Path(path)
    try:
        if any_name and _NAME.fullmatch(path.stem) is None:
            unnamed = Recording(_actors(_parse(path)), RATE_HZ, LAYOUT.row_names, path.stem, "", "")
            return require_content(unnamed, LAYOUT)
        name = parse_name(path.stem)
        recording = Recording(
            values=_actors(_parse(path)),
            rate_hz=RATE_HZ,
            row_names=LAYOUT.row_names,
            name=path.stem,
            label=f"A{name.action:03d}",
            subject=f"P{name.performer:03d}",
            details={"setup": name.setup, "camera": name.camera, "replication": name.replication},
        )
        return require_content(recording, LAYOUT)
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
    # The structure is parsed line by line in Python (27 lines per body); the joints are converted in one call of a
    # compiled reader. Identities are kept as integers, because their 17 digits exceed the precision of float64.
    data = read_bytes(path).removeprefix(BOM_UTF8)
    if not data.isascii():
        raise RecordingError(path, "is not a text file")
    lines = data.strip().splitlines()
    if not lines:
        raise RecordingError(path, "is empty")
    num_frames = _count(path, lines[0].strip(), "frame count")
    if num_frames > _MOST_FRAMES:
        raise RecordingError(path, f"frame count must be at most {_MOST_FRAMES}, but it is {num_frames}")
    position, end = 1, len(lines)
    frames: list[int] = []
    identities: list[int] = []
    joint_lines: list[bytes] = []
    # Counts are checked against the number of lines.
    for frame in range(num_frames):
        if position >= end:
            raise RecordingError(path, f"ends before frame {frame} of {num_frames}")
        num_bodies = _count(path, lines[position].strip(), f"body count of frame {frame}")
        position += 1
        present = set()
        for _ in range(num_bodies):
            body = lines[position : position + _BODY_LINES]
            position += _BODY_LINES
            if len(body) > 1 and (joint_count := body[1].strip()) != b"25":
                raise RecordingError(path, f"frame {frame}: joint count must be 25, but it is {_shown(joint_count)}")
            if len(body) < _BODY_LINES:
                raise RecordingError(path, f"ends within frame {frame} of {num_frames}")
            fields = body[0].split()
            if len(fields) != _BODY_FIELDS:
                raise RecordingError(
                    path, f"frame {frame}: a body has {_BODY_FIELDS} fields, but one has {len(fields)}"
                )
            identity = _count(path, fields[0], f"body identity in frame {frame}")
            if identity in present:
                raise RecordingError(path, f"frame {frame}: body {identity} occurs twice")
            present.add(identity)
            identities.append(identity)
            frames.append(frame)
            joint_lines += body[2:]
    if position != end:
        raise RecordingError(path, f"has more lines after its last frame ({num_frames} frames)")
    if not frames:
        raise RecordingError(path, f"has no body in any of its {num_frames} frames")
    if len(set(identities)) > _MOST_IDENTITIES:
        raise RecordingError(path, f"body identities must be at most {_MOST_IDENTITIES}, but there are more")
    return _Bodies(num_frames, frames, identities, _joints(path, frames, identities, joint_lines))


def _joints(path: Path, frames: list[int], identities: list[int], lines: list[bytes]) -> NDArray[np.float64]:
    """[bodies, 25, 3]: the first three columns of the joints' lines."""
    if not lines[-1].strip():  # the reader would warn about only empty lines
        raise RecordingError(path, "a joint's line is empty")
    try:
        # The last column is read to detect truncated lines.
        numbers = np.loadtxt(lines, usecols=(0, 1, 2, _JOINT_FIELDS - 1), comments=None, ndmin=2)
    except ValueError as error:
        raise RecordingError(path, f"joints must be lines of {_JOINT_FIELDS} numbers: {str(error)[:80]}") from None
    if len(numbers) != len(lines):
        raise RecordingError(path, "a joint's line is empty")
    joints = numbers[:, :3].reshape(-1, _NUM_JOINTS, 3)
    # Metres: values far beyond the sensor's range, or not finite, mean a garbled file.
    bad = ~(np.abs(joints) < 1e6).all(axis=(1, 2))
    if bad.any():
        body = int(bad.argmax())
        raise RecordingError(path, f"frame {frames[body]}: coordinates of body {identities[body]} must be finite")
    return joints


def _actors(bodies: _Bodies) -> NDArray[np.float32]:
    """The one or two actors among all bodies: [frames, 50, 3]."""
    places: dict[int, list[int]] = {}
    for place, identity in enumerate(bodies.identities):
        places.setdefault(identity, []).append(place)
    actors = _people(bodies, list(places.values()))
    if len(actors) > 1:
        actors = [actor for actor in actors if _is_person(bodies.joints[actor])] or actors
        actors.sort(key=lambda actor: -bodies.joints[actor].reshape(-1, 3).var(axis=0).sum())
    values = np.zeros((bodies.num_frames, LAYOUT.num_rows, 3), np.float32)
    frames = np.array(bodies.frames)
    for number, actor in enumerate(actors[: LAYOUT.num_bodies]):
        rows = slice(number * _NUM_JOINTS, (number + 1) * _NUM_JOINTS)
        values[frames[actor], rows] = bodies.joints[actor]
    return values


def _people(bodies: _Bodies, fragments: list[list[int]]) -> list[list[int]]:
    """Join the fragments of each person; a fragment is the indices in `bodies` of one identity.

    Fragments and persons are in the order of their first frame.
    """
    if len(fragments) == 1:
        return fragments
    begins = [bodies.frames[fragment[0]] for fragment in fragments]
    ends = [bodies.frames[fragment[-1]] for fragment in fragments]
    pairs = []
    for earlier, end in enumerate(ends):
        for later in range(bisect_right(begins, end), bisect_right(begins, end + _LONGEST_GAP_FRAMES)):
            lost, found = bodies.joints[[fragments[earlier][-1], fragments[later][0]], _ROOT].tolist()
            distance = math.dist(lost, found)
            if distance <= _FARTHEST_M:
                pairs.append((distance, begins[later] - end, earlier, later))
    if not pairs:
        return fragments

    # The fragments of each person, by the index of the first of them.
    people = {number: [number] for number in range(len(fragments))}
    seen = [{bodies.frames[place] for place in fragment} for fragment in fragments]
    person_of = list(range(len(fragments)))
    for _, _, earlier, later in sorted(pairs):
        first, second = sorted((person_of[earlier], person_of[later]))
        if first != second and seen[first].isdisjoint(seen[second]):
            seen[first] |= seen[second]
            for fragment in people[second]:
                person_of[fragment] = first
            people[first] += people.pop(second)
    return [sorted(chain.from_iterable(fragments[number] for number in numbers)) for numbers in people.values()]


def _is_person(joints: NDArray[np.float64]) -> bool:
    """Whether a body [frames, 25, 3] is taller than wide in enough frames."""
    extent = np.ptp(joints, axis=1)
    return bool((extent[:, 0] <= _WIDEST_PERSON * extent[:, 1]).mean() >= _SMALLEST_SHARE)


def _count(path: Path, token: bytes, what: str) -> int:
    # int() would also accept "+1", and has its own error for more than 4300 digits.
    if not token.isdigit() or len(token) > 20:
        raise RecordingError(path, f"{what} must be a whole number, but it is {_shown(token)}")
    return int(token)


def _shown(token: bytes) -> str:
    text = token[:24].decode("ascii")
    return repr(text) if len(token) <= 24 else f"{text!r}…"
