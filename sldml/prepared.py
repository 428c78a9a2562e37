"""Prepared sets: all frames of all recordings end to end in one memory-mapped array, and a catalogue.

A prepared set is a folder of four files:

- `signals.npy`: float32 [all frames, rows, 3], every recording's signals as they were recorded;
- `held.npy`: int32 [all frames], how many frames to step to the nearest frame of the same recording in which
  anything was recorded (backwards where there is one); 0 almost everywhere. Batches look past dropped frames by it;
- `catalog.parquet`: one row a recording: name, label, subject, offset, length, rate_hz, and what the source knows;
- `meta.json`: source, layout of the rows, counts, refused files with their reasons, hash of the contents.

It is written beside its place and renamed under a lock, so a half-written one is never found, and it is found
again by a key made of the source's settings and its files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sldml.cache import FILES, writing
from sldml.config import DataConfig, SyntheticData
from sldml.errors import InputError
from sldml.signals import Layout, Recording, RecordingError
from sldml.sources import RawSource, find_source, make_source, synthetic_key

_FORMAT = 1
_FILES_PER_TASK = 16
_FEWEST_FILES_FOR_PROCESSES = 1_500
"""Below, one process has read them before others have even started."""
Progress = Callable[[int, int], None]
"""Called with (recordings done, recordings in all)."""


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on this machine's disk."""

    folder: Path
    catalog: pd.DataFrame
    meta: dict[str, Any]

    @property
    def layout(self) -> Layout:
        """What the rows mean."""
        return Layout.from_json(self.meta["layout"])

    @property
    def hash(self) -> str:
        """Hash of signals and catalogue: the same wherever the same recordings were prepared."""
        return str(self.meta["hash"])


def open_prepared(folder: Path) -> PreparedSet:
    """Open a finished prepared set.

    Raises:
        InputError: a file of it is missing or was written by another version.
    """
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise InputError(f"{folder} is no prepared set: {', '.join(absent)} is missing")
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    if meta.get("format") != _FORMAT:
        raise InputError(f"{folder} has format {meta.get('format')}, not {_FORMAT}: delete it and prepare again")
    return PreparedSet(folder, pd.read_parquet(folder / "catalog.parquet"), meta)


def prepare(
    config: DataConfig,
    data_folder: Path | None,
    cache: Path,
    *,
    strict: bool = False,
    progress: Progress | None = None,
    num_workers: int | None = None,
) -> PreparedSet:
    """Find the prepared set of `config` in `cache`, or make it from the raw files.

    Args:
        config: The `data` part of a configuration.
        data_folder: Where raw datasets lie; not needed for made recordings.
        cache: Folder of prepared sets; made where it does not exist.
        strict: Make a broken file fatal instead of listing and leaving it out.
        progress: Told how far it is.
        num_workers: Processes that read; None takes as many as there are cores.

    Raises:
        InputError: no raw data, an unwritable cache, no readable recording, or (strict) a broken one.
    """
    if isinstance(config, SyntheticData):
        key, source = synthetic_key(config), None
    else:
        source = find_source(config, data_folder)
        key = source.key()
    folder = cache / f"{config.dataset}-{key[:16]}"
    with writing(folder) as scratch:
        if scratch is not None:
            if source is None:
                assert isinstance(config, SyntheticData)
                (scratch / "raw").mkdir()
                source = make_source(config, scratch / "raw")
            _write(source, key, scratch, progress, num_workers or os.cpu_count() or 1)
            shutil.rmtree(scratch / "raw", ignore_errors=True)
    prepared = open_prepared(folder)
    if strict and prepared.meta["refused"]:
        first = prepared.meta["refused"][0]
        raise InputError(
            f"{len(prepared.meta['refused'])} broken recordings (--strict): {first['file']}: {first['reason']}"
        )
    return prepared


# ------------------------------------------------------------------------------------------------------ writing


