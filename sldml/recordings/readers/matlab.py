"""Reading one numeric array from a MATLAB 5 file.

Follows *MAT-File Format* (The MathWorks, version 5). scipy's reader is not used, because garbled files can crash it
with a segmentation fault (scipy 1.17), and because it would load cells and objects.
"""

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sldml.recordings.readers.files import LARGEST_FILE_BYTES, read_bytes
from sldml.recordings.recording import RecordingError

Order = Literal["<", ">"]

_HEADER_BYTES = 128
_HDF5, _HDF5_USER_BLOCK = b"\x89HDF\r\n\x1a\n", 512
"""MATLAB 7.3 files are HDF5 files, whose signature follows a block of the user's."""
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED_AS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse array"}
_NUMBERS = range(6, 16)
_COMPLEX, _LOGICAL = 0x0800, 0x0200


def read_array(path: Path, name: str | None, *, finite: bool = True) -> NDArray[np.float64]:
    """The array `name` (None: the only one in the file), in its own shape.

    Raises RecordingError: not a MATLAB 5 file, truncated or garbled, without exactly one `name`, or with values that
    are not real numbers or, unless `finite` is False, not finite.
    """
    data = read_bytes(path)
    try:
        order = _byte_order(data)
        held = [(_name_of(matrix, order), matrix) for matrix in _matrices(memoryview(data), order)]
        found = [(own, matrix) for own, matrix in held if (own == name if name is not None else own)]
        if name is None and len(found) != 1:
            raise ValueError(f"holds {len(found)} arrays ({', '.join(own for own, _ in found[:8])}), not one")
        if len(found) != 1:
            raise ValueError(f"must hold {name} once, but holds it {len(found)} times")
        name, matrix = found[0]
        values = _numbers(matrix, order, name)
    except zlib.error as error:
        raise RecordingError(path, f"is a garbled MATLAB file: {error}") from None
    except ValueError as error:
        raise RecordingError(path, str(error)) from None
    if finite and not np.isfinite(values).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
        raise RecordingError(path, f"{name} must be finite, but at {place} it is not")
    return values


def _byte_order(data: bytes) -> Order:
    if not data:
        raise ValueError("is empty")
    if data.startswith(_HDF5) or data.startswith(_HDF5, _HDF5_USER_BLOCK):
        raise ValueError("is a MATLAB 7.3 file (HDF5), which is not read: save it in MATLAB with save(..., '-v7')")
    # Version, then "MI" in the byte order of the writer; text comes first (a MATLAB 4 file starts with zeros).
    orders: dict[bytes, Order] = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    if len(data) < _HEADER_BYTES or 0 in data[:4] or data[124:128] not in orders:
        raise ValueError("is not a MATLAB 5 file, or it is cut")
    return orders[data[124:128]]


def _matrices(data: memoryview, order: Order) -> Iterator[list[tuple[int, memoryview]]]:
    """The elements (kind and content) of every array in the file."""
    allowed = LARGEST_FILE_BYTES
    for kind, content in _elements(data[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            content = memoryview(inflater.decompress(content, max(allowed, 1)))
            allowed -= len(content)
            if not inflater.eof or allowed < 0:
                raise ValueError("is a truncated MATLAB file, or unpacks to more than a recording's size")
            (kind, content), *_ = [*_elements(content, order), (0, content)]
        if kind != _MATRIX:
            raise ValueError(f"is a garbled MATLAB file: an element of kind {kind} in the place of an array")
        yield list(_elements(content, order, most=4))


def _elements(data: memoryview, order: Order, most: int | None = None) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of successive elements in `data`, at most `most`."""
    position = 0
    while position < len(data) and (most is None or most > 0):
        (word,) = _unpack(f"{order}I", data[position : position + 4])
        if word >> 16:  # up to four bytes, in the tag itself
            kind, size, start, position = word & 0xFFFF, word >> 16, position + 4, position + 8
            if size > 4:
                raise ValueError("is a garbled MATLAB file: a short element has more than four bytes")
        else:
            (size,) = _unpack(f"{order}I", data[position + 4 : position + 8])
            kind, start = word, position + 8
            padding = 0 if kind == _COMPRESSED else -size % 8
            position = start + size + padding
        if start + size > len(data):
            raise ValueError("is a cut MATLAB file")
        yield kind, data[start : start + size]
        most = None if most is None else most - 1


def _name_of(matrix: list[tuple[int, memoryview]], order: Order) -> str:
    if [kind for kind, _ in matrix[:3]] != [_UINT32, _INT32, _INT8]:
        # Objects and functions have another layout and are never requested.
        return ""
    return bytes(matrix[2][1]).decode("ascii", errors="replace")


def _numbers(matrix: list[tuple[int, memoryview]], order: Order, name: str) -> NDArray[np.float64]:
    flags = _unpack(f"{order}II", matrix[0][1])[0]
    if (flags & 0xFF) not in _NUMBERS or flags & (_COMPLEX | _LOGICAL):
        found = _CLASSES.get(flags & 0xFF, "of another kind")
        found = "complex" if flags & _COMPLEX else "logical" if flags & _LOGICAL else found
        raise ValueError(f"{name} must be real numbers, but it is {found}")
    shape = _unpack(f"{order}{len(matrix[1][1]) // 4}i", matrix[1][1])
    kind, content = matrix[3] if len(matrix) > 3 else (0, memoryview(b""))
    if kind not in _STORED_AS or len(shape) < 2 or len(shape) > 8 or min(shape) < 0:
        raise ValueError(f"is a garbled MATLAB file: {name} has no numbers or no shape")
    stored = np.dtype(_STORED_AS[kind]).newbyteorder(order)
    if prod(shape) * stored.itemsize != len(content):
        raise ValueError(
            f"is a garbled MATLAB file: {name} has shape {list(shape)}, but {len(content)} bytes of {stored.name}"
        )
    values: NDArray[np.float64] = np.frombuffer(content, stored).astype(np.float64).reshape(shape, order="F")
    return values


def _unpack(layout: str, content: memoryview) -> tuple[int, ...]:
    if len(content) != struct.calcsize(layout):
        raise ValueError("is a cut or garbled MATLAB file")
    return struct.unpack(layout, content)
