"""Synthetic actions: the joint angles of a class over time, and the variation of its recordings.

A class is cyclic (its active angles swing about a posture, each with its own amplitude, harmonic and phase) or a
gesture (its active angles pass through a few key postures and return). Recordings of a class vary in body proportions,
tempo, amplitude, handedness, posture and sway of the other limbs, start and number of cycles, speed, position and view.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.readers.ntu import RATE_HZ
from sldml.recordings.skeletons import KINECT_V2
from sldml.recordings.synthetic.body import ANGLES, draw_bones, mirror, place_joints, turn

Array = NDArray[np.float64]

NUM_KINDS = 10
"""Kinds of classes: five sets of active limbs, each cyclic or a gesture."""

_LIMBS: tuple[tuple[str, ...], ...] = (
    ("right.arm",),
    ("right.arm", "left.arm"),
    ("right.arm", "left.arm", "torso"),
    ("right.arm", "torso"),
    ("right.leg", "left.leg", "right.arm"),
)
# Lowest and highest of each angle in a class's postures, in radians.
_RANGES = {
    "spine.pitch": (-0.7, 0.1), "spine.yaw": (-0.5, 0.5), "spine.roll": (-0.3, 0.3),
    "neck.pitch": (-0.3, 0.3), "neck.yaw": (-0.5, 0.5),
    "shoulder.pitch": (-0.3, 2.4), "shoulder.yaw": (-0.6, 0.6), "shoulder.roll": (-0.1, 1.3),
    "elbow.pitch": (0.0, 2.2), "wrist.pitch": (-0.5, 0.5),
    "hip.pitch": (-0.2, 1.2), "hip.roll": (0.0, 0.4), "knee.pitch": (-1.4, 0.0),
}  # fmt: skip


def _limb(angle: str) -> str:
    owner, _, part = angle.rpartition(".")[0].rpartition(".")
    if part in ("spine", "neck"):
        return "torso"
    return f"{owner}.leg" if part in ("hip", "knee") else f"{owner}.arm"


_LIMB_OF = [_limb(angle) for angle in ANGLES]
_LOW, _HIGH = np.array([_RANGES[angle.removeprefix("right.").removeprefix("left.")] for angle in ANGLES]).T
_WIDTH = _HIGH - _LOW
# 0 where an angle goes as far one way as the other, otherwise the sign of the further way.
_ONE_SIDED = np.where(np.isclose(_HIGH, -_LOW), 0.0, np.sign(_HIGH + _LOW))

# How much recordings of one class differ: shares of each angle's range, and of the amplitude.
_REST_IDLE, _REST_ACTIVE, _HABIT, _SWAY = 0.10, 0.03, 0.05, 0.05
_AMPLITUDE, _TEMPO, _SPEED = 0.08, 0.15, 0.35
_REPEATED_GESTURES = 0.3
# Where the cameras 1, 2 and 3 stand, as in NTU RGB+D two to the sides and one in front, and how exactly people
# face the one in front, in degrees.
_CAMERAS_DEG, _FACING_DEG = (-40.0, 40.0, 0.0), 20.0
_NOISE_M, _NOISE_FINGERS_M = 0.008, 0.02
_JUMPS = 0.3
_FINGERS = [
    KINECT_V2.joint_names.index(f"{side}_{part}") for side in ("left", "right") for part in ("hand_tip", "thumb")
]
_HANDS = [
    [KINECT_V2.joint_names.index(f"{side}_{part}") for part in ("wrist", "hand", "hand_tip", "thumb")]
    for side in ("left", "right")
]
_NOISE = np.where(np.isin(np.arange(KINECT_V2.num_joints), _FINGERS), _NOISE_FINGERS_M, _NOISE_M)


@dataclass(frozen=True, eq=False)
class Action:
    """The movement of a class."""

    active: NDArray[np.bool_]
    """[21], whether an angle is active."""
    cyclic: bool
    postures: Array
    """[postures, 21] in radians: the centre of the swing, or the key postures."""
    amplitudes: Array
    """[21] in radians, of the swing."""
    harmonics: Array
    """[21], swings in one cycle."""
    phases: Array
    """[21] in cycles."""
    cycle_s: float
    """Duration of a cycle at the usual tempo."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The personal style of a subject."""

    bones: Array
    """[25, 3] in metres, as `draw_bones` gives them."""
    tempo: float
    """Tempo relative to the class."""
    amplitude: float
    """Amplitude relative to the class."""
    habit: Array
    """[21], posture, in shares of the angles' ranges."""


