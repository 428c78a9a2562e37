import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from sldml.config.recording_format import RecordingFormat
from sldml.recordings import RecordingError
from sldml.recordings.readers.arrays import read_numbers
from sldml.recordings.readers.files import LARGEST_FILE_BYTES


def declared(**keys):
    return RecordingFormat.model_validate({"sensors": {"a": 1.0}, "rate_hz": 10, **keys})


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def text(path: Path, content: str, **keys):
    path.write_text(content, encoding=keys.get("text", {}).get("encoding", "utf-8"))
    return read_numbers(path, declared(**keys))


# -------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|i1", "<u2", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_real_kind_and_order(tmp_path, dtype, order):
    array = np.asarray(np.arange(24).reshape(4, 2, 3), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    values = read_numbers(tmp_path / "a.npy", declared()).values
    assert values.dtype == np.float64
    assert values.tolist() == np.arange(24).reshape(4, 2, 3).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "is not a NumPy file"),
        (npy(np.ones(4))[:-1], "is cut or garbled: its shape is [4], but 31 bytes"),
        (npy(np.ones(4)) + b"x", "is cut or garbled"),
        (npy(np.ones(4))[:40], "cut or garbled NumPy file"),
        (npy(np.ones(4, bool)), "must hold real numbers, but it holds '|b1'"),
        (npy(np.ones(4, complex)), "must hold real numbers, but it holds '<c16'"),
        (npy(np.array([{"a": 1}], dtype=object)), "pickled objects"),
        (npy(np.zeros(2, [("x", "f4")])), "must hold real numbers, but it holds 'records'"),
        (npy(np.zeros((0, 3))), "a number at least"),
        (npy(np.ones(4)).replace(b"(4,)", b"(4 ,"), "its header has no shape"),
    ],
)
def test_npy_that_is_refused(tmp_path, content, reason):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        read_numbers(tmp_path / "a.npy", declared())
    assert reason in caught.value.reason


def test_a_header_cannot_make_it_allocate(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 8)
    with pytest.raises(RecordingError, match="is cut or garbled: its shape is"):
        read_numbers(tmp_path / "a.npy", declared())


def test_npz_by_name_or_the_only_one(tmp_path):
    np.savez_compressed(tmp_path / "two.npz", pose=np.arange(6.0), other=np.ones(2))
    np.savez(tmp_path / "one.npz", pose=np.arange(6.0))
    for path, variable in (("two.npz", "pose"), ("one.npz", None)):
        assert read_numbers(tmp_path / path, declared(variable=variable)).values.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(RecordingError, match=r"holds 2 arrays \(pose, other\): set format.variable"):
        read_numbers(tmp_path / "two.npz", declared())
    with pytest.raises(RecordingError, match="must hold x once, but holds it 0 times"):
        read_numbers(tmp_path / "two.npz", declared(variable="x"))
    np.savez(tmp_path / "pickle.npz", pose=np.array([{}], dtype=object))
    with pytest.raises(RecordingError, match="pickled objects"):
        read_numbers(tmp_path / "pickle.npz", declared())


