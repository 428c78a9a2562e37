"""The careful way to read a ``.skeleton`` file: line by line, into dictionaries. Slow; kept to compare with."""

import math
from pathlib import Path

import numpy as np

Joints = list[tuple[float, float, float]]
Track = dict[int, Joints]
"""One person: the joints in each frame in which the person is there."""


def read_values(path: Path) -> np.ndarray:
    """[frames, 50, 3], by the rules of `sldml.recordings.readers.ntu.read`, for well-formed files."""
    num_frames, fragments = _read_fragments(path)
    tracks = _join(fragments)
    if len(tracks) > 1:
        tracks = [track for track in tracks if _is_person(track)] or tracks
    tracks.sort(key=lambda track: -_spread(track))
    values = np.zeros((num_frames, 50, 3), np.float32)
    for actor, track in enumerate(tracks[:2]):
        for frame, joints in track.items():
            for joint, place in enumerate(joints):
                values[frame, 25 * actor + joint] = place
    return values


def _read_fragments(path: Path) -> tuple[int, dict[int, Track]]:
    """How many frames, and for each identity, in the order in which they are first seen, its track."""
    fragments: dict[int, Track] = {}
    with path.open() as lines:
        num_frames = int(next(lines))
        for frame in range(num_frames):
            for _ in range(int(next(lines))):
                fields = next(lines).split()
                body = {"identity": int(fields[0]), "tracking_state": int(fields[9]), "joints": []}
                for _ in range(int(next(lines))):
                    x, y, z, *others = map(float, next(lines).split())
                    assert len(others) == 9
                    body["joints"].append((x, y, z))
                fragments.setdefault(body["identity"], {})[frame] = body["joints"]
    return num_frames, fragments


def _join(fragments: dict[int, Track]) -> list[Track]:
    """People: fragments that follow one another within 15 frames and 0.3 m, the nearest pairs first."""
    order = list(fragments)
    pairs = []
    for earlier in order:
        for later in order:
            end, begin = max(fragments[earlier]), min(fragments[later])
            if end < begin <= end + 15:
                distance = math.dist(fragments[earlier][end][0], fragments[later][begin][0])
                if distance <= 0.3:
                    pairs.append((distance, begin - end, order.index(earlier), order.index(later)))
    pairs.sort()

    people = [[identity] for identity in order]
    for _, _, earlier, later in pairs:
        (first,) = [person for person in people if order[earlier] in person]
        (second,) = [person for person in people if order[later] in person]
        if first is second or _meet(first, second, fragments):
            continue
        people.remove(second)
        people.remove(first)
        people.append(first + second)
    people.sort(key=lambda person: min(order.index(identity) for identity in person))
    return [
        dict(sorted((frame, joints) for identity in person for frame, joints in fragments[identity].items()))
        for person in people
    ]


def _meet(first: list[int], second: list[int], fragments: dict[int, Track]) -> bool:
    return any(frame in fragments[other] for identity in first for frame in fragments[identity] for other in second)


def _spread(track: Track) -> float:
    places = [place for joints in track.values() for place in joints]
    total = 0.0
    for axis in range(3):
        mean = sum(place[axis] for place in places) / len(places)
        total += sum((place[axis] - mean) ** 2 for place in places) / len(places)
    return total


def _is_person(track: Track) -> bool:
    upright = []
    for joints in track.values():
        x, y, _ = zip(*joints, strict=True)
        upright.append(max(x) - min(x) <= 0.8 * (max(y) - min(y)))
    return sum(upright) >= 0.3 * len(upright)
