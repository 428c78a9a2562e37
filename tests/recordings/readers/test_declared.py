from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sldml.config.recording_format import RecordingFormat
from sldml.errors import InputError
from sldml.recordings import KINECT_V1, Recording, RecordingError
from sldml.recordings.readers.declared import ManifestRow, layout_of, read

BODY = {"joints": ["hip", "neck", "hand"], "parents": {"neck": "hip", "hand": "neck"}, "scale": ["hip", "neck"]}
ROW = ManifestRow("a", "wave", "anna", None, {"trial": 2})
FRAMES = np.arange(2 * 3 * 3, dtype=float).reshape(2, 3, 3) + 1
"""[frames, joints, 3]: whatever the layout of the file, this should come out."""


def declared(**keys) -> RecordingFormat:
    return RecordingFormat.model_validate({"skeleton": BODY, "rate_hz": 10, **keys})


def save(path: Path, array) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("array", "keys"),
    [
        (FRAMES, {}),
        (FRAMES.reshape(2, 9), {}),
        (FRAMES.reshape(6, 3), {}),
        (FRAMES.reshape(18), {}),
        (FRAMES.transpose(2, 1, 0), {"order": ["values", "rows", "frames"]}),
        (FRAMES.transpose(0, 2, 1).reshape(2, 9), {"order": ["frames", "values", "rows"]}),
        (FRAMES.transpose(1, 2, 0).reshape(9, 2), {"order": ["rows", "values", "frames"]}),
        (FRAMES[:, :, [0, 2, 1]], {"values": ["x", "z", "y"]}),
        (FRAMES * [1, -1, 1], {"values": ["x", "-y", "z"]}),
        (np.concatenate([FRAMES, FRAMES[:, :, :1]], axis=2), {"values": ["x", "y", "z", "confidence"]}),
        (FRAMES * 1000, {"unit": "mm"}),
        (FRAMES / 0.3, {"unit": 0.3}),
        (FRAMES[:, [2, 0, 1, 1]], {"rows": ["hand", "hip", "neck", "eye"]}),
    ],
)
def test_layouts_of_one_body(tmp_path, array, keys):
    recording = read(save(tmp_path / "a.npy", array), ROW, declared=declared(**keys))
    np.testing.assert_allclose(recording.values, FRAMES, rtol=1e-6)
    assert recording.row_names == ("hip", "neck", "hand")
    assert (recording.name, recording.label, recording.subject) == ("a", "wave", "anna")
    assert (recording.rate_hz, recording.details) == (10, {"trial": 2})


def test_two_bodies_one_after_another_or_as_an_axis(tmp_path):
    both = np.concatenate([FRAMES, FRAMES + 100], axis=1)
    one_after_another = save(tmp_path / "a.npy", both)
    assert read(one_after_another, declared=declared(num_bodies=2)).values.tolist() == both.tolist()
    axis = save(tmp_path / "b.npy", both.reshape(2, 2, 3, 3).transpose(3, 0, 2, 1))
    keys = {"num_bodies": 2, "order": ["values", "frames", "rows", "bodies"]}
    recording = read(axis, declared=declared(**keys))
    assert recording.values.tolist() == both.tolist()
    assert recording.row_names[3:] == ("body2.hip", "body2.neck", "body2.hand")
    turned = read(axis, declared=declared(**keys, rows=["hand", "neck", "hip"]))
    assert turned.values.tolist() == both[:, [2, 1, 0, 5, 4, 3]].tolist()


def test_sensors_keep_their_unit_and_missing_axes_are_zero(tmp_path):
    path = save(tmp_path / "a.npy", np.concatenate([FRAMES, FRAMES[:, :1]], axis=1))
    recording = read(path, declared=declared(sensors={"acceleration": 8}, unit="cm"))
    np.testing.assert_allclose(recording.values[:, :3], FRAMES / 100, rtol=1e-6)
    assert recording.values[:, 3].tolist() == FRAMES[:, 0].tolist()
    scalar = RecordingFormat(sensors={"bend": 1.0, "force": 5.0}, values=("y",), rate_hz=10)
    recording = read(save(tmp_path / "b.npy", [[1.0, 2], [3, 4]]), declared=scalar)
    assert recording.values.tolist() == [[[0, 1, 0], [0, 2, 0]], [[0, 3, 0], [0, 4, 0]]]
    assert layout_of(scalar).sensors == {"bend": 1.0, "force": 5.0}
    assert layout_of(scalar).skeleton is None


