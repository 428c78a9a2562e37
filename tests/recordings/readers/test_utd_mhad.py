import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as made
from scipy.io import savemat

from sldml.recordings import Recording, RecordingError
from sldml.recordings.readers import utd_mhad

REAL = Path(os.environ.get("DATASET_FOLDER", "/nowhere")) / "utd_mhad"


def write_pair(folder, skeleton, samples, name="a3_s2_t4", do_compression=False):
    """A recording's two files in the published folders; returns the paths."""
    paths = []
    for kind, key, array in (("Skeleton", "d_skel", skeleton), ("Inertial", "d_iner", samples)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        paths.append(folder / kind / f"{name}_{kind.lower()}.mat")
        savemat(paths[-1], {key: array}, do_compression=do_compression)
    return paths


@pytest.fixture
def skeleton():
    return np.random.default_rng(0).normal(size=(20, 3, 5))


@pytest.fixture
def samples():
    return np.arange(54, dtype=float).reshape(9, 6)


@pytest.mark.parametrize("do_compression", [False, True])
def test_skeleton_and_inertial(tmp_path, skeleton, samples, do_compression):
    bodies, sensor = write_pair(tmp_path, skeleton, samples, do_compression=do_compression)
    recording = utd_mhad.read(bodies)
    assert recording.values.shape == (5, 20, 3)
    assert recording.values[4, 7, 2] == np.float32(skeleton[7, 2, 4])
    assert (recording.name, recording.label, recording.subject) == ("a3_s2_t4", "a3", "s2")
    assert (recording.rate_hz, recording.details) == (30.0, {"trial": 4})
    wearable = utd_mhad.read(sensor, "inertial")
    assert wearable.rate_hz == 50.0
    assert wearable.row_names == ("acceleration", "rotation")
    assert wearable.values[1].tolist() == [[6, 7, 8], [9, 10, 11]]


def test_fused_takes_samples_at_the_frames_by_normalised_time(tmp_path, skeleton, samples):
    bodies, _ = write_pair(tmp_path, skeleton, samples)
    recording = utd_mhad.read(bodies, "fused")
    assert recording.row_names == utd_mhad.layout("fused").row_names
    # 9 samples over 5 frames: every second one.
    assert recording.values[:, 20:].reshape(5, 6).tolist() == samples[::2].tolist()
    # 9 samples over 4 frames: at 0, 8/3, 16/3 and 8; sample k begins with 6 k.
    bodies, _ = write_pair(tmp_path, skeleton[:, :, :4], samples)
    assert utd_mhad.read(bodies, "fused").values[:, 20, 0] == pytest.approx([0, 16, 32, 48])


def test_find_goes_by_action_subject_and_trial_and_fused_needs_both(tmp_path, skeleton, samples):
    for name in ("a10_s1_t1", "a2_s1_t1", "a2_s1_t2"):
        write_pair(tmp_path / "utd", skeleton, samples, name)
    (tmp_path / "utd/Inertial/a2_s1_t2_inertial.mat").unlink()
    (tmp_path / "utd/Skeleton/notes_skeleton.mat").touch()
    assert [path.stem for path in utd_mhad.find(tmp_path)] == [
        "a2_s1_t1_skeleton", "a2_s1_t2_skeleton", "a10_s1_t1_skeleton",
    ]  # fmt: skip
    assert [path.stem for path in utd_mhad.find(tmp_path, "fused")] == [
        "a2_s1_t1_skeleton", "a10_s1_t1_skeleton",
    ]  # fmt: skip
    assert len(utd_mhad.find(tmp_path, "inertial")) == 2
    with pytest.raises(RecordingError, match="is not a folder"):
        utd_mhad.find(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="modality must be one of skeleton, inertial, fused"):
        utd_mhad.find(tmp_path, "depth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"d_skel": np.ones((20, 3, 1))}, "at least 2 frames, but this one has 1"),
        ({"d_skel": np.ones((19, 3, 5))}, r"must be \[20, 3, frames\], but its shape is \[19, 3, 5\]"),
        ({"d_skel": np.full((20, 3, 5), np.nan)}, r"finite, but at \[0, 0, 0\] it is not"),
        ({"d_skel": np.full((20, 3, 5), 1e300)}, "finite"),
        ({"d_skel": np.ones((20, 3, 5), complex)}, "must be real numbers, but it is complex"),
        ({"d_skel": np.full((20, 3, 5), "x", object)}, "must be real numbers, but it is a cell array"),
        ({"d_skel": {"x": 1}}, "must be real numbers, but it is a struct"),
        ({"d_skel": "text"}, "must be real numbers, but it is text"),
        ({"d_skel": np.ones((20, 3, 5), bool)}, "must be real numbers, but it is logical"),
        ({"other": np.ones((20, 3, 5))}, "must hold d_skel once, but holds it 0 times"),
    ],
)
def test_unfit_content_is_refused_with_its_reason(tmp_path, content, reason):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    savemat(path, content)
    with pytest.raises(RecordingError, match=reason) as caught:
        utd_mhad.read(path)
    assert caught.value.path == str(path)


