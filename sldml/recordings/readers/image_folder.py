"""Published image folders: signals that were already represented as images, for one-shot recognition.

The published SL-DML code reads `{train,test,samples,val,val_samples}/<class>/*.png` and resizes every image to
256 × 256 pixels (arXiv 2004.11085). In the recording of an image, frames are its pixel columns (time runs across), rows
are its pixel rows, and red, green and blue take the place of x, y and z.
"""

import functools
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sldml.recordings.content import require_content
from sldml.recordings.layout import Layout
from sldml.recordings.readers.files import read_bytes
from sldml.recordings.recording import Recording, RecordingError

ROLES = ("train", "val", "val_samples", "test", "samples")
"""Roles of the folders: training classes; validation and novel classes, each as queries and as exemplars."""
MOST_PIXELS = 4096 * 4096
"""Larger images are refused by their header, before decoding (decompression bombs)."""

_RATE_HZ = 1.0
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What Pillow's PNG reader raises for invalid files (from its source, and from tests with garbled files).
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, RuntimeError, OverflowError, MemoryError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@functools.cache
def layout(image_px: int) -> Layout:
    """The layout of images resized to `image_px` × `image_px`."""
    return Layout(None, 0, image_rows=image_px)


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """The images to `read`: `<role>/<class>/*.png` in `folder`, by role, class and name.

    Missing roles and hidden files are skipped. Raises RecordingError if `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordingError(folder, "is not a folder")
    # Patterns depend on the case sensitivity of the file system, so the suffix is compared here.
    return [
        path
        for role in ROLES
        for path in sorted((folder / role).glob("*/*"))
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    ]


def read(path: str | os.PathLike[str], image_px: int, *, any_name: bool = False) -> Recording:
    """One image: [image_px columns, image_px rows, 3], integers from 0 to 255.

    It is resized bilinearly, with antialiasing. Grey and palette images are converted to colours, transparency is
    dropped, and of 16 bits the upper 8 are kept. The folder is the class, and the folder above it the catalogue's
    `role` (one of `ROLES`). The subject is unknown (empty), and so is the rate (1). With `any_name` an image may be
    anywhere; outside of such folders, label and role are unknown too.

    Raises only RecordingError: the file is missing, truncated, garbled, animated, larger than `MOST_PIXELS`, not a PNG,
    or not in `<role>/<class>/`.
    """
    path = Path(path)
    role, label = path.parent.parent.name, path.parent.name
    in_place = role in ROLES and label != ""
    if not in_place and not any_name:
        raise RecordingError(path, f"must be in <role>/<class>/, where role is one of {', '.join(ROLES)}")
    name = f"{role}/{label}/{path.stem}" if in_place else path.stem
    if not name.isprintable() or not _is_unicode(name):
        raise RecordingError(path, "class and file name must be printable Unicode")
    pixels = _read_pixels(path, image_px)
    try:
        recording = Recording(
            values=np.ascontiguousarray(pixels.transpose(1, 0, 2), dtype=np.float32),
            rate_hz=_RATE_HZ,
            row_names=layout(image_px).row_names,
            name=name,
            label=label if in_place else "",
            subject="",
            details={"role": role} if in_place else {},
        )
        return require_content(recording, layout(image_px))
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None


def _is_unicode(name: str) -> bool:
    """Whether a file name can be encoded."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_pixels(path: Path, image_px: int) -> NDArray[np.uint8]:
    """Red, green and blue [image_px, image_px, 3]."""
    content = read_bytes(path)
    size = _size_in_header(path, content)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            # The size check covers only the first header.
            if image.size != size:
                raise RecordingError(path, f"its first header has {size} pixels, a later one {image.size}")
            if getattr(image, "is_animated", False):
                raise RecordingError(path, "is animated: an image must have one frame")
            image.load()
            image.info.pop("transparency", None)  # dropped anyway; Pillow would warn about that of a palette
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                upper = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
                colours = Image.fromarray(upper).convert("RGB")
            else:
                colours = image.convert("RGB")
    except RecordingError:
        raise
    except _UNREADABLE as error:
        raise RecordingError(path, f"cannot be decoded: {error or type(error).__name__}") from None
    return np.asarray(colours.resize((image_px, image_px), Image.Resampling.BILINEAR))


def _size_in_header(path: Path, content: bytes) -> tuple[int, int]:
    """Width and height. Raises RecordingError if it is not a PNG or too large."""
    if not content:
        raise RecordingError(path, "is empty")
    if not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 24:
        raise RecordingError(path, "is not a PNG file")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < width * height <= MOST_PIXELS:
        raise RecordingError(path, f"an image must have 1 to {MOST_PIXELS} pixels, but this one has {width} × {height}")
    return width, height
