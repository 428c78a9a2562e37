import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reference_ntu

from sldml.recordings import Recording, RecordingError
from sldml.recordings.readers import ntu
from sldml.recordings.synthetic import ntu_writer as skeleton_writer

NAME = "S001C002P003R002A013"


def body(seed=0, spread=(0.3, 1.0, 0.2), moved=(0.0, 0.0, 0.0)):
    """Joints [25, 3] of something as wide, high and deep as `spread`, 3 m away and moved."""
    joints = np.random.default_rng(seed).uniform(-0.5, 0.5, (25, 3))
    return joints * spread + np.array([0, 0, 3]) + moved


def write(folder, frames, name=NAME):
    path = folder / f"{name}.skeleton"
    skeleton_writer.write(path, frames)
    return path


def write_text(folder, text, name=NAME):
    path = folder / f"{name}.skeleton"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@st.composite
def files(draw):
    """Frames of bodies of several identities in any order, with gaps, furniture, new identities and empty frames."""
    first = draw(st.integers(10**16, 2**56))  # 17 digits: neighbours are one float64
    num_bodies = draw(st.integers(1, 4))
    wide = [draw(st.booleans()) for _ in range(num_bodies)]
    speeds = [draw(st.floats(0, 0.2)) for _ in range(num_bodies)]
    seed = draw(st.integers(0, 2**32 - 1))
    identities = [first + who for who in range(num_bodies)]
    frames = []
    for number in range(draw(st.integers(2, 8))):
        # Nobody is seen for about as long as a person may be lost.
        frames += [[]] * draw(st.sampled_from([0, 0, 0, 0, 14, 15]))
        present = draw(st.lists(st.integers(0, num_bodies - 1), unique=True))
        for who in draw(st.lists(st.integers(0, num_bodies - 1), unique=True, max_size=2)):
            identities[who] += num_bodies
        spread = [(1.5, 0.5, 0.2) if wide[who] else (0.3, 1.0, 0.2) for who in present]
        frames.append(
            [
                (identities[who], body(seed + who, extent, (0, 0, number * speeds[who])))
                for who, extent in zip(present, spread, strict=True)
            ]
        )
    return frames


@settings(max_examples=60, deadline=None)
@given(frames=files())
def test_every_file_reads_as_the_reference_reads_it(tmp_path_factory, frames):
    path = write(tmp_path_factory.mktemp("ntu"), frames)
    if not any(frames):
        with pytest.raises(RecordingError, match="has no body in any of its"):
            ntu.read(path)
        return
    np.testing.assert_array_equal(ntu.read(path).values, reference_ntu.read_values(path))


def test_a_recording_knows_its_name(tmp_path):
    recording = ntu.read(write(tmp_path, [[(7, body())]] * 3))
    assert (recording.name, recording.label, recording.subject) == (NAME, "A013", "P003")
    assert recording.details == {"setup": 1, "camera": 2, "replication": 2}
    assert recording.rate_hz == 30.0
    assert recording.row_names == ntu.LAYOUT.row_names
    assert recording.values.shape == (3, 50, 3)
    assert recording.values[1, :25] == pytest.approx(body(), abs=1e-6)
    assert not recording.values[:, 25:].any()


def test_the_main_actor_is_the_one_who_varies_most_through_gaps_and_changes_of_order(tmp_path):
    still, moving = 72057594037924870, 72057594037924871
    places = [body(1, moved=(step, 0, 0)) for step in (0.0, 0.4, 0.8)]
    frames = [
        [(still, body()), (moving, places[0])],
        [],
        [(moving, places[1])],
        [(moving, places[2]), (still, body())],
    ]
    values = ntu.read(write(tmp_path, frames)).values
    for frame, place in ((0, places[0]), (2, places[1]), (3, places[2])):
        assert values[frame, :25] == pytest.approx(place, abs=1e-6)
    assert not values[1].any()
    assert not values[2, 25:].any()
    assert values[3, 25:] == pytest.approx(body(), abs=1e-6)