def test_what_an_archive_unpacks_to_is_bounded(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pose.npy", npy(np.zeros(LARGEST_FILE_BYTES // 8 + 1)))
    assert (tmp_path / "bomb.npz").stat().st_size < LARGEST_FILE_BYTES / 100
    with pytest.raises(RecordingError, match="unpacks to more than"):
        read_numbers(tmp_path / "bomb.npz", declared())


def test_mat_by_name_or_the_only_one(tmp_path):
    array = np.array([[1.0, np.nan], [3.0, 4.0]])
    savemat(tmp_path / "one.mat", {"pose": array})
    savemat(tmp_path / "two.mat", {"pose": array, "other": array})
    for path, variable in (("one.mat", None), ("one.mat", "pose"), ("two.mat", "pose")):
        np.testing.assert_array_equal(read_numbers(tmp_path / path, declared(variable=variable)).values, array)
    with pytest.raises(RecordingError, match=r"holds 2 arrays \(pose, other\), not one"):
        read_numbers(tmp_path / "two.mat", declared())


# ---------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("a.txt", "1 2.5 -3\n 4\t5e1  .6 \n", {}),
        ("a.dat", "1 2.5 -3\r\n\r\n4 50 0.6\r\n", {}),
        ("a.csv", "1,2.5,-3\n4,50,0.6\n", {}),
        ("a.csv", '"1","2.5","-3"\n4, 50, 0.6\n', {}),
        ("a.csv", "1;2,5;-3\n4;50;0,6\n", {"text": {"decimal": ","}}),
        ("a.tsv", "1\t2.5\t-3\n4\t50\t0.6\n", {}),
        ("a.txt", "1|2.5|-3|\n4|50|0.6|\n", {"text": {"delimiter": "|"}}),
        ("a.txt", "1::2.5::-3\n4::50::0.6", {"text": {"delimiter": "::"}}),
        ("a.txt", "v1\nx y z\n1 2.5 -3 % first\n% none\n4 50 0.6", {"text": {"skip_lines": 2, "comment": "%"}}),
        ("a.txt", "frame 0\n1 2.5 -3\nframe 1\n4 50 0.6", {"text": {"ignore_lines": r"^frame \d+$"}}),
        ("a.txt", "\ufeff1 2.5 -3\n4 50 0.6", {}),
        ("a.txt", "1 2.5 -3\n4 50 0.6", {"text": {"encoding": "utf-16"}}),
        ("a.csv", "t,x,note,y,z\n0,1,go,2.5,-3\n1,4,on,50,0.6", {"text": {"header": True}, "columns": ["x", "y", "z"]}),
        ("a.csv", "t,x,é,y,z\n0,1,go,2.5,-3\n1,4,on,50,0.6", {"text": {"header": True}, "drop_columns": ["t", "é"]}),
        ("a.txt", "0 -3 1 2.5\n1 0.6 4 50", {"columns": [3, 4, 2]}),
        ("a.txt", "go 1 2.5 -3\non 4 50 0.6", {"drop_columns": [1]}),
    ],
)
def test_text_tables(tmp_path, name, content, keys):
    numbers = text(tmp_path / name, content, **keys)
    assert numbers.values.tolist() == [[1, 2.5, -3], [4, 50, 0.6]]
    assert numbers.times is None


def test_time_stamps_zeros_and_missing_numbers(tmp_path):
    numbers = text(
        tmp_path / "a.csv",
        "time,x,y\n0.0,1,NA\n0.5,,-9999\n",
        text={"header": True},
        time_column="time",
        columns=["x", None, "y"],
        missing_values=["", "NA", "-9999"],
    )
    assert numbers.times.tolist() == [0, 0.5]
    np.testing.assert_array_equal(numbers.values, [[1, 0, np.nan], [np.nan, 0, np.nan]])


def test_columns_of_an_array_with_two_axes(tmp_path):
    np.save(tmp_path / "a.npy", [[0.0, 1, 2, 3], [0.5, 4, 5, 6]])
    numbers = read_numbers(tmp_path / "a.npy", declared(time_column=1, drop_columns=[3]))
    assert numbers.values.tolist() == [[1, 3], [4, 6]]
    assert numbers.times.tolist() == [0, 0.5]
    assert read_numbers(tmp_path / "a.npy", declared(columns=[4, None])).values.tolist() == [[3, 0], [6, 0]]
    np.save(tmp_path / "a.npy", np.ones((2, 2, 2)))
    with pytest.raises(RecordingError, match=r"columns are declared, .* its shape \[2, 2, 2\] is not"):
        read_numbers(tmp_path / "a.npy", declared(columns=[1]))


