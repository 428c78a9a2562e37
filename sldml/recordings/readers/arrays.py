"""Numbers from files of a declared format: `.npy`, `.npz`, MATLAB 5, and text tables.

Files are not trusted: declared sizes are checked against the real size before anything is allocated, pickles are never
loaded, and the unpacked size of archives is limited.
"""

import csv
import re
import struct
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sldml.config.recording_format import Column, RecordingFormat
from sldml.recordings.readers import matlab
from sldml.recordings.readers.files import LARGEST_FILE_BYTES, read_bytes
from sldml.recordings.recording import RecordingError

Array = NDArray[np.float64]

_NPY_MAGIC = b"\x93NUMPY"
_NPY_LONGEST_HEADER = 10_000
_NPY_NUMBERS = re.compile(r"[<>|=]?(?:f[248]|[iu][1248])")
_NPY_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]""")
_NPY_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_NPY_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,L]*)\)""", re.ASCII)
_MOST_AXES = 8
_MOST_OTHERS = 8
"""Number of columns of text that are kept although they are not read."""
_GARBLED_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip
# Unambiguous and bounded, so that matching a garbled file cannot take long.
_NUMBER = re.compile(r"[ \t]*[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,9})?[ \t]*", re.ASCII)
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas", " ": "blanks"}
_NOT_A_NUMBER = ("nan", "+nan", "-nan")


@dataclass(frozen=True)
class Numbers:
    """The content of a file."""

    values: Array
    """In the shape of the file; a text table is [lines, columns]. Missing numbers are NaN."""
    times: Array | None
    """The time column [lines] in its own unit, if one is declared."""
    others: tuple[tuple[str, ...], ...] = ()
    """For each line of a text table its cells that are not read, unless there are many."""


def read_numbers(path: Path, declared: RecordingFormat) -> Numbers:
    """The numbers of a file, read by its suffix: `.npy`, `.npz`, `.mat`, or text for all others.

    Columns are selected here; the caller reshapes the numbers to [frames, rows, 3].

    Raises only RecordingError: the file is missing, truncated, garbled, of another type than its suffix, contains a
    pickle, or lacks declared columns.
    """
    try:
        match path.suffix.lower():
            case ".npy":
                values = _npy(read_bytes(path))
            case ".npz":
                values = _npz(read_bytes(path), declared.variable)
            case ".mat":
                values = matlab.read_array(path, declared.variable, finite=False)
            case _:
                return _text(read_bytes(path), path.suffix.lower(), declared)
        return _choose_columns(values, declared)
    except RecordingError:
        raise
    except ValueError as error:
        raise RecordingError(path, str(error)) from None


# -------------------------------------------------------------------------------------------------------- NumPy


def _npy(data: bytes) -> Array:
    """One array, after NumPy's description of its format (numpy.lib.format, versions 1 to 3)."""
    if not data.startswith(_NPY_MAGIC) or len(data) < 12:
        raise ValueError("is empty" if not data else "is not a NumPy file, or it is cut")
    long_length = data[6] >= 2
    (length,) = struct.unpack("<I", data[8:12]) if long_length else struct.unpack("<H", data[8:10])
    start = (12 if long_length else 10) + length
    if data[6] not in (1, 2, 3) or length > _NPY_LONGEST_HEADER or start > len(data):
        raise ValueError("is a cut or garbled NumPy file")
    header = data[start - length : start].decode("latin-1")
    descr, order, shape = _NPY_DESCR.search(header), _NPY_ORDER.search(header), _NPY_SHAPE.search(header)
    if order is None or shape is None:
        raise ValueError("is a garbled NumPy file: its header has no shape")
    if descr is None or _NPY_NUMBERS.fullmatch(descr[1]) is None:
        kind = descr[1] if descr else "records"
        raise ValueError(f"must hold real numbers, but it holds {'pickled objects' if 'O' in kind else kind!r}")
    dtype = np.dtype(descr[1])
    sizes = [int(size) for size in re.findall(r"\d+", shape[1])]
    if len(sizes) > _MOST_AXES or 0 in sizes:
        raise ValueError(f"must have at most {_MOST_AXES} axes and a number at least, but its shape is {sizes}")
    if prod(sizes) * dtype.itemsize != len(data) - start:
        raise ValueError(f"is cut or garbled: its shape is {sizes}, but {len(data) - start} bytes of {dtype} follow")
    flat = np.frombuffer(data, dtype, offset=start)
    values: Array = flat.reshape(sizes, order="F" if order[1] == "True" else "C").astype(np.float64)
    return values


