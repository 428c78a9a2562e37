"""Writing a prepared set. It resumes after an interruption and gives the same bytes.

Frames are appended to the set's arrays. About twice a second the arrays are synced to the disk, and then one line is
appended to a file of notes: the number of files that are done, and their recordings. To resume, the notes are read up
to the last complete line, the arrays are truncated to what it says, and reading continues with the next file. The
catalogue is made from the notes at the end: it is the same after any number of interruptions, and no list of
recordings grows in memory meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sldml.errors import InputError
from sldml.prepared.checksums import write_checksums
from sldml.prepared.remarks import remarks_on
from sldml.prepared.whole_folder import Scratch, disk_errors
from sldml.recordings import RecordingError
from sldml.recordings.reading import Entry, ReadArguments, Reader, read_all
from sldml.recordings.sources import RawSource

FORMAT = 4
"""Version of the files. Sets of another format are not found."""
Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

_NOTE_EVERY_S = 0.5

Note = dict[str, Any]
"""A line of the notes: a heading, or what is known of a file that was read."""


def write_set(source: RawSource, key: str, scratch: Scratch, num_workers: int, progress: Progress | None) -> None:
    """Read the source's files into `scratch.whole`, resuming from what an interrupted attempt left there.

    Args:
        source: The files and how to read them.
        key: Key of the prepared set. What `scratch` has under another key is not used.
        scratch: Where the set is written. It is kept after an error that another attempt may not have.
        num_workers: Number of processes that read.
        progress: Called with the number of files that are done and of all files.

    Raises:
        InputError: no file can be read, recordings appear twice, or the disk is full.
    """
    place = scratch.folder.parent
    with disk_errors(place):
        notes = Notes(scratch.aside / "notes.jsonl", {"format": FORMAT, "key": key})
        signals = GrowingArray(scratch.whole / "signals.npy", source.layout.dtype, (source.layout.num_rows, 3))
        held = GrowingArray(scratch.whole / "held.npy", "<i4", ())
    with closing(notes), closing(signals), closing(held):
        with disk_errors(place):
            notes.go_on(num_frames=min(signals.num_there(), held.num_there()))
            signals.cut(notes.num_frames)
            held.cut(notes.num_frames)
        _read(source, notes, signals, held, num_workers, progress, place)
        if notes.num_frames == 0:
            first = next(notes.refused(), {"file": str(source.folder), "reason": "holds no recording"})
            scratch.discard()
            raise InputError(
                f"{source.folder}: none of {len(source.files)} files can be read; {first['file']}: {first['reason']}"
            )
        catalog = _catalog(notes)
        if twice := list(catalog["name"][catalog["name"].duplicated()]):
            scratch.discard()
            raise InputError(
                f"{source.folder}: {len(twice)} recordings appear twice (in several sub-folders?), first {twice[0]}"
            )
        refused = list(notes.refused())
        remarks = remarks_on(source, notes.recordings(), refused)
        meta = {
            "format": FORMAT,
            "key": key,
            "hash": _content_hash(source, notes),
            "dataset": source.dataset,
            "settings": {k: v for k, v in source.settings.items() if k != "missing"},
            # Synthetic recordings have no folder.
            "folder": None if source.folder.is_relative_to(scratch.folder) else str(source.folder),
            "layout": source.layout.to_json(),
            "num_recordings": len(catalog),
            "num_frames": notes.num_frames,
            "refused": refused,
            "notes": [*source.notes, *remarks.notes],
            "unit": remarks.unit,
        }
        with disk_errors(place):
            catalog.to_parquet(scratch.whole / "catalog.parquet")
            (scratch.whole / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
            write_checksums(scratch.whole)


def _read(
    source: RawSource,
    notes: Notes,
    signals: GrowingArray,
    held: GrowingArray,
    num_workers: int,
    progress: Progress | None,
    place: Path,
) -> None:
    """Read the files that are not done."""
    first, num_files = notes.num_files, len(source.files)
    if progress is not None and first:
        progress(first, num_files)
    files = source.files[first:]
    facts = source.facts[first:] if source.facts else None
    jobs: list[ReadArguments] = list(zip(files, strict=True) if facts is None else zip(files, facts, strict=True))
    noted = time.monotonic()
    with closing(read_all(Reader(source.read, source.layout), jobs, num_workers)) as results:
        for done, result in enumerate(results, start=first + 1):
            with disk_errors(place):
                if isinstance(result, RecordingError):
                    file = str(source.files[done - 1].relative_to(source.folder))
                    notes.refuse({"file": file, "reason": result.reason})
                else:
                    signals.append(result.values)
                    held.append(result.held)
                    notes.take(result)
                if done == num_files or time.monotonic() - noted > _NOTE_EVERY_S:
                    signals.sync()
                    held.sync()
                    notes.write()
                    noted = time.monotonic()
            if progress is not None:
                progress(done, num_files)


def _catalog(notes: Notes) -> pd.DataFrame:
    """One row per recording. Columns are kept compact: there may be a hundred thousand rows."""
    names: list[str] = []
    labels: list[str] = []
    subjects: list[str] = []
    digests: list[str] = []
    lengths, rates_hz = array("q"), array("d")
    details: dict[str, list[int | str | None]] = {}
    for row in notes.recordings():
        for column in details.keys() | row["details"].keys():
            # None for recordings without this detail.
            values = details.setdefault(column, [None] * len(names))
            value = row["details"].get(column)
            values.append(sys.intern(value) if isinstance(value, str) else value)
        names.append(row["name"])
        labels.append(sys.intern(row["label"]))
        subjects.append(sys.intern(row["subject"]))
        digests.append(row["digest"])
        lengths.append(row["length"])
        rates_hz.append(row["rate_hz"])
    size = np.array(lengths, np.int64)
    columns: Note = {
        "name": names,
        "label": labels,
        "subject": subjects,
        "offset": np.cumsum(size) - size,
        "length": size,
        "rate_hz": np.array(rates_hz, np.float64),
        "digest": digests,
    }
    for column in sorted(details):
        columns[column] = _detail_column(details[column])
    return pd.DataFrame(columns)


def _detail_column(values: list[int | str | None]) -> Any:
    """int64 if all are integers, Int64 if some are missing, text if any is text."""
    if any(isinstance(value, str) for value in values):
        return [None if value is None else str(value) for value in values]
    return pd.array(values, dtype="Int64") if None in values else np.array(values, np.int64)


def _content_hash(source: RawSource, notes: Notes) -> str:
    """Hash of layout, catalogue and signals; it does not depend on the machine or on interruptions."""
    digest = hashlib.blake2b(json.dumps(source.layout.to_json()).encode(), digest_size=16)
    for row in notes.recordings():
        facts = {key: value for key, value in row.items() if key != "remarks"}
        digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


class GrowingArray:
    """A `.npy` file that grows along its first axis and can be truncated."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        """`shape`: without the first axis. An existing file stays as it is until `cut`."""
        self._dtype, self._shape = dtype, shape
        self._header_bytes = len(self._header(0))
        self._bytes_each = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        self._num = 0
        # Unbuffered: what could not be written to a full disk must not be tried again by closing the file.
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)

    def num_there(self) -> int:
        """Number of entries by the file's size; those after the last `sync` may be incomplete."""
        return max(0, os.fstat(self._file.fileno()).st_size - self._header_bytes) // self._bytes_each

    def cut(self, num: int) -> None:
        """Truncate to the first `num` entries."""
        self._num = num
        self._file.truncate(self._header_bytes + num * self._bytes_each)
        self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        """Append `values` along the first axis."""
        self._write(np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data)
        self._num += len(values)

    def sync(self) -> None:
        """Write the header and return when everything is on the disk."""
        self._write_header()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write(self, left: bytes | memoryview) -> None:
        while left:
            left = left[self._file.write(left) :]

    def _write_header(self) -> None:
        self._file.seek(0)
        self._write(self._header(self._num))
        self._file.seek(0, os.SEEK_END)

    def _header(self, num: int) -> bytes:
        """The header for `num` entries. NumPy pads it so that its length does not depend on `num`."""
        header = io.BytesIO()
        shape = (num, *self._shape)
        np.lib.format.write_array_header_1_0(header, {"descr": self._dtype, "fortran_order": False, "shape": shape})
        return header.getvalue()