def who_is_where(values):
    """Which body of which place, by `stand`, is in each frame: rows of (main actor, second actor), None if absent."""
    told = []
    for frame in values:
        actors = []
        for rows in (frame[:25], frame[25:]):
            offset = rows[ntu.LAYOUT.skeleton.root] - body(SHAPE)[ntu.LAYOUT.skeleton.root]
            actors.append(round(float(offset[0]), 3) if rows.any() else None)
        told.append(tuple(actors))
    return told


SHAPE = 5


def stand(x):
    """A person who stands `x` metres to the side."""
    return body(SHAPE, moved=(x, 0, 0))


def read(folder, *frames):
    """Who is where, of frames that say identity and place of everyone."""
    written = [[(identity, stand(x)) for identity, x in frame.items()] for frame in frames]
    return who_is_where(ntu.read(write(folder, written)).values)


def test_a_person_found_again_under_another_identity_is_one(tmp_path):
    frames = [{1: 0.0}, {1: 0.2}, {}, {2: 0.45}, {2: 0.6}, {3: 0.8}]
    assert read(tmp_path, *frames) == [(0.0, None), (0.2, None), (None, None), (0.45, None), (0.6, None), (0.8, None)]


def test_one_of_two_people_is_found_again(tmp_path):
    # The one in the middle stays; the other one walks away, and is first in the frame from then on.
    frames = [{7: 0.0, 8: 1.0}, {7: 0.0, 8: 1.3}, {7: 0.0}, {9: 1.5, 7: 0.0}, {9: 2.0, 7: 0.0}]
    assert read(tmp_path, *frames) == [(1.0, 0.0), (1.3, 0.0), (None, 0.0), (1.5, 0.0), (2.0, 0.0)]


def test_people_who_are_far_apart_are_two_though_they_never_meet(tmp_path):
    told = read(tmp_path, {1: 0.0}, {1: 0.1}, {2: 1.0}, {2: 1.4})
    assert told == [(None, 0.0), (None, 0.1), (1.0, None), (1.4, None)]


@pytest.mark.parametrize(
    ("num_lost", "step", "same"), [(14, 0.29, True), (15, 0.29, False), (14, 0.31, False), (0, 0.29, True)]
)
def test_the_bounds_of_being_one_person(tmp_path, num_lost, step, same):
    told = read(tmp_path, {1: 0.5}, {1: 0.0}, *[{}] * num_lost, {2: step}, {2: step})
    assert told[-1] == ((step, None) if same else (None, step))


def test_two_people_who_merge_for_a_while_stay_themselves(tmp_path):
    apart, near = {1: 0.0, 2: 1.5}, {1: 0.4, 2: 0.6}
    for later in (2, 3):  # the lost one comes back as it was, or under another identity
        frames = [apart, near, {1: 0.5}, {1: 0.5}, {later: 0.7, 1: 0.4}, {1: 0.0, later: 1.6}]
        assert read(tmp_path, *frames) == [(1.5, 0.0), (0.6, 0.4), (None, 0.5), (None, 0.5), (0.7, 0.4), (1.6, 0.0)]


def test_the_nearest_go_together(tmp_path):
    lost = {1: 0.0, 2: 0.25}
    # Everyone is within 0.3 m of everyone.
    assert read(tmp_path, lost, {3: 0.2, 4: 0.05}, {3: 0.9, 4: 0.05}) == [(0.25, 0.0), (0.2, 0.05), (0.9, 0.05)]
    # One is found: near both, nearer to the second, who ended there.
    assert read(tmp_path, lost, {3: 0.2}, {3: 0.9}) == [(0.25, 0.0), (0.2, None), (0.9, None)]
    # The nearest is the one who was lost at once; whom it met cannot be the same person.
    assert read(tmp_path, {1: 0.0, 2: 0.2}, {2: 0.2, 3: 0.15}, {3: 0.9}) == [(0.0, 0.2), (0.15, 0.2), (0.9, None)]


