import json
import pickle

import numpy as np
import pytest

from sldml.recordings import KINECT_V1, KINECT_V2, SKELETONS, Layout, Recording, RecordingError, Skeleton
from sldml.recordings.skeletons import walk

WALK_OF_SKELEMOTION = (
    "1 20 2 3 2 20 4 5 6 7 21 22 21 7 6 5 4 20 8 9 10 11 23 24 23 11 10 9 8 20 "
    "1 0 12 13 14 15 14 13 12 0 16 17 18 19 18 17 16 0 1"
)


def made(**changes):
    fields = {
        "values": np.ones((2, 1, 3), np.float32),
        "rate_hz": 30.0,
        "row_names": ("hand",),
        "name": "a1_s1_t1",
        "label": "a1",
        "subject": "s1",
    }
    return Recording(**fields | changes)


def test_a_recording_keeps_what_it_is_given():
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    recording = made(values=values, row_names=("hand", "foot"), details={"trial": 1})
    assert recording.values is values
    assert recording.details == {"trial": 1}
    assert pickle.loads(pickle.dumps(recording)).values.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"values": np.ones((2, 1, 3))}, "float32 array, but they are float64"),
        ({"values": [[1.0]]}, "float32 array, but they are list"),
        ({"values": np.ones((2, 3), np.float32)}, r"\[frames, rows, 3\], but their shape is \[2, 3\]"),
        ({"values": np.ones((2, 1, 4), np.float32)}, r"their shape is \[2, 1, 4\]"),
        ({"values": np.ones((1, 1, 3), np.float32)}, "at least 2 frames, but this one has 1"),
        ({"row_names": ("hand", "foot")}, "1 rows need as many names, not 2"),
        ({"values": np.full((2, 1, 3), np.nan, np.float32)}, "finite, but frame 0, row hand is not"),
        ({"values": np.full((2, 1, 3), -np.inf, np.float32)}, "finite, but frame 0, row hand is not"),
        ({"rate_hz": 0.0}, "rate_hz must be positive, but it is 0.0"),
    ],
)
def test_a_faulty_recording_is_refused_with_its_reason(changes, reason):
    with pytest.raises(RecordingError, match=reason) as caught:
        made(**changes)
    assert str(caught.value).startswith("a1_s1_t1: ")


def test_large_values_whose_sum_overflows_are_finite():
    made(values=np.full((2, 1, 3), 3e38, np.float32))


def test_a_recording_error_is_one_line_and_survives_pickling():
    error = pickle.loads(pickle.dumps(RecordingError("folder/a\nb.mat", "is\ncut")))
    assert (error.path, error.reason) == ("folder/a\nb.mat", "is cut")
    assert str(error) == "folder/a b.mat: is cut"


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_a_skeleton_is_a_tree(skeleton):
    assert len(skeleton.parents) == skeleton.num_joints == len(set(skeleton.joint_names))
    assert [joint for joint, parent in enumerate(skeleton.parents) if parent == -1] == [skeleton.root]
    for joint in range(skeleton.num_joints):
        for _ in range(skeleton.num_joints):
            joint = joint if joint == skeleton.root else skeleton.parents[joint]
        assert joint == skeleton.root
    if skeleton.view_joints is not None:
        assert [skeleton.joint_names[joint] for joint in skeleton.view_joints] == ["left_shoulder", "right_shoulder"]
    assert Skeleton.from_json(json.loads(json.dumps(skeleton.to_json()))) == skeleton


def test_the_walk_is_that_of_skelemotion():
    assert " ".join(map(str, walk(KINECT_V2))) == WALK_OF_SKELEMOTION
    assert set(walk(KINECT_V1)) == set(range(20))


def test_rows_of_a_layout():
    two_bodies = Layout(KINECT_V2, 2)
    assert (two_bodies.num_rows, two_bodies.body_rows) == (50, 50)
    assert two_bodies.row_names[0] == "spine_base"
    assert two_bodies.row_names[25] == "body2.spine_base"
    fused = Layout(KINECT_V1, 1, {"acceleration": 8.0, "rotation": 1000.0})
    assert (fused.num_rows, fused.body_rows) == (22, 20)
    assert fused.row_names[19:] == ("right_foot", "acceleration", "rotation")
    assert Layout.from_json(fused.to_json()) == fused
    before_pictures = {key: value for key, value in fused.to_json().items() if key != "picture_rows"}
    assert Layout.from_json(before_pictures) == fused
    assert fused.dtype == "<f4"


def test_rows_of_a_picture():
    layout = Layout(None, 0, image_rows=3)
    assert (layout.num_rows, layout.body_rows, layout.dtype) == (3, 0, "|u1")
    assert layout.row_names == ("pixel_row0", "pixel_row1", "pixel_row2")
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ((KINECT_V1, 0), "num_bodies must be 0 without"),
        ((None, 1), "num_bodies must be 0 without"),
        ((None, 0), "it has none"),
        ((None, 0, {}, -1), "image_rows must be 0 .* but it is -1"),
        ((None, 0, {"acceleration": 8.0}, 64), "image_rows must be 0 with a skeleton or a sensor"),
        ((KINECT_V1, 1, {}, 64), "image_rows must be 0 with a skeleton or a sensor"),
        ((None, 0, {"acceleration": 0.0}), "positive, but acceleration has 0.0"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        Layout(*fields)


def test_a_layout_from_unknown_keys_is_refused():
    with pytest.raises(ValueError, match="but found"):
        Layout.from_json({"skeleton": None, "num_bodies": 0})
