"""A user's own dataset: a table of its files and their format.

The table (CSV or Parquet) has the columns `path`, `label`, `subject` and optionally `rate_hz`; further columns are
added to the catalogue. A `RecordingFormat` says how the numbers lie; docs/recordings.md, "Your own dataset".
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import pydantic

from sldml.config.parts import first_fault
from sldml.config.recording_format import RecordingFormat
from sldml.config.yaml_lines import load_yaml
from sldml.errors import InputError
from sldml.recordings.readers.declared import ManifestRow
from sldml.recordings.readers.files import read_bytes
from sldml.recordings.recording import RecordingError

_NEEDED = ("path", "label", "subject")
_OWN_TO_THE_CATALOGUE = ("name", "offset", "length", "digest")


@dataclass(frozen=True)
class Manifest:
    """A manifest's recordings, in its order; `files` and `rows` are parallel."""

    folder: Path
    files: tuple[Path, ...]
    """Each is `folder` with a relative path."""
    rows: tuple[ManifestRow, ...]
    notes: tuple[str, ...]
    """Messages for the user, about columns that were left out."""


# ----------------------------------------------------------------------------------------------------- the table


def find(manifest: Path, *, allow_outside: bool = False) -> Manifest:
    """Read a manifest. Its paths are relative to its own folder, or absolute.

    Raises InputError with the manifest and the line: it is missing, not a table, or lacks a column; or a row has no
    path, label or subject, an invalid rate, a path outside of the folder (by `..`, an absolute path or a symbolic link)
    while `allow_outside` is False, or a duplicate path. Missing files are refused later, when they are read.
    """
    lines = _parquet_rows(manifest) if manifest.suffix.lower() in (".parquet", ".pq") else _csv_rows(manifest)
    header = next(lines)[1]
    _check_header(manifest, header)
    table: list[tuple[int, dict[str, str]]] = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise InputError(
                f"{_at(manifest, number)}: {len(cells)} cells, but the header names {len(header)} columns; put "
                "cells that contain the delimiter into quotes"
            )
        table.append((number, dict(zip(header, cells, strict=True))))
    if not table:
        raise InputError(f"{manifest}: has no recordings; write one line for each file below the header")
    further = [c for c in header if c not in (*_NEEDED, "rate_hz", *_OWN_TO_THE_CATALOGUE)]
    integers = [column for column in further if all(_is_integer(row[column]) for _, row in table)]
    inside = _Inside(manifest, allow_outside)
    files, rows = [], []
    line_numbers: dict[str, int] = {}
    for number, row in table:
        for column in _NEEDED:
            if not row[column]:
                raise InputError(f"{_at(manifest, number)}: the {column} is empty; each recording needs one")
        files.append(inside.locate(row["path"], number))
        name = _name(files[-1].relative_to(manifest.parent))
        if name in line_numbers:
            raise InputError(
                f"{_at(manifest, number)}: duplicate of recording {name} on line {line_numbers[name]} (recordings are "
                "named by their paths without the suffix)"
            )
        line_numbers[name] = number
        details = {column: int(row[column]) if column in integers else row[column] for column in further}
        rows.append(ManifestRow(name, row["label"], row["subject"], _rate(manifest, number, row), details))
    left_out = [column for column in header if column in _OWN_TO_THE_CATALOGUE]
    note = f"{manifest.name}: column {', '.join(left_out)} ignored: the catalogue has its own"
    return Manifest(manifest.parent, tuple(files), tuple(rows), (note,) if left_out else ())