def _write(source: RawSource, key: str, folder: Path, progress: Progress | None, num_workers: int) -> None:
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    held: list[NDArray[np.int32]] = []
    digest = hashlib.blake2b(digest_size=16)
    num_frames = 0
    with (folder / "signals.npy").open("wb") as file:
        _write_header(file, 0, source.layout.num_rows)
        for done, (path, result) in enumerate(_read_all(source, num_workers), start=1):
            if isinstance(result, RecordingError):
                refused.append({"file": str(path.relative_to(source.folder)), "reason": result.reason})
            else:
                values = np.ascontiguousarray(result.values, dtype="<f4")
                file.write(values.data)
                digest.update(values.data)
                held.append(held_steps(values))
                rows.append(
                    {
                        "name": result.name,
                        "label": result.label,
                        "subject": result.subject,
                        "offset": num_frames,
                        "length": len(values),
                        "rate_hz": result.rate_hz,
                        **result.details,
                    }
                )
                num_frames += len(values)
            if progress is not None:
                progress(done, len(source.files))
        if not rows:
            first = refused[0] if refused else {"file": str(source.folder), "reason": "holds no recording"}
            raise InputError(
                f"{source.folder}: none of {len(source.files)} files can be read; {first['file']}: {first['reason']}"
            )
        file.seek(0)
        _write_header(file, num_frames, source.layout.num_rows)
    np.save(folder / "held.npy", np.concatenate(held))
    catalog = pd.DataFrame(rows)
    _require_unique_names(catalog, source)
    digest.update(catalog.to_csv(index=False).encode())
    catalog.to_parquet(folder / "catalog.parquet")
    meta = {
        "format": _FORMAT,
        "key": key,
        "hash": digest.hexdigest(),
        "dataset": source.dataset,
        "settings": {k: v for k, v in source.settings.items() if k != "missing"},
        "folder": str(source.folder),
        "layout": source.layout.to_json(),
        "num_recordings": len(catalog),
        "num_frames": num_frames,
        "refused": refused,
        "notes": list(source.notes),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def held_steps(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """For each frame [frames, rows, 3] → [frames]: steps to the frame that stands in where nothing was recorded.

    A frame that is all zeros is one in which nobody was seen. The last frame before it stands in, or the first
    after it at the recording's beginning. 0 for every other frame.
    """
    present = values.reshape(len(values), -1).any(axis=1)
    index = np.arange(len(values))
    if present.all() or not present.any():
        return np.zeros(len(values), dtype=np.int32)
    last = np.maximum.accumulate(np.where(present, index, -1))
    stand_in = np.where(last < 0, int(present.argmax()), last)
    return (stand_in - index).astype(np.int32)


def _write_header(file: IO[bytes], num_frames: int, num_rows: int) -> None:
    """NumPy keeps room in the header for the first axis to grow, so it can be written again at the end."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (num_frames, num_rows, 3)}
    )


def _require_unique_names(catalog: pd.DataFrame, source: RawSource) -> None:
    double = catalog["name"][catalog["name"].duplicated()]
    if len(double):
        raise InputError(
            f"{source.folder}: {len(double)} recordings appear twice (in several sub-folders?), first {double.iloc[0]}"
        )


# ------------------------------------------------------------------------------------------------------ reading


def _read_all(source: RawSource, num_workers: int) -> Iterator[tuple[Path, Recording | RecordingError]]:
    """Read all files in order, a bounded number of recordings ahead of who takes them."""
    tasks = [source.files[i : i + _FILES_PER_TASK] for i in range(0, len(source.files), _FILES_PER_TASK)]
    if num_workers < 2 or len(source.files) < _FEWEST_FILES_FOR_PROCESSES:
        for path in source.files:
            yield path, read_or_refuse(source.read, path)
        return
    # Spawned, not forked: the caller may hold threads and locks (torch, Ray) that a fork would copy half-way.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        waiting: deque[tuple[Sequence[Path], Future[list[Recording | RecordingError]]]] = deque()
        pending = iter(tasks)
        try:
            for task in pending:
                waiting.append((task, pool.submit(_read_task, source.read, task)))
                if len(waiting) >= 4 * num_workers:
                    paths, future = waiting.popleft()
                    yield from zip(paths, future.result(), strict=True)
            while waiting:
                paths, future = waiting.popleft()
                yield from zip(paths, future.result(), strict=True)
        finally:
            for _, future in waiting:
                future.cancel()


def _read_task(read: Callable[[Path], Recording], paths: Sequence[Path]) -> list[Recording | RecordingError]:
    return [read_or_refuse(read, path) for path in paths]


def read_or_refuse(read: Callable[[Path], Recording], path: Path) -> Recording | RecordingError:
    """The recording in a file, or why it is none."""
    try:
        return read(path)
    except RecordingError as error:
        return error