def test_a_short_fragment_between_two_is_not_left_over(tmp_path):
    # From 1 straight to 3 is the nearest; 2 lies in between in time.
    frames = [{1: 0.0}, {2: 0.2}, {3: 0.05}, {3: 0.1}]
    assert read(tmp_path, *frames) == [(0.0, None), (0.2, None), (0.05, None), (0.1, None)]


def test_three_bodies_with_furniture(tmp_path):
    table = body(2, (1.2, 0.4, 0.3), (0, 0, 1))
    moved = body(2, (1.2, 0.4, 0.3), (1, 0, 1))  # varies more than any of the people
    frames = [
        [(5, table), (7, stand(0.0)), (8, stand(1.0))],
        [(5, moved), (8, stand(1.2))],
        [(5, table), (9, stand(0.1)), (8, stand(1.4))],
        [(9, stand(0.1)), (5, moved), (8, stand(1.6))],
    ]
    told = who_is_where(ntu.read(write(tmp_path, frames)).values)
    assert told == [(1.0, 0.0), (1.2, None), (1.4, 0.1), (1.6, 0.1)]


def test_who_fell_and_is_found_lying_is_still_a_person(tmp_path):
    lying = stand(0.0)[:, [1, 0, 2]]  # wider than high
    lying += stand(0.0)[0] + (0.1, -0.2, 0) - lying[0]
    frames = [[(1, stand(0.0)), (2, stand(2.0))]] * 2 + [[(2, stand(2.0))]] + [[(2, stand(2.0)), (3, lying)]] * 3
    values = ntu.read(write(tmp_path, frames)).values
    assert values[1, :25] == pytest.approx(stand(0.0), abs=1e-6)
    assert values[4, :25] == pytest.approx(lying, abs=1e-6)
    assert values[4, 25:] == pytest.approx(stand(2.0), abs=1e-6)


def test_of_many_identities_only_those_that_follow_one_another_are_compared(tmp_path, monkeypatch):
    joints = body(0)
    frames = [[(number * 10 + who, joints) for who in range(10)] for number in range(50)]
    path = write(tmp_path, frames)
    compared = []
    monkeypatch.setattr(ntu.math, "dist", lambda a, b, dist=ntu.math.dist: compared.append(1) or dist(a, b))
    # All stand in one place: everyone could be everyone.
    assert ntu.read(path).values[:, :50].any(axis=(1, 2)).all()
    assert 0 < len(compared) <= 500 * 10 * ntu._LONGEST_GAP_FRAMES


def test_furniture_is_dropped_unless_there_is_nothing_else(tmp_path):
    table = body(2, (1.2, 0.4, 0.3))
    values = ntu.read(write(tmp_path, [[(1, table), (2, body())]] * 2)).values
    assert values[0, :25] == pytest.approx(body(), abs=1e-6)
    assert not values[:, 25:].any()
    alone = ntu.read(write(tmp_path, [[(1, table)]] * 2)).values
    assert alone[0, :25] == pytest.approx(table, abs=1e-6)
    two_tables = ntu.read(write(tmp_path, [[(1, table), (2, table + 1)]] * 2)).values
    assert two_tables[0, 25:].any()


def test_columns_that_are_not_used_are_not_looked_at_and_white_space_is_free(tmp_path):
    path = write(tmp_path, [[(7, body())]] * 2)
    expected = ntu.read(path).values
    lines = path.read_text().splitlines()
    assert len(lines[4].split()) == 12
    lines = [" ".join([*line.split()[:3], *["-1.#IND"] * 8, "2"]) if line.count(" ") == 11 else line for line in lines]
    path = write_text(tmp_path, "\r\n \t".join(lines) + "\n\n")
    np.testing.assert_array_equal(ntu.read(path).values, expected)


