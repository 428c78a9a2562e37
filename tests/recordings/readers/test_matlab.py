import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as made
from scipy.io import loadmat, savemat

from sldml.recordings import RecordingError
from sldml.recordings.readers.matlab import read_array

NUMBERS = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FORMAT_5 = b"made".ljust(124) + b"\x00\x01IM"


def write(path: Path, *elements):
    """A file of given kinds and contents, each padded to eight bytes."""
    body = b"".join(
        struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8) for kind, content in elements
    )
    path.write_bytes(FORMAT_5 + body)
    return path


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(NUMBERS).flatmap(
        lambda kind: made.arrays(
            kind,
            made.array_shapes(min_dims=2, max_dims=3, max_side=5),
            elements=st.integers(0, 100) if kind[0] in "iu" else st.floats(-1e3, 1e3, width=32),
        )
    ),
    do_compression=st.booleans(),
)
def test_it_reads_what_scipy_writes_and_reads(tmp_path_factory, array, do_compression):
    path = tmp_path_factory.mktemp("matlab") / "made.mat"
    savemat(path, {"before": "text", "x": array, "d": np.ones((2, 2))}, do_compression=do_compression)
    values = read_array(path, "x")
    np.testing.assert_array_equal(values, array.astype(np.float64))
    np.testing.assert_array_equal(values, loadmat(path)["x"])


def test_a_big_endian_file(tmp_path):
    path = tmp_path / "made.mat"
    path.write_bytes(
        b"made".ljust(124)
        + b"\x01\x00MI"
        + struct.pack(">II", 14, 64)
        + struct.pack(">IIII", 6, 8, 6, 0)
        + struct.pack(">IIii", 5, 8, 1, 2)
        + struct.pack(">HH4s", 1, 1, b"x")
        + struct.pack(">IIdd", 9, 16, 1.5, -2.0)
    )
    assert read_array(path, "x").tolist() == [[1.5, -2.0]]


FLAGS, NAME = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<HH4s", 1, 1, b"x")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2**30, 2**30), r"has shape \[1073741824, 1073741824\], but 16 bytes of float64"),
        ((-1, -2), "has no numbers or no shape"),
        ((2,), "has no numbers or no shape"),
    ],
)
def test_a_shape_that_is_not_there_is_refused_and_nothing_allocated(tmp_path, shape, reason):
    dims = struct.pack(f"<II{len(shape)}i", 5, 4 * len(shape), *shape)
    dims += bytes(-len(dims) % 8)
    content = FLAGS + dims + NAME + struct.pack("<IIdd", 9, 16, 1, 2)
    with pytest.raises(RecordingError, match=reason):
        read_array(write(tmp_path / "made.mat", (14, content)), "x")


def test_a_packed_file_that_unpacks_to_more_than_a_recording_is_refused(tmp_path):
    path = tmp_path / "made.mat"
    savemat(path, {"x": np.zeros((10, 1_000_000))}, do_compression=True)
    assert path.stat().st_size < 200_000
    with pytest.raises(RecordingError, match="or unpacks to more than a recording's size"):
        read_array(path, "x")


def test_an_array_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "made.mat"
    savemat(path, {"x": np.ones((2, 2))})
    path.write_bytes(path.read_bytes() + path.read_bytes()[128:])
    with pytest.raises(RecordingError, match="must hold x once, but holds it 2 times"):
        read_array(path, "x")
