import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sldml.recordings import HAND, Layout, Recording, RecordingError
from sldml.recordings.readers import simitate

FIELDS = [
    *("header.seq", "header.stamp", "header.frame_id", "child_frame_id"),
    *(f"transform.translation.{axis}" for axis in "xyz"),
    *(f"transform.rotation.{axis}" for axis in "xyzw"),
]
START = 1535039704750603927  # a real stamp: float64 would round it to 256 ns


def header(num_transforms=1):
    return ",".join(["%time", *(f"field.transforms{n}.{field}" for n in range(num_transforms) for field in FIELDS)])


def transform(stamp, place, frame="world", child="hand"):
    return ",".join(["0", str(stamp), frame, child, *map(str, place), "0.0", "0.0", "0.0", "1.0"])


def line(*transforms, time=START):
    return ",".join([str(time), *transforms])


def write(folder, lines, where="motions/wave/person_3/seq_12", name="wave_2018.csv"):
    path = folder / where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(content)
    return path


def hand_lines(stamps, places):
    return [header(), *(line(transform(stamp, place)) for stamp, place in zip(stamps, places, strict=True))]


def test_a_recording_knows_its_folders(tmp_path):
    places = [(0.5, -1.25, 2), (0.5, -1.25, 2.5), (1e-3, 0, 0)]
    recording = simitate.read(write(tmp_path, hand_lines([START, START + 10**7, START + 2 * 10**7], places)))
    assert recording.name == "wave/person_3/seq_12/wave_2018"
    assert (recording.label, recording.subject, recording.details) == ("wave", "person_3", {"sequence": 12})
    assert Layout(HAND, 1) == simitate.LAYOUT
    assert recording.row_names == simitate.LAYOUT.row_names == ("hand",)
    assert recording.values.shape == (3, 1, 3)
    assert recording.values.dtype == np.float32
    assert recording.values[:, 0].tolist() == [list(map(np.float32, place)) for place in places]
    assert recording.rate_hz == pytest.approx(100)


def test_a_sequence_without_a_number_has_none(tmp_path):
    lines = hand_lines([START, START + 10**7], [(0, 0, 0), (1, 1, 1)])
    assert simitate.read(write(tmp_path, lines, "complex/cook/anna/first")).details == {}
    assert simitate.read(write(tmp_path, lines, "complex/cook/anna/2018_007")).details == {"sequence": 7}


def test_poses_go_by_stamp_and_the_first_of_the_same_stamp_is_kept(tmp_path):
    # 2 ns apart: as float64 all stamps would be one.
    stamps = [START + 4, START, START + 2, START, START + 4]
    scale = 5_000_000
    stamps = [START + (stamp - START) * scale for stamp in stamps]
    recording = simitate.read(write(tmp_path, hand_lines(stamps, [(n, 0, 0) for n in range(5)])))
    assert recording.values[:, 0, 0].tolist() == [1, 2, 0]
    near = [START + step for step in (0, 2, 100_000_000)]
    recording = simitate.read(write(tmp_path, hand_lines(near, [(n, 0, 0) for n in range(3)])))
    assert recording.values[:, 0, 0].tolist() == [0, 1, 2]


def test_the_rate_counts_poses_that_are_stamped_in_pairs(tmp_path):
    # 120 Hz, stamped every 10 ms by a reader that takes two poses every sixth time: 6 poses in 50 ms.
    stamps = [START + 1_000_000 * ms for ms in itertools.accumulate([0] + [10, 10, 10, 10, 9, 1] * 20)]
    recording = simitate.read(write(tmp_path, hand_lines(stamps, [(0, 0, n) for n in range(len(stamps))])))
    assert recording.rate_hz == pytest.approx(120)


def test_several_transforms_a_line_other_frames_and_slashes(tmp_path):
    lines = [
        header(2),
        line(transform(START, (9, 9, 9), child="kinect2_mocap"), transform(START, (1, 2, 3))),
        line(transform(START + 10**7, (4, 5, 6), "/world", "/hand")),  # fewer than the header says
        "",
        line(transform(START + 10**7, (9, 9, 9), "hand", "world"), transform(START, (9, 9, 9), child="handle")),
        line(  # more than the header says, two of them the hand
            transform("x", ("y", "z", ""), child="other_hand"),
            transform(START + 2 * 10**7, (7, 8, 9)),
            transform(START + 3 * 10**7, (0, 0, 1)),
        ),
    ]
    recording = simitate.read(write(tmp_path, lines))
    assert recording.values[:, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 1]]


