"""Synthetic data: a one-shot problem with the structure and file format of NTU RGB+D 120, from a seed.

Classes are movements of an articulated body (`synthetic.motion`); novel and auxiliary ones have the same distribution.
The variation within a class can be learned from other classes: where a cyclic action is cut, which hand is used, the
posture of idle limbs, tempo, build and view. Matching raw signals cannot learn it: with 30 auxiliary classes and 12
recordings each, dynamic time warping with the best of 20 normalisations reaches .52 to .70 (34 seeds, mean .60), and a
small temporal CNN trained for 20 epochs on the auxiliary classes .73 to .80 (10 seeds, mean .76), at least .11 above it
for each of them.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sldml.errors import InputError
from sldml.recordings.readers import ntu
from sldml.recordings.readers.ntu import parse_name
from sldml.recordings.recording import Recording
from sldml.recordings.synthetic import ntu_writer as skeleton_writer
from sldml.recordings.synthetic.motion import NUM_KINDS, draw_action, draw_subject, perform, see

Joints = NDArray[np.float64]

NOVEL = tuple(range(1, 121, 6))
"""The official novel classes: A001, A007, …, A115."""
DEVELOPMENT = tuple(range(2, 121, 6))
"""The development classes: A002, A008, …, A116."""
_OTHERS = tuple(action for first in (3, 4, 5, 6) for action in range(first, 121, 6))
_EXEMPLAR_PERFORMER = 8
# Shares of recordings with the other hand, and of those in which the body is lost for a moment.
_LEFT_HANDED, _DROPS_FRAMES = 0.36, 0.15
# Purposes of the independent streams of random numbers.
_ACTION, _SUBJECT, _RECORDING = 1, 2, 3


@dataclass(frozen=True)
class SyntheticSource:
    """The settings of a synthetic dataset. Raises ValueError for invalid ones."""

    seed: int = 0
    num_auxiliary: int = 30
    """1 to 100: a third of them (20 at most) development classes, the others A003, A009, …, A004, …"""
    recordings_per_class: int = 12
    """The official exemplar and others."""
    num_subjects: int = 8
    """Number of subjects of the other recordings, without the exemplars' performer P008."""
    min_frames: int = 40
    max_frames: int = 90

    def __post_init__(self) -> None:
        bounds = (
            ("seed", self.seed, 0, 2**63),
            ("num_auxiliary", self.num_auxiliary, 1, 100),
            ("recordings_per_class", self.recordings_per_class, 2, 90),
            ("num_subjects", self.num_subjects, 1, 90),
            ("min_frames", self.min_frames, 10, 1000),
            ("max_frames", self.max_frames, self.min_frames, 1000),
        )
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, but it is {value}")

    @property
    def auxiliary(self) -> tuple[int, ...]:
        """The numbers of the auxiliary classes."""
        num_development = min(len(DEVELOPMENT), round(self.num_auxiliary / 3))
        others = _OTHERS[: self.num_auxiliary - num_development]
        return tuple(sorted((*DEVELOPMENT[:num_development], *others)))

    @property
    def num_recordings(self) -> int:
        """Number of files that `generate` writes."""
        return (len(NOVEL) + self.num_auxiliary) * self.recordings_per_class


def generate(
    source: SyntheticSource,
    folder: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the recordings as ``<folder>/<NTU name>.skeleton`` and return their paths, sorted.

    The same source gives the same bytes: each file has its own random numbers, by seed, class and index. Every class
    has its official exemplar (``S001C003P008R001Axxx``, from A061 on ``S018…``), an undisturbed performance seen by
    camera 3. `progress` is called with the number of files done and in total. Takes about 4 ms per file on one core.
    Raises OSError if the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, action, index in plan(source):
        path = folder / f"{name}.skeleton"
        skeleton_writer.write(path, _frames(source, action, index, name))
        paths.append(path)
        if progress is not None:
            progress(len(paths), source.num_recordings)
    return paths


def plan(source: SyntheticSource) -> list[tuple[str, int, int]]:
    """Name, class and index within the class of each recording, sorted by name."""
    actions = sorted((*NOVEL, *source.auxiliary))
    return sorted((name, action, index) for action in actions for index, name in enumerate(_names(source, action)))


def make_and_read(source: SyntheticSource, path: Path, place: tuple[int, int]) -> Recording:
    """The recording of class and index `place`, named like `path`, through a temporary file.

    The file is in a folder of this process, because a worker of a killed parent may still write the same recording.

    Raises:
        InputError: the file cannot be written.
    """
    file = path.parent / str(os.getpid()) / path.name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        skeleton_writer.write(file, _frames(source, *place, path.stem))
    except OSError as error:
        raise InputError(
            f"{path.parent}: synthetic recordings cannot be written ({error.strerror}): free space, or set SLDML_CACHE "
            "to another folder"
        ) from error
    try:
        return ntu.read(file)
    finally:
        file.unlink()


def _names(source: SyntheticSource, action: int) -> Iterator[str]:
    """The name of the exemplar, then unique names with other performers."""
    first_setup = 1 if action <= 60 else 18
    yield f"S{first_setup:03d}C003P{_EXEMPLAR_PERFORMER:03d}R001A{action:03d}"
    people = [person for person in range(1, source.num_subjects + 2) if person != _EXEMPLAR_PERFORMER]
    people = people[: source.num_subjects]
    for index in range(source.recordings_per_class - 1):
        # Camera and replication repeat after 6, performers after their number: then the next setup begins.
        setup = first_setup + index // math.lcm(6, len(people))
        performer = people[(index + action) % len(people)]
        yield f"S{setup:03d}C{1 + index % 3:03d}P{performer:03d}R{1 + index // 3 % 2:03d}A{action:03d}"


def _frames(source: SyntheticSource, action: int, index: int, name: str) -> list[list[tuple[int, Joints]]]:
    """The bodies in each frame of one recording."""
    what = parse_name(name)
    # Every residue has every kind, so that any selection of residues is balanced.
    kind = (action // 6 + 3 * (action % 6)) % NUM_KINDS
    programme = draw_action(np.random.default_rng((source.seed, _ACTION, action)), kind)
    subject = draw_subject(np.random.default_rng((source.seed, _SUBJECT, what.performer)))
    random = np.random.default_rng((source.seed, _RECORDING, action, index))
    num_frames = int(random.integers(source.min_frames, source.max_frames + 1))
    joints = perform(random, programme, subject, num_frames, left_handed=_LEFT_HANDED if index else 0.0)
    joints = see(random, joints, what.camera)
    absent = np.zeros(num_frames, bool)
    if index and random.uniform() < _DROPS_FRAMES:
        # The sensor loses the body for a moment.
        start = int(random.integers(2, num_frames - 4))
        absent[start : start + int(random.integers(1, 4))] = True
    identity = 72057594037900000 + int(random.integers(30000, 99999))
    return [[] if gone else [(identity, body)] for gone, body in zip(absent, joints, strict=True)]