def test_the_rate_is_the_manifests_then_the_formats_then_that_of_time_stamps(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{frame * 40} {joint} 0 0\n" for frame in range(3) for joint in range(3)))
    timed = {"time_column": 1, "time_unit": "ms"}
    assert read(path, ROW, declared=declared(**timed, rate_hz=None)).rate_hz == pytest.approx(25)
    assert read(path, ROW, declared=declared(**timed)).rate_hz == 10
    assert read(path, ROW._replace(rate_hz=50.0), declared=declared(**timed)).rate_hz == 50
    with pytest.raises(RecordingError, match="has no rate"):
        read(save(tmp_path / "b.npy", FRAMES), declared=declared(rate_hz=None))
    path.write_text("".join(f"{-frame} {joint} 0 0\n" for frame in range(3) for joint in range(3)))
    with pytest.raises(RecordingError, match="time stamps must be finite and increasing"):
        read(path, ROW, declared=declared(**timed, rate_hz=None))


def test_missing_numbers(tmp_path):
    frames = np.tile(np.arange(5.0)[:, None, None] ** 2, (1, 3, 3)) + 1
    holed = frames.copy()
    holed[0, 1, 0] = holed[2, 1, 0] = holed[3, 1, 0] = np.nan
    path = save(tmp_path / "a.npy", holed)
    with pytest.raises(RecordingError, match="3 rows are missing, first neck in frame 0"):
        read(path, declared=declared())
    zero = read(path, declared=declared(missing="zero")).values
    assert zero[:, 1, 0].tolist() == [0, 2, 0, 0, 17]
    straight = read(path, declared=declared(missing="interpolate")).values
    assert straight[:, 1, 0].tolist() == [2, 2, 7, 12, 17]
    np.testing.assert_array_equal(np.delete(straight, 1, axis=1), np.delete(frames, 1, axis=1))
    save(path, np.where(np.isnan(holed), -9999, holed))
    told = declared(missing="zero", missing_values=[-9999], values=["-x", "y", "z"])
    assert read(path, declared=told).values[:, 1, 0].tolist() == [0, -2, 0, 0, -17]
    holed[:, 1, 0] = np.nan
    with pytest.raises(RecordingError, match="neck is missing in every frame"):
        read(save(path, holed), declared=declared(missing="interpolate"))
    holed[:, 1, 0] = np.inf
    with pytest.raises(RecordingError, match="values must be finite"):
        read(save(path, holed), declared=declared(missing="interpolate"))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.ones((4, 3, 2)), r"must be \[frames, 3 rows, 3 values\], but its shape is \[4, 3, 2\]"),
        (np.ones((4, 3, 3, 1)), r"but its shape is \[4, 3, 3, 1\]"),
        (np.ones((4, 8)), "has 4 lines of 8 columns, but the format needs 9 columns .* or 3 columns"),
        (np.ones((1, 3, 3)), "at least 2 frames, but this one has 1"),
        (np.full((2, 3, 3), 1e300), "must be finite"),
    ],
)
def test_another_shape_is_refused(tmp_path, array, reason):
    with pytest.raises(RecordingError, match=reason) as caught:
        read(save(tmp_path / "a.npy", array), ROW, declared=declared())
    assert caught.value.path == str(tmp_path / "a.npy")


def test_the_skeleton_as_declared():
    skeleton = layout_of(
        declared(skeleton={**BODY, "name": "arm", "root": "neck", "face": ["neck", "hand"], "walk_start": "hand"})
    ).skeleton
    assert skeleton is not None
    assert (skeleton.name, skeleton.parents, skeleton.root, skeleton.walk_start) == ("arm", (-1, 0, 1), 1, 2)
    assert (skeleton.scale_joints, skeleton.view_joints, skeleton.reference_joints) == ((0, 1), (1, 2), (1, 2))
    star = layout_of(declared(skeleton={"joints": [1, 2, 3], "root": 2})).skeleton
    assert star is not None
    assert (star.joint_names, star.parents, star.root, star.reference_joints) == (("1", "2", "3"), (1, -1, 1), 1, (1,))
    assert layout_of(declared(skeleton={"name": "kinect_v1"})).skeleton == KINECT_V1


def test_rows_and_names_must_be_whole():
    with pytest.raises(InputError, match="rows: hand is not among"):
        layout_of(declared(rows=["hip", "neck"]))
    with pytest.raises(InputError, match="hip is both a joint and a sensor"):
        layout_of(declared(sensors={"hip": 1}))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_a_recording_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("garbled") / "a.txt"
    content = bytearray(b"".join(b"%d %d 1 2 3\n" % (t, j) for t in range(3) for j in range(3)))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b"019.-en \n\xff,"))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    missing = data.draw(st.sampled_from(["refuse", "interpolate", "zero"]))
    try:
        recording = read(path, declared=declared(time_column=1, drop_columns=[2], missing=missing, rate_hz=None))
    except RecordingError:
        return
    assert isinstance(recording, Recording)