def draw_action(random: np.random.Generator, kind: int) -> Action:
    """A class of one of the `NUM_KINDS` kinds."""
    limbs, cyclic = _LIMBS[kind // 2], kind % 2 == 0
    active = np.array([limb in limbs for limb in _LIMB_OF])
    num_postures = 1 if cyclic else int(random.integers(2, 4))
    return Action(
        active=active,
        cyclic=cyclic,
        postures=random.uniform(_LOW, _HIGH, (num_postures, len(ANGLES))) * active,
        amplitudes=random.uniform(0.15, 0.4, len(ANGLES)) * _WIDTH * active,
        harmonics=random.choice([1.0, 1.0, 2.0], len(ANGLES)),
        phases=random.uniform(0, 1, len(ANGLES)),
        cycle_s=float(random.uniform(0.6, 1.1)),
    )


def draw_subject(random: np.random.Generator) -> Subject:
    """A person."""
    return Subject(
        bones=draw_bones(random),
        tempo=float(np.exp(random.normal(0, _TEMPO))),
        amplitude=float(random.normal(1, _AMPLITUDE)),
        habit=random.normal(0, _HABIT, len(ANGLES)),
    )


def perform(
    random: np.random.Generator, action: Action, subject: Subject, num_frames: int, left_handed: float
) -> Array:
    """Joints [frames, 25, 3] in metres of one performance, at the origin, facing the sensor.

    The other hand is used with the probability `left_handed`.
    """
    progress = _progress(random, num_frames)
    if action.cyclic:
        cycles = num_frames / RATE_HZ / action.cycle_s * subject.tempo * random.uniform(0.8, 1.25)
        along = random.uniform(0, 1) + np.clip(cycles, 1.5, 4.5) * progress
        swing = np.sin(2 * np.pi * (along[:, None] * action.harmonics + action.phases))
        angles = action.postures[0] + action.amplitudes * swing
    else:
        repeats = 2 if random.uniform() < _REPEATED_GESTURES else 1
        start, stop = random.uniform(0, 0.2), random.uniform(0.8, 1)
        within = repeats * np.clip((progress - start) / (stop - start), 0, 1)
        neutral = np.zeros((1, len(ANGLES)))
        angles = _between(within, np.concatenate([*[neutral, action.postures] * repeats, neutral]), repeats)
    angles = angles * subject.amplitude * random.normal(1, _AMPLITUDE)
    rest = subject.habit + random.normal(0, np.where(action.active, _REST_ACTIVE, _REST_IDLE))
    # Arms are held away from the body and knees are bent one way only.
    rest = np.where(_ONE_SIDED == 0, rest, np.abs(rest) * _ONE_SIDED)
    sway = _smooth_noise(random, num_frames) * np.where(action.active, _SWAY / 2, _SWAY)
    joints = place_joints(angles + (rest + sway) * _WIDTH, subject.bones)
    return mirror(joints) if random.uniform() < left_handed else joints


def see(random: np.random.Generator, joints: Array, camera: int) -> Array:
    """The same joints as a sensor sees them: 0.6 to 1.1 m above the floor, about 3 m away, with its noise."""
    angle = np.deg2rad(_CAMERAS_DEG[camera - 1] + random.uniform(-_FACING_DEG, _FACING_DEG))
    place = np.array([random.normal(0, 0.25), -random.uniform(0.6, 1.1), random.uniform(2.5, 3.8)])
    seen: Array = turn(joints, float(angle)) + place
    seen += random.normal(0, 1, seen.shape) * _NOISE[:, None]
    if random.uniform() < _JUMPS:
        # For a moment, the sensor confuses something else with a hand.
        hand = _HANDS[int(random.integers(2))]
        start = int(random.integers(0, len(joints) - 3))
        seen[start : start + 3, hand] += random.normal(0, 0.1, 3)
    return seen


def _progress(random: np.random.Generator, num_frames: int) -> Array:
    """[frames], from 0 to 1 at a speed that changes."""
    passed = np.cumsum(np.exp(_SPEED * _smooth_noise(random, num_frames)[:, 0]))
    along: Array = (passed - passed[0]) / (passed[-1] - passed[0])
    return along


def _smooth_noise(random: np.random.Generator, num_frames: int) -> Array:
    """[frames, 21] of variance one: a few slow waves each."""
    time_s = np.arange(num_frames)[:, None, None] / RATE_HZ
    frequency_hz, phase = random.uniform([[[0.1]], [[0.0]]], [[[0.8]], [[1.0]]], (2, len(ANGLES), 3))
    waves: Array = np.sin(2 * np.pi * (time_s * frequency_hz + phase)).sum(axis=-1) * np.sqrt(2 / 3)
    return waves


def _between(along: Array, postures: Array, end: float) -> Array:
    """Angles [frames, 21] at `along`, which goes from 0 to `end`, eased from each posture to the next."""
    place = along / end * (len(postures) - 1)
    before = np.minimum(place.astype(int), len(postures) - 2)
    eased = ((1 - np.cos(np.pi * (place - before))) / 2)[:, None]
    angles: Array = postures[before] * (1 - eased) + postures[before + 1] * eased
    return angles
