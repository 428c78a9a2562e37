"""Published image folders: signals that others have drawn as images, for one-shot recognition.

The published SL-DML code reads `{train,test,samples,val,val_samples}/<class>/*.png` and resizes every image to
256 × 256 pixels (arXiv 2004.11085). An image becomes a recording whose frames are its columns (time runs across)
and whose rows are its rows of pixels; red, green and blue stand for x, y and z.
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

from sldml.recordings.layout import Layout
from sldml.recordings.readers.files import read_bytes
from sldml.recordings.recording import Recording, RecordingError

ROLES = ("train", "val", "val_samples", "test", "samples")
"""What the folders are for: training classes; validation and novel classes, each as queries and as exemplars."""
MOST_PIXELS = 4096 * 4096
"""A larger image is refused by its header, before anything is decoded: it would be a decompression bomb."""

_RATE_HZ = 1.0
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What Pillow's PNG reader raises for files that are none (read in its source, and found by garbling files).
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, RuntimeError, OverflowError, MemoryError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@functools.cache
def layout(image_px: int) -> Layout:
    """The rows of images that were resized to `image_px` squares."""
    return Layout(None, 0, image_rows=image_px)


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """The images to `read`: `<role>/<class>/*.png` in `folder`, by role, class and name.

    Roles that are not there are left out, and so are hidden files. Raises RecordingError if `folder` is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordingError(folder, "is not a folder")
    # A file system may tell capitals apart or not: the suffix is compared here, not by the pattern.
    return [
        path
        for role in ROLES
        for path in sorted((folder / role).glob("*/*"))
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    ]


def read(path: str | os.PathLike[str], image_px: int, *, any_name: bool = False) -> Recording:
    """One image: [image_px columns, image_px rows, 3], whole numbers from 0 to 255.

    It is resized bilinearly, with antialiasing where it shrinks. Grey and palettes become colours, transparency is
    dropped, and of 16 bits the upper 8 are kept. The folder is the class, the folder above it the catalogue's
    `role` (of `ROLES`); nobody knows the subject, so that it is empty, nor the rate, so that it is 1. With `any_name` a
    image may lie anywhere; of one that does not lie in such folders, label and role are not known either.

    Raises RecordingError, and nothing else, for a file that is missing, cut, garbled, animated, larger than
    `MOST_PIXELS` or no PNG, or that does not lie in `<role>/<class>/`.
    """
    path = Path(path)
    role, label = path.parent.parent.name, path.parent.name
    in_place = role in ROLES and label != ""
    if not in_place and not any_name:
        raise RecordingError(path, f"must lie in <role>/<class>/, where role is one of {', '.join(ROLES)}")
    name = f"{role}/{label}/{path.stem}" if in_place else path.stem
    if not name.isprintable() or not _is_unicode(name):
        raise RecordingError(path, "class and file name must be printable Unicode")
    pixels = _read_pixels(path, image_px)
    try:
        return Recording(
            values=np.ascontiguousarray(pixels.transpose(1, 0, 2), dtype=np.float32),
            rate_hz=_RATE_HZ,
            row_names=layout(image_px).row_names,
            name=name,
            label=label if in_place else "",
            subject="",
            details={"role": role} if in_place else {},
        )
    except RecordingError as error:
        raise RecordingError(path, error.reason) from None


def _is_unicode(name: str) -> bool:
    """A file name that is none has parts that cannot be encoded."""
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
            # A second header would have escaped the check of the first.
            if image.size != size:
                raise RecordingError(path, f"its first header says {size} pixels, a later one {image.size}")
            if getattr(image, "is_animated", False):
                raise RecordingError(path, "is animated: an image has one frame")
            image.load()
            image.info.pop("transparency", None)  # dropped anyway; of a palette's, Pillow would warn
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
    """Width and height. Raises RecordingError for what is no PNG or too large."""
    if not content:
        raise RecordingError(path, "is empty")
    if not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 24:
        raise RecordingError(path, "is not a PNG file")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < width * height <= MOST_PIXELS:
        raise RecordingError(path, f"an image has 1 to {MOST_PIXELS} pixels, but this one has {width} × {height}")
    return width, height
