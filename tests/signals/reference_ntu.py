"""The careful way to read a ``.skeleton`` file: line by line, into dictionaries. Slow; kept to compare with."""

import statistics
from pathlib import Path

import numpy as np


def read_values(path: Path) -> np.ndarray:
    """[frames, 50, 3], by the rules of `sldml.signals.ntu.read`, for well-formed files."""
    with path.open() as lines:
        frames = []
        for _ in range(int(next(lines))):
            bodies = {}
            for _ in range(int(next(lines))):
                fields = next(lines).split()
                body = {"identity": int(fields[0]), "tracking_state": int(fields[9]), "joints": []}
                for _ in range(int(next(lines))):
                    x, y, z, *others = map(float, next(lines).split())
                    assert len(others) == 9
                    body["joints"].append((x, y, z))
                bodies[body["identity"]] = body
            frames.append(bodies)

    identities = list(dict.fromkeys(identity for bodies in frames for identity in bodies))
    if len(identities) > 1:
        people = [identity for identity in identities if _is_person(frames, identity)]
        identities = people or identities
    identities.sort(key=lambda identity: -_spread(frames, identity))
    values = np.zeros((len(frames), 50, 3), np.float32)
    for actor, identity in enumerate(identities[:2]):
        for number, bodies in enumerate(frames):
            if identity in bodies:
                for joint, place in enumerate(bodies[identity]["joints"]):
                    values[number, 25 * actor + joint] = place
    return values


def _joints_of(frames: list[dict], identity: int) -> list[list[tuple[float, float, float]]]:
    return [bodies[identity]["joints"] for bodies in frames if identity in bodies]


def _spread(frames: list[dict], identity: int) -> float:
    places = [place for joints in _joints_of(frames, identity) for place in joints]
    return sum(statistics.pvariance([place[axis] for place in places]) for axis in range(3))


def _is_person(frames: list[dict], identity: int) -> bool:
    upright = []
    for joints in _joints_of(frames, identity):
        x, y, _ = zip(*joints, strict=True)
        upright.append(max(x) - min(x) <= 0.8 * (max(y) - min(y)))
    return sum(upright) >= 0.3 * len(upright)