def _npz(data: bytes, variable: str | None) -> Array:
    if not data:
        raise ValueError("is empty")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            if variable is not None:
                members = [m for m in members if m.filename == f"{variable}.npy"]
                if len(members) != 1:
                    raise ValueError(f"must hold {variable} once, but holds it {len(members)} times")
            elif len(members) != 1:
                names = ", ".join(m.filename.removesuffix(".npy") for m in members[:8])
                raise ValueError(f"holds {len(members)} arrays ({names}): set format.variable")
            (member,) = members
            if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("is encrypted, or compressed in another way than by NumPy")
            with archive.open(member) as file:
                content = file.read(LARGEST_FILE_BYTES + 1)
    except _GARBLED_ARCHIVE as error:
        raise ValueError(f"is not a .npz file, or it is cut or garbled: {error}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise ValueError(f"unpacks to more than the {LARGEST_FILE_BYTES} bytes that a recording may have")
    return _npy(content)


# --------------------------------------------------------------------------------------------------------- text


def _text(data: bytes, suffix: str, declared: RecordingFormat) -> Numbers:
    if not data:
        raise ValueError("is empty")
    try:
        text = data.decode(declared.text.encoding)
    except UnicodeError as error:
        raise ValueError(f"is not text in {declared.text.encoding} (format.text.encoding): {error}") from None
    lines = list(_table_lines(text.removeprefix("\ufeff"), declared))
    names: Sequence[str] | None = None
    splitter = _Splitter(suffix, declared, lines[declared.text.header :])
    if declared.text.header and lines:
        names = [name.strip() for name in splitter.cells(*lines.pop(0))]
    if not lines:
        raise ValueError("has no line with numbers")
    width = len(splitter.cells(*lines[0]))
    if width == 1 and declared.text.delimiter is None:
        _require_delimiter(lines[0], declared)
    picked, time = _picked(declared, width, names)
    others = [column for column in range(width) if column not in picked and column != time]
    others = others if len(others) <= _MOST_OTHERS else []
    kept: list[tuple[str, ...]] = []
    parser = _Parser(declared)
    values, times = array("d"), array("d")
    for number, line in lines:
        cells = splitter.cells(number, line)
        if len(cells) != width:
            raise ValueError(f"line {number} has {len(cells)} columns, but earlier ones have {width}")
        if time is not None:
            times.append(parser.number(cells[time], number, time))
        values.extend(parser.numbers(cells, picked, number))
        if others:
            kept.append(tuple(cells[column].strip() for column in others))
    table = np.frombuffer(values, np.float64).reshape(-1, len(picked))
    return Numbers(table, np.frombuffer(times, np.float64) if time is not None else None, tuple(kept))


def _require_delimiter(first: tuple[int, str], declared: RecordingFormat) -> None:
    """A line that is one column may have another delimiter than files of its suffix usually do."""
    number, line = first
    for delimiter, name in _OTHER_DELIMITERS.items():
        cells = [cell.strip() for cell in line.split(None if delimiter == " " else delimiter)]
        numbers = [cell.replace(",", ".", 1) if declared.text.decimal == "," else cell for cell in cells]
        if len(cells) > 1 and delimiter != declared.text.decimal and any(map(_NUMBER.fullmatch, numbers)):
            raise ValueError(
                f"line {number} is a single column, but {name} are in it: set format.text.delimiter to {delimiter!r}"
            )


def _table_lines(text: str, declared: RecordingFormat) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that belong to the table."""
    comment = declared.text.comment
    ignored = re.compile(declared.text.ignore_lines) if declared.text.ignore_lines else None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, whole in enumerate(lines[declared.text.skip_lines :], start=declared.text.skip_lines + 1):
        line = whole.partition(comment)[0] if comment else whole
        if line.strip() and not (ignored and ignored.search(whole)):
            yield number, line


class _Splitter:
    """Splits lines into cells."""

    def __init__(self, suffix: str, declared: RecordingFormat, lines: Sequence[tuple[int, str]]) -> None:
        usual = {".csv": ";" if declared.text.decimal == "," else ",", ".tsv": "\t"}.get(suffix)
        delimiter = declared.text.delimiter or usual
        self._delimiter = None if delimiter is not None and delimiter.strip(" ") == "" else delimiter
        # Some programs also write a delimiter after the last number.
        self._ends_lines = bool(delimiter and lines) and all(self._cut(line) != line for _, line in lines)

    def _cut(self, line: str) -> str:
        return line.rstrip(" ").removesuffix(self._delimiter) if self._delimiter else line

    def cells(self, number: int, line: str) -> list[str]:
        if self._delimiter is None:
            return line.split()
        if self._ends_lines:
            line = self._cut(line)
        if '"' in line and len(self._delimiter) == 1:
            try:
                return next(csv.reader([line], delimiter=self._delimiter, skipinitialspace=True), [])
            except csv.Error as error:
                raise ValueError(f"line {number}: {error}") from None
        return line.split(self._delimiter)


class _Parser:
    """Converts cells to numbers; missing ones become NaN."""

    def __init__(self, declared: RecordingFormat) -> None:
        self._comma = declared.text.decimal == ","
        self._missing = {str(value) for value in declared.missing_values if isinstance(value, str)}
        self._as_it_is = not self._comma and not any(map(_NUMBER.fullmatch, self._missing))

    def numbers(self, cells: Sequence[str], picked: Sequence[int | None], line: int) -> list[float]:
        chosen = ["0" if column is None else cells[column] for column in picked]
        if self._as_it_is and all(map(_NUMBER.fullmatch, chosen)):
            return [float(cell) for cell in chosen]
        return [0.0 if column is None else self.number(cells[column], line, column) for column in picked]

    def number(self, cell: str, line: int, column: int) -> float:
        cell = cell.strip()
        if cell in self._missing or cell.lower() in _NOT_A_NUMBER:
            return np.nan
        number = cell.replace(",", ".", 1) if self._comma else cell
        # float() alone would take 1_000, infinity and the digits of every script.
        if _NUMBER.fullmatch(number) is None:
            what = f"{cell[:20]!r} is not a number" if cell else "the number is missing"
            raise ValueError(
                f"line {line}, column {column + 1}: {what} (text.comment, text.header or "
                "drop_columns exclude other text; missing_values marks missing numbers)"
            )
        return float(number)


# ------------------------------------------------------------------------------------------------------ columns


def _choose_columns(values: Array, declared: RecordingFormat) -> Numbers:
    """The declared columns of an array with two axes; any other array as it is."""
    if declared.columns is None and not declared.drop_columns and declared.time_column is None:
        return Numbers(values, None)
    if values.ndim != 2:
        raise ValueError(f"columns are declared, but its shape {list(values.shape)} is not that of a table")
    picked, time = _picked(declared, values.shape[1], None)
    zeros = np.zeros(len(values))
    chosen = np.stack([zeros if c is None else values[:, c] for c in picked], axis=1)
    return Numbers(chosen, values[:, time] if time is not None else None)


def _picked(declared: RecordingFormat, width: int, names: Sequence[str] | None) -> tuple[list[int | None], int | None]:
    """The columns to keep, counted from 0 (None: zeros), and the column of time stamps."""

    def find(column: Column) -> int:
        if isinstance(column, int):
            if column > width:
                raise ValueError(f"has {width} columns, but column {column} is declared")
            return column - 1
        if names is None:
            raise ValueError(f"column {column!r} is declared by name, but there is no header line (format.text.header)")
        if names.count(column) != 1:
            raise ValueError(f"column {column!r} must occur once in the header line, which is: {', '.join(names)}")
        return names.index(column)

    if names is not None and len(names) != width:
        raise ValueError(f"the header line names {len(names)} columns, but the lines below have {width}")
    time = None if declared.time_column is None else find(declared.time_column)
    if declared.columns is not None:
        return [None if column is None else find(column) for column in declared.columns], time
    dropped = {find(column) for column in declared.drop_columns} | {time}
    picked: list[int | None] = [column for column in range(width) if column not in dropped]
    if not picked:
        raise ValueError(f"has {width} columns, and all of them are dropped")
    return picked, time