def test_other_files_are_refused(tmp_path, skeleton, samples):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    with pytest.raises(RecordingError, match="does not exist"):
        utd_mhad.read(path)
    path.mkdir()
    with pytest.raises(RecordingError, match="is not a file"):
        utd_mhad.read(path)
    path.rmdir()
    path.touch()
    with pytest.raises(RecordingError, match="is empty"):
        utd_mhad.read(path)
    savemat(path, {"d_skel": skeleton[:, 0]}, format="4")
    with pytest.raises(RecordingError, match="is not a MATLAB 5 file"):
        utd_mhad.read(path)
    savemat(path, {"d_skel": skeleton})
    with pytest.raises(RecordingError, match=r"a1_s1_t1_inertial\.mat: does not exist"):
        utd_mhad.read(path, "fused")
    with pytest.raises(RecordingError, match=r"the name must be like a1_s1_t1_inertial\.mat"):
        utd_mhad.read(path, "inertial")
    with pytest.raises(RecordingError, match="the name must be like"):
        utd_mhad.read(tmp_path / "jump.mat")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_array_is_read_or_refused_by_its_shape_and_values(tmp_path_factory, data):
    """Other numbers of joints, axes and frames, none of them, and values that are no measurement."""
    folder = tmp_path_factory.mktemp("arrays")
    shape = data.draw(st.tuples(*(st.sampled_from([good, good, good, 0, 1, 25]) for good in (20, 3, 5))))
    values = np.zeros(shape)
    if values.size:
        place = data.draw(st.integers(0, values.size - 1))
        values.flat[place] = data.draw(st.sampled_from([1.0, -2.5, np.nan, np.inf, -np.inf, 1e39, -1e300]))
    samples = data.draw(made.arrays(np.float64, st.tuples(st.integers(0, 4), st.sampled_from([6, 6, 6, 5]))))
    bodies, wearable = write_pair(folder, values, samples)
    limit = np.finfo(np.float32).max
    good = shape[:2] == (20, 3) and shape[2] > 1 and bool((np.abs(values) <= limit).all())
    good_samples = samples.shape[1] == 6 and len(samples) > 1 and bool((np.abs(samples) <= limit).all())
    good_samples = good_samples and bool(np.ptp(samples.astype(np.float32), axis=0).any())
    for path, modality, expected in [(bodies, "skeleton", good), (wearable, "inertial", good_samples)]:
        try:
            recording = utd_mhad.read(path, modality)
        except RecordingError:
            recording = None
        assert (recording is not None) == expected
    try:
        assert utd_mhad.read(bodies, "fused").values.shape == (shape[2], 22, 3)
        assert good
    except RecordingError:
        assert not (good and good_samples)


@pytest.mark.parametrize("do_compression", [False, True])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_read_or_refused_and_nothing_else(tmp_path_factory, do_compression, data):
    folder = tmp_path_factory.mktemp("garbled")
    path = folder / "a1_s1_t1_inertial.mat"
    savemat(path, {"d_iner": np.arange(24.0).reshape(4, 6)}, do_compression=do_compression)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        recording = utd_mhad.read(path, "inertial")
    except RecordingError:
        return
    assert isinstance(recording, Recording)


@pytest.mark.skipif(not REAL.is_dir(), reason="DATASET_FOLDER holds no utd_mhad")
@pytest.mark.parametrize(("modality", "num_rows"), [("skeleton", 20), ("inertial", 2), ("fused", 22)])
def test_all_real_recordings_are_read(modality, num_rows):
    recordings = [utd_mhad.read(path, modality) for path in utd_mhad.find(REAL, modality)]
    assert len({recording.name for recording in recordings}) == len(recordings) == 861
    lengths = [len(recording.values) for recording in recordings]
    assert (min(lengths), max(lengths)) == ((107, 326) if modality == "inertial" else (41, 125))
    assert {recording.values.shape[1:] for recording in recordings} == {(num_rows, 3)}