def test_windows_line_ends(tmp_path):
    lines = hand_lines([START, START + 10**7], [(0, 0, 0), (1, 1, 1)])
    expected = simitate.read(write(tmp_path, lines)).values
    path = write(tmp_path, "\r\n".join(lines).encode())
    np.testing.assert_array_equal(simitate.read(path).values, expected)


GOOD = hand_lines([START, START + 10**7], [(0.5, 0, 0), (1, 1, 1)])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (GOOD[1:], "must start with the header of rostopic echo -p /tf, but starts with '1535039704750603927,0"),
        ([header().replace("child_", "")], "must start with the header"),
        (["%time"], "must start with the header"),
        (["%time" * 10_000], "must start with the header"),
        (GOOD[:1], "has no transform from world to hand"),
        ([GOOD[0], GOOD[1].replace("hand", "head")], "has no transform from world to hand"),
        (GOOD[:2], "at least 2 poses of the hand, but this one has 1"),
        ([*GOOD[:2], GOOD[1]], "at least 2 poses of the hand, but this one has 1"),
        ([*GOOD, GOOD[1][:-4].rpartition(",")[0]], "line 4: must be a time and 11 fields per transform"),
        ([*GOOD, "%"], "line 4: must be a time and 11 fields per transform, but there are 0 commas"),
        ([*GOOD, GOOD[1] + "," * 5], "line 4: must be a time"),
        (
            [*GOOD, line(transform("soon", (0, 0, 0)))],
            "must be a whole number of nanoseconds, but it is 'soon'",
        ),
        ([*GOOD, line(transform("", (0, 0, 0)))], "a stamp must be a whole number"),
        ([*GOOD, line(transform("-5", (0, 0, 0)))], "a stamp must be a whole number"),
        ([*GOOD, line(transform("1.5", (0, 0, 0)))], "a stamp must be a whole number"),
        ([*GOOD, line(transform(2**63, (0, 0, 0)))], "a stamp must be a whole number"),
        ([*GOOD, line(transform("9" * 10_000, (0, 0, 0)))], "a stamp must be a whole number"),
        ([*GOOD, line(transform(0, (0, 0, 0)))], "stamps must be 1 to 10000 per second, but they are"),
        (hand_lines([START, START + 1], [(0, 0, 0)] * 2), "stamps must be 1 to 10000 per second, but they are 1e.09"),
        ([*GOOD, line(transform(START, ("nan", 0, 0)))], "pose 2 of the hand must be finite"),
        ([*GOOD, line(transform(START, (0, "inf", 0)))], "must be finite"),
        ([*GOOD, line(transform(START, (0, 0, "1e300")))], "must be finite"),
        ([*GOOD, line(transform(START, (0, 0, "left")))], "a coordinate is not a number: .*left"),
        ([*GOOD, line(transform(START, (0, 0, "1_0")))], "a coordinate is not a number: '1_0'"),
        ([*GOOD, line(transform(START, ("", 0, 0)))], "a coordinate is not a number"),
        ("\n".join(GOOD).encode() + b"\xff", "is not a text file"),
        ("\n".join(GOOD).encode("utf-16"), "is not a text file"),
        (b"\x00" * 100, "is not a text file"),
    ],
)
def test_a_faulty_file_is_refused_with_its_reason(tmp_path, lines, reason):
    path = write(tmp_path, lines)
    with pytest.raises(RecordingError, match=reason) as caught:
        simitate.read(path)
    assert caught.value.path == str(path)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_what_is_no_ordinary_file_or_misplaced_is_refused(tmp_path):
    path = write(tmp_path, GOOD)
    path.unlink()
    with pytest.raises(RecordingError, match="does not exist"):
        simitate.read(path)
    path.mkdir()
    with pytest.raises(RecordingError, match="is not a file"):
        simitate.read(path)
    for where in ("motions/wave/person_3", "wave/person_3/seq_12", "motions/wave/person_3/seq_12/more"):
        with pytest.raises(RecordingError, match="must be in <category>/<class>/<person>/<sequence>/ with a category"):
            simitate.read(write(tmp_path, GOOD, where))
    with pytest.raises(RecordingError, match="must be in"):
        simitate.read("/x.csv")
    with pytest.raises(RecordingError, match="names must be readable text") as caught:
        simitate.read(write(tmp_path, GOOD, "motions/wa\nve/person_3/seq_1"))
    assert "\n" not in str(caught.value)


def test_a_path_may_be_relative(tmp_path, monkeypatch):
    path = write(tmp_path, GOOD)
    monkeypatch.chdir(path.parent)
    assert simitate.read(path.name).label == "wave"