JOINT = "0.1 0.2 3 1 2 3 4 0 0 0 0 2\n"
BODY = "7 0 0 0 0 0 0 0 0 2\n25\n" + JOINT * 25


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("two\n", "frame count must be a whole number, but it is 'two'"),
        ("-1\n", "frame count must be a whole number"),
        ("9" * 5000, "frame count must be a whole number, but it is '9999"),
        ("2\n0\n0\n", "has no body in any of its 2 frames"),
        ("0\n", "has no body in any of its 0 frames"),
        ("1\n1\n" + BODY, "at least 2 frames, but this one has 1"),
        ("3\n1\n" + BODY + "0\n", "ends before frame 2 of 3"),
        ("99999999999999999\n0\n0\n", "at most 100000, but it is 99999999999999999"),
        ("2\n99999999999999999\n" + BODY, "ends within frame 0 of 2"),
        ("2\n1\n" + BODY[:-40], "ends within frame 0 of 2"),
        ("2\n1\n" + BODY + "x\n", "body count of frame 1 must be a whole number, but it is 'x'"),
        ("2\n1\n" + BODY.replace("25", "24") + "0\n", "joint count must be 25, but it is '24'"),
        ("2\n1\n" + BODY.replace("7 ", "7.5 ", 1) + "0\n", "body identity in frame 0 must be a whole number"),
        ("2\n2\n" + BODY * 2 + "0\n", "body 7 occurs twice"),
        ("2\n1\n" + BODY + "0\n0\n", "has more lines after its last frame"),
        ("2\n1\n" + BODY.replace("0.1", "left", 1) + "0\n", "joints must be lines of 12 numbers"),
        ("2\n1\n" + BODY.replace("0.1", "nan", 1) + "0\n", "frame 0: coordinates of body 7 must be finite"),
        ("2\n1\n" + BODY.replace("0.1", "inf", 1) + "0\n", "must be finite"),
        ("2\n1\n" + BODY.replace("0.1", "1e300", 1) + "0\n", "must be finite"),
        ("2\n1\n" + BODY.replace("0.1", "1_0", 1) + "0\n", "joints must be lines of 12 numbers: .*1_0"),
        ("2\n1\n" + BODY.replace("0.1", "1" * 10_000 + "x", 1) + "0\n", "joints must be lines of 12 numbers"),
        ("2\n1\n" + BODY.replace(JOINT, "\n", 1) + "0\n", "a joint's line is empty"),
        ("2\n1\n" + BODY.replace(JOINT, "0.1 0.2\n", 1) + "0\n", "joints must be lines of 12 numbers"),
        ("2\n0\n1\n" + BODY[:-3], "joints must be lines of 12 numbers: .* with 11 columns"),
        ("2\n0\n1\n" + BODY[:-19], "joints must be lines of 12 numbers: .* with 3 columns"),
        ("2\n0\n1\n" + BODY.replace("7 0", "7", 1), "frame 1: a body has 10 fields, but one has 9"),
        ("2\n0\n1\n" + BODY.replace("7 0 0 0 0 0 0 0 0 2", " ", 1), "frame 1: a body has 10 fields, but one has 0"),
        ("2\n" + ("1\n" + BODY) + ("1\n" + BODY.replace("25", "20").removesuffix(JOINT * 5)), "frame 1: joint count"),
        ("2\n1001\n" + "".join(BODY.replace("7", str(n), 1) for n in range(1001)) + "0\n", "at most 1000, but there"),
        (b"2\n\xff\xfe\n0\n", "is not a text file"),
        (b"\x00" * 100, "frame count must be a whole number"),
    ],
)
def test_a_faulty_file_is_refused_with_its_reason(tmp_path, text, reason):
    path = write_text(tmp_path, text)
    with pytest.raises(RecordingError, match=reason) as caught:
        ntu.read(path)
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    path = tmp_path / f"{NAME}.skeleton"
    with pytest.raises(RecordingError, match="does not exist"):
        ntu.read(path)
    path.mkdir()
    with pytest.raises(RecordingError, match="is not a file"):
        ntu.read(path)
    path.rmdir()
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: takes no space
    with pytest.raises(RecordingError, match="at most 33554432 bytes, but this file has 1099511627776"):
        ntu.read(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("garbled")
    content = bytearray(write(folder, [[(7, body())], [], [(7, body()), (8, body(1))]]).read_bytes())
    pieces = st.sampled_from([b"\xff", b"nan", b" 99999999999 ", b"-", b"\n", b"1e999", b"", b"0", b"\x00"])
    for _ in range(data.draw(st.integers(0, 3))):
        # Half of the time near the beginning, where the counts are.
        last = data.draw(st.sampled_from([30, len(content) - 1]))
        place = data.draw(st.integers(0, last))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(pieces)
    end = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
    try:
        recording = ntu.read(write_text(folder, bytes(content[:end])))
    except RecordingError as caught:
        refused = str(caught)
    else:
        refused = ""
        assert isinstance(recording, Recording)
    assert "\n" not in refused


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_file_with_other_lines_is_read_as_the_reference_reads_it_or_refused(tmp_path_factory, data):
    """Counts that are huge or another frame's, lines lost, doubled or in each other's place, numbers that are none."""
    folder = tmp_path_factory.mktemp("lines")
    path = write(folder, [[(7, body())], [], [(7, body()), (8, body(1))], [(9, body(2))]])
    lines = path.read_bytes().splitlines()
    joint = lines[4]
    others = [b"", b"0", b"2", b"20", b"24", b"99999999999", b"-1", b"\xff\xfe", "٢٥".encode(), joint, joint[:20]]
    others += [lines[2], joint.replace(b"0", b"nan", 1), joint.replace(b"0", b"-inf", 1), b"nan " * 12]
    # Half of the time where there is a count.
    counts = [0, 1, 2, 3, 29, 30, 31, 32, 58, 59]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.one_of(st.sampled_from(counts), st.integers(0, len(lines) - 1)))
        match data.draw(st.sampled_from(["other", "lose", "double"])):
            case "other":
                lines[place] = data.draw(st.sampled_from(others))
            case "lose":
                del lines[place]
            case "double":
                lines.insert(place, lines[place])
    path = write_text(folder, b"\n".join(lines).strip())
    try:
        values = ntu.read(path).values
    except RecordingError as caught:
        assert caught.path == str(path)  # noqa: PT017
        return
    np.testing.assert_array_equal(values, reference_ntu.read_values(path))


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, content):
    path = write_text(tmp_path_factory.mktemp("garbage"), content)
    with pytest.raises(RecordingError):
        ntu.read(path)


@pytest.mark.parametrize("name", ["S1C2P3R2A13", NAME + "x", "x" + NAME, NAME + "\n", "S٠٠١C002P003R002A013", ""])
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(RecordingError, match="the name must be like S001C003P008R001A001"):
        ntu.parse_name(name)


def test_find_and_the_missing_list(tmp_path):
    folder = tmp_path / "ntu" / "skeletons"
    folder.mkdir(parents=True)
    for name in ("S002C001P001R001A001", NAME):
        (folder / f"{name}.skeleton").touch()
    assert [path.stem for path in ntu.find(tmp_path)] == [NAME, "S002C001P001R001A001"]
    with pytest.raises(RecordingError, match="is not a folder"):
        ntu.find(tmp_path / "nowhere")

    assert ntu.missing_list(folder) is None
    (tmp_path / "ntu" / ntu.MISSING_LIST).write_text(f"535 samples of ...\nplease ignore them.\n\n{NAME}\r\n")
    assert ntu.missing_list(folder) == ntu.missing_list(tmp_path / "ntu") == {NAME}
    assert ntu.missing_list(tmp_path) is None
