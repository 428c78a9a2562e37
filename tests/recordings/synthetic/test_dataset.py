import hashlib
from itertools import product

import numpy as np
import pytest

from sldml.recordings import KINECT_V2
from sldml.recordings.readers import ntu
from sldml.recordings.synthetic import ntu_writer as skeleton_writer
from sldml.recordings.synthetic.body import ANGLES, draw_bones, mirror, place_joints, turn
from sldml.recordings.synthetic.dataset import DEVELOPMENT, NOVEL, SyntheticSource, generate

SMALL = SyntheticSource(seed=3, num_auxiliary=3, recordings_per_class=3, min_frames=20, max_frames=25)


def digest(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def default_set(tmp_path_factory):
    """Recordings of the novel classes and the exemplars' places, as `ntu.read` gives them."""
    paths = generate(SyntheticSource(seed=1, num_auxiliary=3), tmp_path_factory.mktemp("made"))
    assert len(paths) == 23 * 12
    recordings = [ntu.read(path) for path in paths]
    return [recording for recording in recordings if int(recording.label[1:]) in NOVEL]


def test_the_same_source_gives_the_same_bytes_and_another_seed_others(tmp_path):
    steps = []
    once = digest(generate(SMALL, tmp_path / "once", lambda done, total: steps.append((done, total))))
    again = digest(generate(SMALL, tmp_path / "again"))
    other = digest(generate(SyntheticSource(4, 3, 3, min_frames=20, max_frames=25), tmp_path / "other"))
    assert len(once) == SMALL.num_recordings == 23 * 3
    assert once == again
    assert once.keys() == other.keys()
    assert not set(once.values()) & set(other.values())
    assert steps == [(done, 69) for done in range(1, 70)]


def test_a_file_does_not_depend_on_which_others_are_made(tmp_path):
    few = digest(generate(SMALL, tmp_path / "few"))
    source = SyntheticSource(seed=3, num_auxiliary=5, recordings_per_class=4, min_frames=20, max_frames=25)
    more = digest(generate(source, tmp_path / "more"))
    assert few.items() <= more.items()


def test_every_class_has_its_official_exemplar(tmp_path):
    names = {path.stem for path in generate(SMALL, tmp_path)}
    exemplars = {name for name in names if "P008" in name}
    assert exemplars == {
        f"S{1 if action <= 60 else 18:03d}C003P008R001A{action:03d}" for action in (*NOVEL, *SMALL.auxiliary)
    }


@pytest.mark.parametrize(("num_auxiliary", "num_development"), [(1, 0), (2, 1), (20, 7), (30, 10), (60, 20), (100, 20)])
def test_auxiliary_classes(num_auxiliary, num_development):
    auxiliary = SyntheticSource(num_auxiliary=num_auxiliary).auxiliary
    assert len(set(auxiliary)) == num_auxiliary
    assert not set(auxiliary) & set(NOVEL)
    assert set(DEVELOPMENT[:num_development]) == set(auxiliary) & set(DEVELOPMENT)
    if num_auxiliary == 100:
        assert sorted((*auxiliary, *NOVEL)) == list(range(1, 121))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"num_auxiliary": 101}, "num_auxiliary must be from 1 to 100, but it is 101"),
        ({"recordings_per_class": 1}, "recordings_per_class must be from 2"),
        ({"min_frames": 50, "max_frames": 40}, "max_frames must be from 50"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_a_source_that_cannot_be_made_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        SyntheticSource(**fields)


@pytest.mark.parametrize(("recordings", "subjects"), list(product([12, 90], [1, 6, 8, 90])))
def test_names_are_unique_and_of_the_dataset(recordings, subjects):
    from sldml.recordings.synthetic.dataset import _names

    source = SyntheticSource(recordings_per_class=recordings, num_subjects=subjects)
    for action in (1, 120):
        names = list(_names(source, action))
        assert len(set(names)) == recordings
        assert {ntu.parse_name(name).camera for name in names} == {1, 2, 3}
        setups = {ntu.parse_name(name).setup for name in names}
        assert setups <= set(range(1, 18) if action <= 60 else range(18, 33))
        performers = [ntu.parse_name(name).performer for name in names]
        assert performers.count(8) == 1
        assert len(set(performers)) == min(subjects, recordings - 1) + 1


def test_a_written_file_reads_back(tmp_path):
    joints = np.random.default_rng(0).normal((0, 0, 3), 0.2, (3, 25, 3))
    path = tmp_path / "S001C001P001R001A001.skeleton"
    skeleton_writer.write(path, [[(72057594037931101, joints[0])], [], [(72057594037931101, joints[2])]])
    lines = path.read_text().splitlines()
    assert lines[:2] == ["3", "1"]
    assert lines[2] == "72057594037931101 0 0 0 0 0 0 0 0 2"
    assert lines[3] == "25"
    assert {len(line.split()) for line in lines[4:29]} == {12}
    assert lines[29:31] == ["0", "1"]
    values = ntu.read(path).values
    assert values[::2, :25] == pytest.approx(joints[::2], abs=1e-6)
    assert not values[1].any()
    with pytest.raises(ValueError, match=r"must be \[25, 3\], but they are \[20, 3\]"):
        skeleton_writer.write(path, [[(1, np.zeros((20, 3)))]])


def joint(joints, name):
    return joints[0, KINECT_V2.joint_names.index(name)]


def test_bones_keep_their_lengths_and_feet_stay_on_the_floor():
    random = np.random.default_rng(0)
    offsets = draw_bones(random)
    joints = place_joints(random.normal(0, 1, (6, len(ANGLES))), offsets)
    for child, parent in enumerate(KINECT_V2.parents):
        if parent >= 0:
            lengths = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
            assert lengths == pytest.approx(np.linalg.norm(offsets[child]))
    assert joints[:, [15, 19], 1].min(axis=1) == pytest.approx(0)


def test_angles_move_what_they_name():
    offsets = draw_bones(np.random.default_rng(0))
    rest = place_joints(np.zeros((1, len(ANGLES))), offsets)
    assert joint(rest, "head")[1] > joint(rest, "spine_base")[1] > joint(rest, "left_knee")[1]
    assert joint(rest, "left_hand")[0] < 0 < joint(rest, "right_hand")[0]
    angles = np.zeros((1, len(ANGLES)))
    angles[0, ANGLES.index("right.shoulder.pitch")] = np.pi / 2
    raised = place_joints(angles, offsets)
    # The right arm points to the sensor, at the height of the shoulder; nothing else has moved.
    assert joint(raised, "right_wrist")[1] == pytest.approx(joint(raised, "right_shoulder")[1])
    assert joint(raised, "right_wrist")[2] < -0.3
    assert joint(raised, "left_wrist") == pytest.approx(joint(rest, "left_wrist"))
    other = mirror(raised)
    assert joint(other, "left_wrist") == pytest.approx(joint(raised, "right_wrist") * (-1, 1, 1))
    assert joint(turn(rest, np.pi / 2), "right_hand")[2] == pytest.approx(-joint(rest, "right_hand")[0])


def test_made_recordings_are_people_before_a_sensor(default_set):
    assert {len(recording.row_names) for recording in default_set} == {50}
    assert len({recording.subject for recording in default_set}) >= 7
    gone = 0
    for recording in default_set:
        joints = recording.values[:, :25]
        seen = joints.any(axis=(1, 2))
        gone += (~seen).any()
        assert seen.sum() >= len(joints) - 3
        assert not recording.values[:, 25:].any()
        torso = np.linalg.norm(joints[seen, 0] - joints[seen, 20], axis=-1)
        assert 0.35 < torso.mean() < 0.7
        assert 1.5 < joints[seen, 0, 2].mean() < 5
        assert 40 <= len(joints) <= 90
    assert 0 < gone < 0.4 * len(default_set)


def normalised(values, centre_each_frame):
    """[32, 75]: turned so that the shoulders face the sensor, centred, in torsos."""
    joints = values[:, :25].astype(np.float64)
    seen = joints.any(axis=(1, 2))
    joints = joints[np.maximum.accumulate(np.where(seen, np.arange(len(joints)), 0))]
    x, _, z = (joints[:, 4] - joints[:, 8]).mean(axis=0)
    joints = turn(joints, np.arctan2(z, x) + np.pi)
    joints = joints - (joints[:, :1] if centre_each_frame else joints[:1, :1])
    joints = joints / np.linalg.norm(joints[:, 20] - joints[:, 0], axis=-1).mean()
    moments = np.linspace(0, len(joints) - 1, 32)
    before = np.minimum(moments.astype(int), len(joints) - 2)
    weight = (moments - before)[:, None, None]
    return (joints[before] * (1 - weight) + joints[before + 1] * weight).reshape(32, 75)


def time_warping(queries, exemplars, band=8):
    """Distances [queries, exemplars], local cost the squared Euclidean distance of two frames."""
    cost = (
        (queries**2).sum(-1)[:, None, :, None]
        + (exemplars**2).sum(-1)[None, :, None, :]
        - 2 * np.einsum("qid,ejd->qeij", queries, exemplars, optimize=True)
    )
    total = np.full((33, 33, len(queries), len(exemplars)), np.inf)
    total[0, 0] = 0
    for i in range(1, 33):
        for j in range(max(1, i - band), min(32, i + band) + 1):
            best = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
            total[i, j] = cost[:, :, i - 1, j - 1] + best
    return total[32, 32]


@pytest.mark.parametrize("centre_each_frame", [False, True])
def test_matching_raw_signals_is_neither_hopeless_nor_enough(default_set, centre_each_frame):
    signals = np.stack([normalised(recording.values, centre_each_frame) for recording in default_set])
    # Normalised, the shoulder line lies along x.
    shoulders = (signals.reshape(-1, 32, 25, 3)[:, :, 8] - signals.reshape(-1, 32, 25, 3)[:, :, 4]).mean(axis=1)
    assert (shoulders[:, 0] > 0.3).all()
    assert np.abs(shoulders[:, 2]).max() < 0.1
    labels = np.array([recording.label for recording in default_set])
    exemplar = np.array([recording.subject == "P008" for recording in default_set])
    assert exemplar.sum() == 20
    nearest = time_warping(signals[~exemplar], signals[exemplar]).argmin(axis=1)
    accuracy = (labels[exemplar][nearest] == labels[~exemplar]).mean()
    assert 0.4 < accuracy < 0.8
