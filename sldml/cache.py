"""Folders that are either whole or not there: where prepared sets lie."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from sldml.errors import InputError

FILES = ("signals.npy", "held.npy", "catalog.parquet", "meta.json")
"""What a prepared set consists of."""


@contextmanager
def writing(folder: Path) -> Iterator[Path | None]:
    """Make a folder, alone: yields a scratch folder to fill, which takes the place of `folder` at the end.

    Where `folder` is there already (another process may have made it meanwhile), None is yielded and nothing
    happens. What killed writers left behind is removed.

    Raises:
        InputError: its place cannot be written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(folder.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise InputError(
            f"cannot write prepared sets to {folder.parent} ({error.strerror}): choose another folder by SLDML_CACHE"
        ) from error
    try:
        if folder.is_dir():
            yield None
            return
        for leftover in folder.parent.glob(f".{folder.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield scratch
            scratch.chmod(0o755)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        lock.release()