def test_find_takes_what_lies_below_a_category_and_no_estimates(tmp_path):
    for where, name in [
        ("simitate/motions/wave/person_1/seq_2", "wave_b.csv"),
        ("simitate/motions/wave/person_1/seq_2", "openpose.csv"),
        ("simitate/basic_motions/circle/person_1/seq_1", "circle.csv"),
        ("simitate/basic_motions/circle/person_1", "misplaced.csv"),
        ("isl", "manifest.csv"),
    ]:
        write(tmp_path, GOOD, where, name)
    assert [path.name for path in simitate.find(tmp_path)] == ["misplaced.csv", "circle.csv", "wave_b.csv"]
    assert simitate.find(tmp_path / "isl") == []
    # A folder above that is called like a category does not make everything below it a recording.
    assert simitate.find(tmp_path / "simitate/motions/wave") == []
    with pytest.raises(RecordingError, match="is not a folder"):
        simitate.find(tmp_path / "nowhere")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_well_formed_file_reads_as_the_lines_say(tmp_path_factory, data):
    """Against the standard library's reader: any number of transforms a line, of any frames, in any order."""
    steps = data.draw(st.lists(st.integers(0, 10**8), min_size=1, max_size=12))
    coordinate = st.floats(-100, 100)
    expected: dict[int, tuple[float, ...]] = {}
    lines = [header(data.draw(st.integers(1, 3)))]
    for step in steps:
        transforms = []
        for _ in range(data.draw(st.integers(1, 3))):
            place = tuple(data.draw(coordinate) for _ in range(3))
            child = data.draw(st.sampled_from(["hand", "/hand", "checkerboard"]))
            stamp = START + step + data.draw(st.integers(0, 2)) * 10**7
            transforms.append(transform(stamp, place, child=child))
            if child != "checkerboard":
                expected.setdefault(stamp, place)
        lines.append(line(*transforms))
    path = write(tmp_path_factory.mktemp("simitate"), lines)
    stamps = sorted(expected)
    try:
        recording = simitate.read(path)
    except RecordingError:
        places = np.float32(list(expected.values()))
        is_constant = len(places) == 0 or bool((places == places[0]).all())
        assert is_constant or len(stamps) < 2 or (len(stamps) - 1) * 1e9 / (stamps[-1] - stamps[0]) > 10_000
        return
    np.testing.assert_array_equal(recording.values[:, 0], np.float32([expected[stamp] for stamp in stamps]))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    stamps = [START + n * 8_333_333 for n in range(4)]
    content = bytearray("\n".join([*hand_lines(stamps, [(n, 0, 1) for n in range(4)]), ""]).encode())
    pieces = st.sampled_from(
        [b"\xff", b"nan", b",", b"-", b"\n", b"1e999", b"", b"9" * 30, b"\x00", b"\r", b"_", b"\x1c", b"\xc3\xa9"]
    )
    first_line = content.index(b"\n")
    for _ in range(data.draw(st.integers(0, 3))):
        # Three times out of four behind the header, where a change leads further than to its refusal.
        start = data.draw(st.sampled_from([0, first_line, first_line, first_line]))
        place = data.draw(st.integers(start, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(pieces)
    end = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
    try:
        recording = simitate.read(write(tmp_path_factory.mktemp("garbled"), bytes(content[:end])))
    except RecordingError as caught:
        refused = str(caught)
    else:
        refused = ""
        assert isinstance(recording, Recording)
    assert "\n" not in refused


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, content):
    for before in (b"", f"{header()}\n".encode()):
        with pytest.raises(RecordingError):
            simitate.read(write(tmp_path_factory.mktemp("garbage"), before + content))


def test_the_real_recordings(real_data: Path):
    folder = real_data / "simitate"
    if not folder.is_dir():
        pytest.skip("DATASET_FOLDER holds no simitate/")
    recordings = [simitate.read(path) for path in simitate.find(folder)]
    assert [recording.label for recording in recordings] == ["circle", "heart", "rect", "triangle", "zickzack"]
    assert [len(recording.values) for recording in recordings] == [805, 802, 805, 814, 810]
    for recording in recordings:
        assert recording.rate_hz == pytest.approx(120, abs=0.2)
        assert np.isfinite(recording.values).all()
        extent = np.ptp(recording.values[:, 0], axis=0)
        assert (extent > 0.05).all()
        assert (extent < 1.0).all()  # a hand that draws in the air
        steps = np.linalg.norm(np.diff(recording.values[:, 0], axis=0), axis=1)
        assert steps.max() < 0.03  # metres between two poses: followed without jumps
        assert recording.details == {"sequence": 1}
