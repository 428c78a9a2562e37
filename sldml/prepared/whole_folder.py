"""Folders that are either whole or not there: where prepared sets lie."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from sldml.errors import InputError

FILES = ("signals.npy", "held.npy", "catalog.parquet", "meta.json")
"""What a prepared set consists of."""


@dataclass(frozen=True)
class Scratch:
    """Where a folder is made, hidden beside its place. What a killed writer left in it is found again."""

    folder: Path

    @property
    def whole(self) -> Path:
        """What takes the folder's place at the end."""
        return self.folder / "whole"

    @property
    def aside(self) -> Path:
        """For what is needed only until then: how far it is, raw files."""
        return self.folder / "aside"

    def make(self) -> None:
        """Both folders are there; what is in them stays."""
        self.whole.mkdir(parents=True, exist_ok=True)
        self.aside.mkdir(exist_ok=True)

    def discard(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[Path | None]:
    """Make a folder, alone: yields an empty folder to fill, which takes the place of `folder` at the end.

    Where `folder` is there already (another process may have made it meanwhile), None is yielded and nothing
    happens. What killed writers left behind is removed, and so is everything when anything goes wrong.

    Raises:
        InputError: its place cannot be written to.
    """
    with _alone(folder) as scratch:
        if scratch is None:
            yield None
            return
        scratch.discard()
        try:
            with told_where(folder.parent):
                scratch.make()
            yield scratch.whole
            with told_where(folder.parent):
                _put(scratch, folder)
        finally:
            scratch.discard()


@contextmanager
def continuing(folder: Path) -> Iterator[Scratch | None]:
    """Make a folder, alone, going on from what an earlier writer left: as `writing`, but the scratch folder stays.

    It stays as it is when anything goes wrong, also for a writer that was killed; its `whole` takes the place of
    `folder` at the end of the context. Where there is no sense in going on, the caller discards it.

    Raises:
        InputError: its place cannot be written to.
    """
    with _alone(folder) as scratch:
        if scratch is None:
            yield None
            return
        with told_where(folder.parent):
            scratch.make()
        yield scratch
        with told_where(folder.parent):
            _put(scratch, folder)
        scratch.discard()


@contextmanager
def told_where(cache: Path) -> Iterator[None]:
    """For what writes below `cache`: a full disk or a forbidden place is bad input, told in one line.

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
def _alone(folder: Path) -> Iterator[Scratch | None]:
    """Hold the folder's lock: yields where to make it, or None where it is there."""
    with told_where(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(folder.name + ".lock"))
        lock.acquire()
    try:
        scratch = Scratch(folder.with_name(f".{folder.name}.part"))
        if folder.is_dir():
            scratch.discard()  # of a writer that was killed after its last step but one
            yield None
        else:
            yield scratch
    finally:
        lock.release()


def _put(scratch: Scratch, folder: Path) -> None:
    """In one step, and not before everything is on the disk: a machine that fails leaves nothing half written."""
    for path in (*scratch.whole.iterdir(), scratch.whole):
        _sync(path)
    scratch.whole.rename(folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot do it for folders
            raise
    finally:
        os.close(descriptor)
