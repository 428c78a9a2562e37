"""Folders that are written completely or not at all, for prepared sets."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from sldml.errors import InputError

CONTENTS = ("signals.npy", "held.npy", "catalog.parquet", "meta.json")
CHECKSUMS = "SHA256SUMS"
FILES = (*CONTENTS, CHECKSUMS)
"""The files of a prepared set."""


@dataclass(frozen=True)
class Scratch:
    """The hidden folder in which a folder is written before it is renamed. It survives an interruption."""

    folder: Path

    @property
    def whole(self) -> Path:
        """Becomes the folder at the end."""
        return self.folder / "whole"

    @property
    def aside(self) -> Path:
        """For what is needed only until then: notes of the progress, raw files."""
        return self.folder / "aside"

    def make(self) -> None:
        """Create both folders; their content stays."""
        self.whole.mkdir(parents=True, exist_ok=True)
        self.aside.mkdir(exist_ok=True)

    def discard(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[Path | None]:
    """Write a folder, under a lock: yields an empty folder to fill, which becomes `folder` at the end.

    Yields None if `folder` exists already (another process may have written it meanwhile). Remains of interrupted
    writers are removed first. If anything fails, what was written is removed.

    Raises:
        InputError: the parent folder cannot be written to.
    """
    with _locked(folder) as scratch:
        if scratch is None:
            yield None
            return
        scratch.discard()
        try:
            with disk_errors(folder.parent):
                scratch.make()
            yield scratch.whole
            with disk_errors(folder.parent):
                _move_into_place(scratch, folder)
        finally:
            scratch.discard()


@contextmanager
def continuing(folder: Path) -> Iterator[Scratch | None]:
    """Write a folder, under a lock, resuming from what an interrupted writer left: as `writing`, but resumable.

    If anything fails, the scratch folder stays for the next attempt, unless the caller discards it. Its `whole` becomes
    `folder` at the end.

    Raises:
        InputError: the parent folder cannot be written to.
    """
    with _locked(folder) as scratch:
        if scratch is None:
            yield None
            return
        with disk_errors(folder.parent):
            scratch.make()
        yield scratch
        with disk_errors(folder.parent):
            _move_into_place(scratch, folder)
        scratch.discard()


def remove_damaged(folder: Path, damage: Callable[[], str | None]) -> str | None:
    """Remove a finished folder that is damaged, under its lock. It disappears in one step.

    Args:
        folder: The folder.
        damage: Returns what is wrong with it. It is asked again under the lock, because another process may have
            written the folder again meanwhile.

    Returns:
        What was wrong; None if the folder was not removed.

    Raises:
        InputError: it cannot be removed.
    """
    with _lock(folder):
        if not folder.is_dir() or (reason := damage()) is None:
            return None
        scratch = _scratch_of(folder)
        scratch.discard()
        with disk_errors(folder.parent):
            scratch.folder.mkdir()
            folder.rename(scratch.folder / "damaged")
        scratch.discard()
        return reason


def has_remains(folder: Path) -> bool:
    """Whether a writer of `folder` was killed before it removed its scratch folder, or is at work."""
    return _scratch_of(folder).folder.exists()


@contextmanager
def disk_errors(cache: Path) -> Iterator[None]:
    """Turn an OSError of what is written below `cache` (disk full, no permission) into an InputError.

    Raises:
        InputError: there was an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write prepared sets to {cache} ({error.strerror or error}): make room, or choose another folder "
            "by SLDML_CACHE; what is there already is used again"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[Scratch | None]:
    """Hold the folder's lock: yields its scratch folder, or None if the folder exists."""
    with _lock(folder):
        scratch = _scratch_of(folder)
        if folder.is_dir():
            scratch.discard()  # left by a writer that was killed after renaming
            yield None
        else:
            yield scratch


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        InputError: the parent folder cannot be written to.
    """
    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(folder.name + ".lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _scratch_of(folder: Path) -> Scratch:
    return Scratch(folder.with_name(f".{folder.name}.part"))


def _move_into_place(scratch: Scratch, folder: Path) -> None:
    """Rename in one step, after everything is on the disk: a crash of the machine leaves nothing half written."""
    for path in (*scratch.whole.iterdir(), scratch.whole):
        _sync(path)
    scratch.whole.rename(folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)
