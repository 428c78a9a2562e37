"""Files with each kind of fault, for each reader: one clear line, or the right recording."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from sldml.config.recording_format import RecordingFormat
from sldml.recordings import KINECT_V1, Recording, RecordingError
from sldml.recordings.readers import declared, image_folder, ntu, simitate, utd_mhad
from sldml.recordings.synthetic import ntu_writer

Array = NDArray[Any]
FRAMES = 40


def walking(num_joints: int, num_frames: int = FRAMES) -> Array:
    """A body [frames, joints, 3] that waves at 3 m; its joints are far apart, and move by centimetres in a frame."""
    rest = np.random.default_rng(0).uniform(-0.5, 0.5, (num_joints, 3)) * (0.6, 1.6, 0.3) + (0, 0, 3)
    times = np.arange(num_frames)[:, None]
    moves = 0.2 * np.sin(times / 8 + np.arange(num_joints)[None])
    return rest + moves[..., None] * (0.3, 1, 0.2)


ZERO, MEETING = np.zeros((FRAMES, 20, 3)), np.tile(walking(1), (1, 20, 1))
STILL = np.tile(walking(20, 1), (FRAMES, 1, 1))
BODY, SAMPLES = walking(20), np.random.default_rng(1).normal(size=(100, 6))
JOINTS = [f"joint{number}" for number in range(20)]
SKELETON = {"joints": JOINTS, "root": "joint0"}
SENSOR = {"sensors": {"acceleration": 8}, "rate_hz": 50}


# ---------------------------------------------------------------------------------------------- the files of readers


def ntu_file(values: Array | bytes, *, bom: bool = False, joints: int = 25) -> Callable[[Path], Recording]:
    def read(folder: Path) -> Recording:
        path = folder / "S001C001P001R001A001.skeleton"
        if isinstance(values, bytes):
            path.write_bytes(values)
        else:
            ntu_writer.write(path, [[(7, frame)] for frame in values])
        content = path.read_bytes()
        if joints != 25:
            content = content.replace(b"\n25", f"\n{joints}".encode())
        path.write_bytes(b"\xef\xbb\xbf" * bom + content)
        return ntu.read(path)

    return read


def utd_file(modality: str = "skeleton", raw: bytes | None = None, **arrays: Array) -> Callable[[Path], Recording]:
    """`d_skel` and `d_iner` as [frames, 20, 3] and [samples, 6]."""

    def read(folder: Path) -> Recording:
        kinds = {"d_skel": "skeleton", "d_iner": "inertial"}
        for name, values in arrays.items():
            stored = values.transpose(1, 2, 0) if values.ndim == 3 and values.shape[1:] == (20, 3) else values
            savemat(folder / f"a1_s1_t1_{kinds[name]}.mat", {name: stored})
        path = folder / f"a1_s1_t1_{'inertial' if modality == 'inertial' else 'skeleton'}.mat"
        if raw is not None:
            path.write_bytes(raw)
        return utd_mhad.read(path, modality)

    return read


def simitate_file(places: Array, *, before: bytes = b"") -> Callable[[Path], Recording]:
    def read(folder: Path) -> Recording:
        path = folder / "motions/wave/anna/sequence_1/hand.csv"
        path.parent.mkdir(parents=True)
        header = ",".join(["%time", *(f"field.transforms0.{field}" for field in simitate._FIELDS)])
        lines = [
            f"{number},0,{10**18 + number * 10**7},world,hand,{x},{y},{z},0,0,0,1"
            for number, (x, y, z) in enumerate(places)
        ]
        path.write_bytes(before + "\n".join([header, *lines]).encode() + b"\n")
        return simitate.read(path)

    return read


def image_file(pixels: Array | bytes) -> Callable[[Path], Recording]:
    def read(folder: Path) -> Recording:
        path = folder / "train/wave/a.png"
        path.parent.mkdir(parents=True)
        file = io.BytesIO()
        if isinstance(pixels, bytes):
            file.write(pixels)
        else:
            Image.fromarray(pixels.astype(np.uint8)).save(file, format="PNG")
        path.write_bytes(file.getvalue())
        return image_folder.read(path, 16)

    return read


def own_file(name: str, content: Array | str | bytes, **keys: Any) -> Callable[[Path], Recording]:
    """A file of a declared format: the 20 joints of a body unless `keys` say otherwise."""

    def read(folder: Path) -> Recording:
        path = folder / name
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        elif path.suffix == ".mat":
            savemat(path, {"values": content})
        else:
            np.save(path, content)
        given = {"skeleton": SKELETON, "rate_hz": 30, **keys}
        if "sensors" in keys and "skeleton" not in keys:
            del given["skeleton"]
        return declared.read(path, declared=RecordingFormat.model_validate(given))

    return read


def table(values: Array, *, delimiter: str = " ", before: Callable[[int, int], str] | None = None) -> str:
    """A text table [frames, rows, values], one row per line; `before`: a cell from the numbers of frame and row."""
    lines = []
    for frame, rows in enumerate(values):
        for row, numbers in enumerate(rows):
            cells = [before(frame, row)] if before else []
            lines.append(delimiter.join([*cells, *(f"{number:.6f}" for number in numbers)]))
    return "\n".join(lines) + "\n"


def wide(values: Array, delimiter: str = " ") -> str:
    """A text table, one frame per line."""
    return table(values.reshape(len(values), 1, -1), delimiter=delimiter)


def declaring(num_joints: int) -> dict[str, Any]:
    return {"skeleton": {"joints": [f"joint{number}" for number in range(num_joints)], "root": "joint0"}}


V73 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(500)
CONSTANT_SAMPLES = np.tile(SAMPLES[:1], (100, 1))
HAND = walking(1)[:, 0]
PICTURE = np.random.default_rng(2).integers(0, 256, (16, 16, 3))


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        # ---- a recording of nothing
        (ntu_file(np.zeros((FRAMES, 25, 3))), r"has no body in any of its 40 frames: all coordinates are 0"),
        (ntu_file(np.tile(walking(1), (1, 25, 1))), "all joints of the body have the same position"),
        (utd_file(d_skel=ZERO), "has no body in any of its 40 frames"),
        (utd_file(d_skel=MEETING), "all joints of the body have the same position"),
        (utd_file("inertial", d_iner=np.zeros((100, 6))), "is constant: all of its 100 frames"),
        (utd_file("inertial", d_iner=CONSTANT_SAMPLES), "is constant: all of its 100 frames"),
        (utd_file("fused", d_skel=ZERO, d_iner=SAMPLES), "has no body in any of its 40 frames"),
        (simitate_file(np.ones((9, 3))), "is constant: all of its 9 frames"),
        (simitate_file(np.zeros((9, 3))), "has no body in any of its 9 frames"),
        (image_file(np.full((16, 16, 3), 7)), "is an image of a single colour"),
        (image_file(np.zeros((16, 16))), "is an image of a single colour"),
        (own_file("a.npy", ZERO), "has no body in any of its 40 frames"),
        (own_file("a.mat", ZERO), "has no body in any of its 40 frames"),
        (own_file("a.txt", wide(ZERO)), "has no body in any of its 40 frames"),
        (own_file("a.npy", MEETING), "all joints of the body have the same position"),
        (own_file("a.npy", np.ones((9, 1, 3)), **SENSOR), "is constant: all of its 9 frames"),
        (own_file("a.csv", "1,2,3\n" * 9, **SENSOR), "is constant: all of its 9 frames"),
        (own_file("a.npy", np.ones((9, 1, 3)), skeleton={"name": "hand"}), "is constant: all of its 9 frames"),
        # ---- lines that do not fit
        (own_file("a.npy", SAMPLES[:60, :4], **SENSOR), "has 60 lines of 4 columns, but the format needs 3 columns"),
        (own_file("a.csv", wide(SAMPLES[:, :4, None], ","), **SENSOR), "100 lines of 4 columns"),
        (own_file("a.csv", wide(SAMPLES[:, :, None], ","), **SENSOR), "100 lines of 6 columns, but the format needs 3"),
        (own_file("a.mat", SAMPLES, **SENSOR), "100 lines of 6 columns"),
        (own_file("a.npy", SAMPLES[:99, :1], **SENSOR), "99 lines of 1 columns"),
        (own_file("a.npy", SAMPLES[:99].T, sensors={"a": 1}), "6 lines of 99 columns"),
        (own_file("a.npy", BODY.reshape(FRAMES, 60)[:38], **declaring(19)), "38 lines of 60 columns"),
        (own_file("a.npy", walking(20, 38).reshape(-1, 3), **declaring(19)), "repeat after 20 lines, .* has 19"),
        (own_file("a.txt", table(walking(20, 57)), **declaring(19)), "repeat after 20 lines, .* has 19"),
        (own_file("a.txt", table(BODY), **declaring(10)), "repeat after 20 lines, .* has 10"),
        (own_file("a.txt", table(walking(10)), **declaring(20)), "repeat after 10 lines, .* has 20"),
        (
            own_file("a.txt", table(walking(20, 19), before=lambda _, j: JOINTS[j]), drop_columns=[1], **declaring(19)),
            "row 20 of the table is 'joint19' where 'joint0' should follow, because a frame has 19 rows",
        ),
        (
            own_file("a.txt", table(walking(20, 19), before=lambda t, _: str(t)), time_column=1, **declaring(19)),
            "rows 20 and 21 of the table should be of one frame, 19 rows each, but have different time stamps",
        ),
        (own_file("a.txt", table(BODY).replace("\n", " 1\n"), values=["x", "y", "z"]), "800 lines of 4 columns"),
        (own_file("a.npy", BODY.transpose(2, 1, 0)), r"must be \[frames, 20 rows, 3 values\]"),
        (own_file("a.npy", BODY[..., :2]), r"must be \[frames, 20 rows, 3 values\]"),
        (own_file("a.txt", "a b\n1 2 3\n", text={"header": True}), "header line names 2 columns"),
        (own_file("a.txt", "1 2 3\n1 2\n", **SENSOR), "line 2 has 2 columns, but earlier ones have 3"),
        # ---- one step away
        (own_file("a.csv", table(BODY)), "blanks are in it: set format.text.delimiter to ' '"),
        (own_file("a.csv", table(BODY, delimiter=";")), "semicolons are in it: set format.text.delimiter to ';'"),
        (own_file("a.txt", table(BODY, delimiter=",")), "commas are in it: set format.text.delimiter to ','"),
        (own_file("a.tsv", table(BODY, delimiter=",")), "commas are in it"),
        (own_file("a.mat", V73), "is a MATLAB 7.3 file .* save it in MATLAB with save"),
        (utd_file(raw=V73), "is a MATLAB 7.3 file .* save it in MATLAB with save"),
        (utd_file(raw=V73[512:]), "is a MATLAB 7.3 file"),
        # ---- other files
        (ntu_file(b"<!DOCTYPE html>"), "frame count must be a whole number"),
        (ntu_file(walking(25), joints=20), "joint count must be 25"),
        (ntu_file(b""), "is empty"),
        (utd_file(d_skel=BODY[:1]), "at least 2 frames"),
        (utd_file(d_skel=BODY[..., :2]), r"d_skel must be \[20, 3, frames\]"),
        (utd_file("inertial", d_iner=SAMPLES.T), r"d_iner must be \[samples, 6\]"),
        (simitate_file(HAND[:1]), "at least 2 poses"),
        (image_file(b"GIF89a"), "is not a PNG file"),
    ],
)  # fmt: skip
def test_a_fault_is_one_clear_line(tmp_path: Path, read: Callable[[Path], Recording], reason: str) -> None:
    with pytest.raises(RecordingError, match=reason) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (ntu_file(walking(25)), walking(25)),
        (ntu_file(walking(25), bom=True), walking(25)),
        (ntu_file(np.tile(walking(25, 1), (9, 1, 1))), np.tile(walking(25, 1), (9, 1, 1))),
        (utd_file(d_skel=BODY), BODY),
        (utd_file(d_skel=STILL), STILL),
        (utd_file("inertial", d_iner=SAMPLES), SAMPLES.reshape(100, 2, 3)),
        (simitate_file(HAND), HAND[:, None]),
        (simitate_file(HAND, before=b"\xef\xbb\xbf"), HAND[:, None]),
        (image_file(PICTURE), PICTURE.transpose(1, 0, 2)),
        (own_file("a.npy", BODY), BODY),
        (own_file("a.npy", STILL), STILL),
        (own_file("a.npy", BODY.reshape(FRAMES, 60)), BODY),
        (own_file("a.npy", BODY.reshape(-1, 3)), BODY),
        (own_file("a.npy", BODY.reshape(-1)), BODY),
        (own_file("a.mat", BODY.reshape(FRAMES, 60)), BODY),
        (own_file("a.txt", wide(BODY)), BODY),
        (own_file("a.txt", table(BODY)), BODY),
        (own_file("a.csv", table(BODY), text={"delimiter": " "}), BODY),
        (own_file("a.txt", table(BODY, before=lambda _, j: JOINTS[j]), drop_columns=[1]), BODY),
        (own_file("a.txt", table(BODY, before=lambda t, _: str(t)), time_column=1, rate_hz=None), BODY),
        (own_file("a.txt", table(BODY, before=lambda t, j: f"{t + j / 100}"), time_column=1), BODY),
        (own_file("a.txt", table(BODY, before=lambda t, j: f"12:00:{t}.{j}"), drop_columns=[1]), BODY),
        (own_file("a.npy", BODY.transpose(1, 2, 0).reshape(60, FRAMES), order=["rows", "values", "frames"]), BODY),
        (own_file("a.npy", np.tile(BODY, (1, 2, 1)).reshape(-1, 3), num_bodies=2), np.tile(BODY, (1, 2, 1))),
        (own_file("a.csv", wide(SAMPLES, ","), sensors={"a": 1, "b": 1}), SAMPLES.reshape(100, 2, 3)),
        (own_file("a.npy", SAMPLES[:, :1], sensors={"a": 1}, values=["y"]), SAMPLES[:, :1, None] * (0, 1, 0)),
    ],
)  # fmt: skip
def test_a_good_file_is_read_as_it_is(tmp_path: Path, read: Callable[[Path], Recording], values: Array) -> None:
    found = read(tmp_path).values[:, : values.shape[1]]
    np.testing.assert_allclose(found, values, atol=1e-5)


def test_a_wrong_number_of_joints_never_passes() -> None:
    """19 joints for 20, one joint per line: the number of values fits for each 19th number of frames."""
    form = RecordingFormat.model_validate({"rate_hz": 30, **declaring(19)})
    for num_frames in range(19, 400, 19):
        values = walking(KINECT_V1.num_joints, num_frames).reshape(-1, 3)
        numbers = declared.Numbers(values, None)
        with pytest.raises(ValueError, match="repeat after 20 lines"):
            declared.require_frames(numbers, len(values) // 19, form)
