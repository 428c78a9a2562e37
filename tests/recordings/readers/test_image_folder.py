"""Published image folders: what is found, what pixels become, and that no file breaks the reader."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sldml.recordings import Layout, Recording, RecordingError
from sldml.recordings.readers import image_folder

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def png(picture: Image.Image, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", **options)
    return content.getvalue()


def write(folder: Path, content: bytes, place: str = "train/A001/first.png") -> Path:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def square(pixels: NDArray[np.uint8]) -> bytes:
    return png(Image.fromarray(pixels))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def refusal(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        image_folder.read(path, 16)
    assert caught.value.path == str(path)
    return caught.value.reason


# --------------------------------------------------------------------------------------------------- what is found


def test_pictures_are_found_by_role_class_and_name(tmp_path: Path) -> None:
    places = ["samples/A007/x.png", "train/A002/b.PNG", "train/A002/a.png", "val/A003/a.png", "test/A007/y.png"]
    others = ["train/A002/notes.txt", "train/A002/.hidden.png", "train/loose.png", "other/A001/a.png"]
    for place in places + others:
        write(tmp_path, b"", place)
    found = [str(path.relative_to(tmp_path)) for path in image_folder.find(tmp_path)]
    assert found == [places[i] for i in (2, 1, 3, 4, 0)]
    with pytest.raises(RecordingError, match="is not a folder"):
        image_folder.find(tmp_path / "nowhere")


# --------------------------------------------------------------------------------------------- what pixels become


def test_frames_are_columns_and_rows_are_rows_of_pixels(tmp_path: Path) -> None:
    pixels = PIXELS[:6, :6].repeat(4, axis=0).repeat(4, axis=1)  # 24 × 24
    recording = image_folder.read(write(tmp_path, square(pixels)), 24)
    assert recording.values.dtype == np.float32
    assert (recording.values == pixels.transpose(1, 0, 2)).all()
    assert recording.row_names == Layout(None, 0, image_rows=24).row_names
    assert (recording.name, recording.label, recording.subject) == ("train/A001/first", "A001", "")
    assert recording.details == {"role": "train"}


@pytest.mark.parametrize("image_px", [3, 20])
def test_a_picture_of_any_size_is_resized_bilinearly(tmp_path: Path, image_px: int) -> None:
    """Against the triangle filter written out: its half width is one pixel of the coarser of the two."""

    def weights(before: int) -> NDArray[np.float64]:
        scale = before / image_px
        centre = (np.arange(image_px) + 0.5) * scale
        distance = np.abs(np.arange(before) + 0.5 - centre[:, None]) / max(scale, 1)
        weight = np.clip(1 - distance, 0, None)
        normal: NDArray[np.float64] = weight / weight.sum(axis=1, keepdims=True)
        return normal

    expected = np.einsum("ih,hwc,jw->jic", weights(6), PIXELS, weights(9))
    found = image_folder.read(write(tmp_path, square(PIXELS)), image_px).values
    assert found.shape == (image_px, image_px, 3)
    assert np.abs(found - expected).max() <= 1.0
    assert (found == found.round()).all()


@pytest.mark.filterwarnings("error")
def test_grey_palette_transparency_and_sixteen_bits_become_colours(tmp_path: Path) -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    alike = PIXELS[..., :1].repeat(3, axis=2)
    few = Image.fromarray((PIXELS // 128) * 255)
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 256 + 77)
    assert deep.mode == "I;16"
    faint = PIXELS.copy()
    pictures = {
        "grey": (grey, alike),
        "grey_alpha": (grey.convert("LA"), alike),
        "alpha": (Image.fromarray(np.dstack([faint, np.full((6, 9), 3, np.uint8)])), faint),
        "palette": (few.convert("P", palette=Image.Palette.ADAPTIVE, colors=8), (PIXELS // 128) * 255),
        "two": (Image.fromarray(PIXELS[..., 0] > 99), (alike > 99) * 255),
        "deep": (deep, alike),
    }
    pictures["faint_palette"] = pictures["palette"]
    for name, (picture, expected) in pictures.items():
        wide = picture.resize((36, 36), Image.Resampling.NEAREST)
        options = {"transparency": bytes(range(8))} if name == "faint_palette" else {}
        found = image_folder.read(write(tmp_path, png(wide, **options), f"val/A001/{name}.png"), 36).values
        blocks = expected.repeat(6, axis=0).repeat(4, axis=1)
        assert (found == blocks.transpose(1, 0, 2)).all(), name


# ------------------------------------------------------------------------------------------------ what is refused


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    start = b"\x89PNG\r\n\x1a\n"
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    for size in [(65536, 65536), (2**31 - 1, 2**31 - 1), (0, 5), (4096, 4097)]:
        path = write(tmp_path, start + header(*size) + data)
        assert refusal(path) == f"an image must have 1 to 16777216 pixels, but this one has {size[0]} × {size[1]}"
    path = write(tmp_path, start + header(4, 4) + header(5000, 5000) + data)
    assert "a later one (5000, 5000)" in refusal(path)


def test_other_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    whole = square(PIXELS)
    assert refusal(tmp_path / "train/A001/none.png") == "does not exist"
    assert refusal(write(tmp_path, b"")) == "is empty"
    assert refusal(write(tmp_path, b"GIF89a" + whole)) == "is not a PNG file"
    assert refusal(write(tmp_path, whole[:20])) == "is not a PNG file"
    assert "cannot be decoded" in refusal(write(tmp_path, whole[: len(whole) // 2]))
    first, second = Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())
    animated = png(first, save_all=True, append_images=[second])
    assert refusal(write(tmp_path, animated)) == "is animated: an image must have one frame"
    assert "must be in <role>/<class>/" in refusal(write(tmp_path, whole, "holidays/A001/a.png"))
    assert "printable" in refusal(write(tmp_path, whole, "train/A001/a\x1b[2J.png"))
    assert "printable" in refusal(write(tmp_path, whole, "train/A001/a\udcff.png"))


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_a_garbled_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(square(PIXELS[:3, :3]))
    if data.draw(st.booleans()):  # chunks of every kind that means something to a decoder, with a right checksum
        kinds = st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"acTL",
                                 b"fcTL", b"fdAT", b"pHYs", b"eXIf", b"IDAT", b"IEND", b"xxxx"])  # fmt: skip
        made = b"".join(chunk(data.draw(kinds), data.draw(st.binary(max_size=40))) for _ in range(2))
        at = data.draw(st.sampled_from([8, 33, len(content) - 12, len(content)]))
        content[at:at] = made
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
    path = write(tmp_path_factory.mktemp("garbled"), bytes(content[:cut]))
    try:
        recording = image_folder.read(path, 16)
    except RecordingError:
        return
    assert isinstance(recording, Recording)
    assert recording.values.shape == (16, 16, 3)
    assert 0 <= recording.values.min() <= recording.values.max() <= 255


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_what_follows_the_signature_may_be_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("anything"), b"\x89PNG\r\n\x1a\n" + header(4, 4) + content)
    with pytest.raises(RecordingError):
        image_folder.read(path, 16)