@pytest.mark.parametrize(
    ("content", "keys", "reason"),
    [
        ("", {}, "is empty"),
        ("\n \n", {}, "has no line with numbers"),
        ("x y z\n", {"text": {"header": True}}, "has no line with numbers"),
        ("1 2 3\n4 5\n", {}, "line 2 has 2 columns, but earlier ones have 3"),
        ("# c\n1 2 3\n4 head 6\n", {"text": {"comment": "#"}}, "line 3, column 2: 'head' is not a number"),
        ("1_000 2 3", {}, "'1_000' is not a number"),
        ("inf 2 3", {}, "'inf' is not a number"),
        ("١ 2 3", {}, "is not a number"),
        ("1,5 2 3", {}, "'1,5' is not a number"),
        ("1 2 3", {"columns": [4]}, "has 3 columns, but column 4 is declared"),
        ("1 2 3", {"columns": ["x"]}, "column 'x' is declared by name, but there is no header line"),
        ("x y\n1 2 3", {"text": {"header": True}}, "the header line names 2 columns, but the lines below have 3"),
        ("x x y\n1 2 3", {"text": {"header": True}, "columns": ["x"]}, "column 'x' must occur once"),
        ("1 2", {"drop_columns": [1, 2]}, "all of them are dropped"),
        ("1;;3", {"text": {"delimiter": ";"}, "missing_values": []}, "line 1, column 2: the number is missing"),
    ],
)
def test_text_that_is_refused(tmp_path, content, keys, reason):
    with pytest.raises(RecordingError) as caught:
        text(tmp_path / "a.txt", content, **keys)
    assert reason in caught.value.reason
    assert caught.value.path == str(tmp_path / "a.txt")


def test_text_in_another_encoding_is_refused_and_says_which_was_expected(tmp_path):
    (tmp_path / "a.txt").write_bytes("1 2 3 # größer".encode("latin-1"))
    with pytest.raises(RecordingError, match="is not text in utf-8"):
        read_numbers(tmp_path / "a.txt", declared(text={"comment": "#"}))


# ------------------------------------------------------------------------------------------------------- garbled


def _seed_files() -> dict[str, bytes]:
    array = np.arange(12.0).reshape(4, 3)
    npz, mat = io.BytesIO(), io.BytesIO()
    np.savez_compressed(npz, a=array)
    savemat(mat, {"a": array}, do_compression=True)
    return {
        ".npy": npy(array),
        ".npz": npz.getvalue(),
        ".mat": mat.getvalue(),
        ".csv": b"0,1,2\n3,4,5\n6,7,8\n",
        ".txt": b"0 1 2 # a\n3 nan 5\n",
    }


SEEDS = _seed_files()


@pytest.mark.parametrize("ending", SEEDS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_read_or_refused_and_nothing_else(tmp_path_factory, ending, data):
    path = tmp_path_factory.mktemp("garbled") / f"a{ending}"
    content = bytearray(SEEDS[ending])
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(content)
    try:
        numbers = read_numbers(path, declared(text={"comment": "#"}))
    except RecordingError:
        return
    assert numbers.values.dtype == np.float64


@pytest.mark.parametrize("ending", SEEDS)
@settings(max_examples=60, deadline=None)
@example(
    content=b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'shape': (0, 10000000000000000000000), 'fortran_order': True}"
)
@example(content=b"1" * 100_000)
@example(content=b'"' * 200_001)
@example(content=b"9" * 500 + b" 1")
@example(content=b"\x00\xff\xfe")
@given(
    content=st.one_of(st.binary(max_size=300), st.text("0123456789.,;-+eE \n\t\"'#nan", max_size=200).map(str.encode))
)
def test_a_file_may_hold_anything(tmp_path_factory, ending, content):
    path = tmp_path_factory.mktemp("anything") / f"a{ending}"
    path.write_bytes(content)
    try:
        numbers = read_numbers(path, declared())
    except RecordingError:
        return
    assert numbers.values.size > 0