def _csv_rows(manifest: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the header and of every row; separated by commas, semicolons or tabs, as in the header."""
    try:
        text = read_bytes(manifest).decode("utf-8-sig")
    except RecordingError as error:
        raise InputError(f"{manifest}: {error.reason}; it is a CSV or Parquet table of path, label, subject") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{_at(manifest, line)}: is not UTF-8; save it as UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=lambda mark: (first.count(mark), mark == ","))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    number = 1
    try:
        found = False
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                found = True
                yield number, stripped
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{_at(manifest, reader.line_num)}: {error}") from None
    if not found:
        raise InputError(f"{manifest}: is empty; it needs a header with the columns {', '.join(_NEEDED)}")


def _parquet_rows(manifest: Path) -> Iterator[tuple[int, list[str]]]:
    """(row, cells), with rows counted like the lines of a CSV file: the header is 1."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(read_bytes(manifest)))
        columns = [column.to_pylist() for column in table.columns]
    except RecordingError as error:
        raise InputError(f"{manifest}: {error.reason}; it is a CSV or Parquet table of path, label, subject") from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{manifest}: is not a Parquet table ({reason})") from None
    yield 1, [str(name).strip() for name in table.column_names]
    for number, cells in enumerate(zip(*columns, strict=True), start=2):
        yield number, ["" if cell is None else str(cell).strip() for cell in cells]


def _check_header(manifest: Path, header: Sequence[str]) -> None:
    absent = [column for column in _NEEDED if column not in header]
    if absent:
        raise InputError(
            f"{_at(manifest, 1)}: no column {', '.join(absent)}; the header needs path, label and subject, but it is: "
            f"{', '.join(header)}"
        )
    double = [column for column in header if header.count(column) > 1]
    if double or "" in header:
        what = f"duplicate column {double[0]}" if double and double[0] else "a column has no name"
        raise InputError(f"{_at(manifest, 1)}: {what}; give each column its own name")


class _Inside:
    """Resolves the paths of a manifest."""

    def __init__(self, manifest: Path, allow_outside: bool) -> None:
        self._manifest, self._allow_outside = manifest, allow_outside
        self._folder = manifest.parent
        self._real_folder = Path(os.path.realpath(self._folder))
        self._real_parents: dict[Path, str] = {}

    def locate(self, text: str, number: int) -> Path:
        """The path to a file, as `folder` with a relative path."""
        if "\0" in text:
            raise InputError(f"{_at(self._manifest, number)}: {text!r} is not a path")
        if "\\" in text and not os.path.lexists(self._folder / text):
            if PureWindowsPath(text).drive:
                raise InputError(
                    f"{_at(self._manifest, number)}: {text} is a path of another computer; write it relative to the "
                    "folder of the table"
                )
            text = text.replace("\\", "/")
        real = self._real(self._folder / text)
        if real == self._real_folder:
            raise InputError(f"{_at(self._manifest, number)}: {text} is the folder, not a file in it")
        if real.is_relative_to(self._real_folder):
            own = os.path.normpath(text) if not Path(text).is_absolute() else real.relative_to(self._real_folder)
            # `a/../b` is `b` only without links on the way; the path that is read must be the one that was checked.
            same = self._real(self._folder / own) == real and not str(own).startswith("..")
            return self._folder / (own if same else real.relative_to(self._real_folder))
        if not self._allow_outside:
            raise InputError(
                f"{_at(self._manifest, number)}: {text} is outside of {self._folder}; move the file there, or set "
                "data.allow_outside: true"
            )
        return self._folder / os.path.relpath(real, self._real_folder)

    def _real(self, path: Path) -> Path:
        """Like `realpath`, but resolves each folder only once."""
        if path.parent not in self._real_parents:
            self._real_parents[path.parent] = os.path.realpath(path.parent)
        candidate = Path(self._real_parents[path.parent]) / path.name
        # Path.is_symlink would raise for a too long name.
        is_link = os.path.islink(candidate)  # noqa: PTH114
        return Path(os.path.realpath(candidate)) if path.name == ".." or is_link else candidate


def _name(path: Path) -> str:
    """A path without its suffix; `walk.01` has none."""
    return (path if path.suffix[1:].isdigit() else path.with_suffix("")).as_posix()


def _is_integer(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal() and cell.isascii() and len(cell) < 18


def _rate(manifest: Path, number: int, row: dict[str, str]) -> float | None:
    cell = row.get("rate_hz", "")
    if not cell:
        return None
    try:
        rate_hz = float(cell)
    except ValueError:
        rate_hz = float("nan")
    if not 0 < rate_hz < float("inf"):
        raise InputError(f"{_at(manifest, number)}: rate_hz must be a positive number, but it is {cell!r}")
    return rate_hz


def _at(manifest: Path, number: int) -> str:
    return f"{manifest}, line {number}"


# ---------------------------------------------------------------------------------------------------- the format


def format_beside(manifest: Path) -> RecordingFormat:
    """The format in the YAML file next to a manifest, with the same name: `manifest.csv`, `manifest.yaml`.

    Raises InputError with file and line: it is missing, not YAML, or has an invalid key or value.
    """
    path = next((p for ending in (".yaml", ".yml") if (p := manifest.with_suffix(ending)).is_file()), None)
    if path is None:
        raise InputError(
            f"{manifest.with_suffix('.yaml')}: there is no such file, nor data.format; one of them must say what the "
            "numbers are (docs/recordings.md, Your own dataset)"
        )
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (RecordingError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'reason', error)}") from None
    document = load_yaml(text, str(path))
    try:
        return RecordingFormat.model_validate(document.value)
    except pydantic.ValidationError as error:
        key, message = first_fault(error)
        where = document.where(*key.split(".")) if key else str(path)
        raise InputError(f"{where}: {key + ': ' if key else ''}{message}") from None
