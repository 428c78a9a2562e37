"""Prepared sets: all frames of all recordings end to end in one memory-mapped array, and a catalogue.

A prepared set is a folder of five files:

- `signals.npy`: [all frames, rows, 3], every recording's signals as they were recorded: float32, or bytes for the
  pixels of imported images (`Layout.dtype`);
- `held.npy`: int32 [all frames], the number of frames from a dropped frame to the one that replaces it in batches (the
  nearest earlier frame of the recording with values, else the first later one); 0 for all other frames;
- `catalog.parquet`: one row per recording: name, label, subject, offset, length, rate_hz, a digest of the values,
  and details of the source;
- `meta.json`: source, layout of the rows, counts, refused files with their reasons, hash of the contents;
- `SHA256SUMS`: checksums of the other four (`sldml.prepared.checksums`).

It is written to a hidden folder and renamed under a lock, so a half-written set is never found; writing resumes after
an interruption (`sldml.prepared.writing`). At each start the sizes and shapes of its files are checked, once a day or
with `strict` also their checksums; a damaged set is removed and written again. A set is found by a key of the source's
settings, its files' names, sizes and times, and the format of these files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from sldml.config.data import DataConfig, ManifestData, SyntheticData
from sldml.config.recording_format import RecordingFormat
from sldml.errors import InputError
from sldml.prepared.checksums import check_is_due, mark_checked, mismatch
from sldml.prepared.whole_folder import FILES, continuing, has_remains, remove_damaged
from sldml.prepared.writing import FORMAT, Progress, write_set
from sldml.recordings import Layout
from sldml.recordings.reading import held_steps, read_or_refuse
from sldml.recordings.sources import find_source, make_source, synthetic_key

__all__ = [
    "FILES",
    "PreparedSet",
    "Progress",
    "as_prepared",
    "held_steps",
    "open_prepared",
    "prepare",
    "prepared_key",
    "read_or_refuse",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on the disk of this machine."""

    folder: Path
    catalog: pd.DataFrame
    meta: dict[str, Any]

    @property
    def layout(self) -> Layout:
        """The meaning of the rows."""
        return Layout.from_json(self.meta["layout"])

    @property
    def hash(self) -> str:
        """Hash of layout, signals and catalogue: the same recordings have the same hash on every machine."""
        return str(self.meta["hash"])


def open_prepared(folder: Path) -> PreparedSet:
    """Open a finished prepared set.

    Raises:
        InputError: a file is missing or was written by another version.
    """
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise InputError(f"{folder} is not a prepared set: {', '.join(absent)} is missing")
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    if meta.get("format") != FORMAT:
        raise InputError(f"{folder} has format {meta.get('format')}, not {FORMAT}: delete it and prepare again")
    return PreparedSet(folder, pd.read_parquet(folder / "catalog.parquet"), meta)


def damage(folder: Path) -> str | None:
    """What is wrong with a finished prepared set: files that are missing, cut, or do not fit one another."""
    try:
        prepared = open_prepared(folder)
        num_frames, num_rows = prepared.meta["num_frames"], prepared.layout.num_rows
        shapes = {"signals.npy": (num_frames, num_rows, 3), "held.npy": (num_frames,)}
        for name, shape in shapes.items():
            found = np.load(folder / name, mmap_mode="r").shape
            if found != shape:
                return f"{name} has the shape {found}, not {shape}"
        if len(prepared.catalog) != prepared.meta["num_recordings"]:
            return f"catalog.parquet has {len(prepared.catalog)} recordings, not {prepared.meta['num_recordings']}"
    except (InputError, ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        return " ".join(str(error).split())
    return None


def prepare(
    config: DataConfig,
    data_folder: Path | None,
    cache: Path,
    *,
    strict: bool = False,
    progress: Progress | None = None,
    checking: Progress | None = None,
    num_workers: int | None = None,
) -> PreparedSet:
    """Find the prepared set of `config` in `cache`, or make it from the raw files.

    After an interruption, preparation resumes: files that were already read are not read again.

    Args:
        config: The `data` part of a configuration.
        data_folder: Folder of raw datasets; not needed for synthetic recordings.
        cache: Folder of prepared sets; created if it does not exist.
        strict: Stop if a recording cannot be read, instead of listing it and leaving it out, or if the bodies have an
            implausible size. Also compare a set that is there with its checksums, which is otherwise done once a day.
        progress: Called with (files done, files in all).
        checking: Called with (MB done, MB in all) while a large set is compared with its checksums.
        num_workers: Number of processes that read; None for one per core.

    Raises:
        InputError: no raw data, an unwritable or full cache, no readable recording, or (strict) an unreadable one
            or an implausible size of the bodies.
    """
    if isinstance(config, SyntheticData):
        source, source_key = None, synthetic_key(config)
    else:
        source = find_source(config, data_folder)
        source_key = source.key()
    key = prepared_key(source_key)
    folder = cache / f"{config.dataset}-{key[:16]}"
    if not _is_there(folder, strict, checking):
        with continuing(folder) as scratch:
            if scratch is not None:
                if source is None:
                    assert isinstance(config, SyntheticData)
                    source = make_source(config, scratch.aside / "raw")
                try:
                    write_set(source, key, scratch, num_workers or os.cpu_count() or 1, progress)
                except (InputError, OSError, MemoryError):
                    raise  # a fault of the machine or of the input: what was read stays
                except Exception:
                    scratch.discard()  # a fault of the program, which may have read the other files wrongly, too
                    raise
    prepared = open_prepared(folder)
    if strict and prepared.meta["refused"]:
        first = prepared.meta["refused"][0]
        raise InputError(
            f"{len(prepared.meta['refused'])} broken recordings (--strict): {first['file']}: {first['reason']}"
        )
    if strict and prepared.meta["unit"]:
        raise InputError(f"{prepared.meta['unit']} (--strict)")
    return prepared


def _is_there(folder: Path, strict: bool, checking: Progress | None) -> bool:
    """Whether a finished set is there and undamaged; nothing is written then but the time of the check.

    A damaged one is removed, so that no other process uses it.
    """
    if not folder.is_dir():
        return False
    thorough = strict or check_is_due(folder)

    def fault() -> str | None:
        return damage(folder) or (mismatch(folder, checking) if thorough else None)

    if (reason := fault()) is None:
        if thorough:
            mark_checked(folder)
        return not has_remains(folder)
    try:
        removed = remove_damaged(folder, fault)
    except InputError as error:
        raise InputError(f"prepared set {folder} is damaged ({reason}): {error}") from error
    if removed is not None:
        _log.warning("prepared set %s is damaged (%s): prepared again", folder, removed)
    return False


def as_prepared(config: DataConfig, prepared: PreparedSet) -> DataConfig:
    """`config` with all settings of how raw files are read, including those of the YAML file beside a manifest."""
    if not isinstance(config, ManifestData):
        return config
    return config.model_copy(update={"format": RecordingFormat.model_validate(prepared.meta["settings"]["format"])})


def prepared_key(source_key: str) -> str:
    """The key of a source's prepared set. It includes the format: sets of another format are not found."""
    return hashlib.blake2b(f"{FORMAT} {source_key}".encode(), digest_size=16).hexdigest()