class Notes:
    """The recordings that have been read and synced: a heading, then one line of JSON for each group of files."""

    def __init__(self, path: Path, heading: Note) -> None:
        """`heading`: notes with another heading are discarded."""
        self._path, self._heading = path, heading
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        self.num_files = 0
        """Number of files that are done."""
        self.num_frames = 0
        """Number of frames in them."""
        self._taken: list[Note] = []
        self._refused: list[dict[str, str]] = []

    def go_on(self, num_frames: int) -> None:
        """Read the complete lines that need no more than `num_frames` frames; truncate the file after them."""
        end = 0
        for note, num_bytes in self._whole_lines():
            if end == 0:
                if note != self._heading:
                    break
            elif note["num_frames"] > num_frames:
                break
            else:
                self.num_files, self.num_frames = note["num_files"], note["num_frames"]
            end += num_bytes
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)
        if end == 0:
            self._append(self._heading)

    def take(self, entry: Entry) -> None:
        """Add the recording of the next file."""
        self._taken.append({**entry.facts, "remarks": entry.remarks})

    def refuse(self, reason: dict[str, str]) -> None:
        """Add the next file as unreadable: `file` and `reason`."""
        self._refused.append(reason)

    def write(self) -> None:
        """Write one line for the files since the last call. Their frames must be on the disk."""
        num_files = self.num_files + len(self._taken) + len(self._refused)
        num_frames = self.num_frames + sum(row["length"] for row in self._taken)
        self._append(
            {"num_files": num_files, "num_frames": num_frames, "recordings": self._taken, "refused": self._refused}
        )
        self.num_files, self.num_frames = num_files, num_frames
        self._taken, self._refused = [], []

    def recordings(self) -> Iterator[Note]:
        """All recordings, in order."""
        for note in self._noted():
            yield from note["recordings"]

    def refused(self) -> Iterator[dict[str, str]]:
        """All unreadable files, in order."""
        for note in self._noted():
            yield from note["refused"]

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _noted(self) -> Iterator[Note]:
        for note, _ in islice(self._whole_lines(), 1, None):
            yield note

    def _whole_lines(self) -> Iterator[tuple[Note, int]]:
        """Each line's content and its number of bytes, up to the first incomplete line."""
        with self._path.open("rb") as lines:
            for line in lines:
                try:
                    note = json.loads(line)
                except ValueError:
                    return
                if not line.endswith(b"\n"):
                    return
                yield note, len(line)

    def _append(self, note: Note) -> None:
        left = memoryview(json.dumps(note, separators=(",", ":")).encode() + b"\n")
        while left:
            left = left[self._file.write(left) :]
