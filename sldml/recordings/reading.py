"""Reading many files in order, on all cores if that is faster, with a bounded number of recordings ahead.

Imports little, because worker processes import this module and the reader's.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sldml.errors import InputError
from sldml.recordings import Layout, Recording, RecordingError
from sldml.recordings.content import extent_of, stands_still

ReadArguments = tuple[Any, ...]
"""Arguments of `read`: the path of a file, and its row in a table if there is one."""

Facts = dict[str, Any]
"""What is known of a recording, by name."""

COLUMNS = {"name", "label", "subject", "offset", "length", "rate_hz", "digest"}
"""The columns of the catalogue for all sources."""

_MOST_AHEAD = 256
"""Maximum number of recordings that were read but not taken yet."""
_MOST_BYTES_AHEAD = 512 * 2**20
"""Maximum size of the raw files that were read but not taken yet."""
_MOST_FILES_PER_TASK = 16
_TRIED_S = 0.2
"""For this time, this process reads alone, to measure the time per file."""
_WORTH_PROCESSES_S = 2.0
"""Worker processes are started only if the remaining files take one process longer than this."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A recording as a prepared set stores it."""

    values: NDArray[Any]
    """[frames, rows, 3] in the layout's dtype."""
    held: NDArray[np.int32]
    """[frames], see `held_steps`."""
    facts: Facts
    """Its row in the catalogue without the offset, as plain values."""
    remarks: Facts
    """What is told of all recordings together: `extent` (of a body; may be None) and `still`."""


Results = Generator[Entry | RecordingError, None, None]
"""The results of files, in order. Close it if it is not consumed to its end."""


@dataclass(frozen=True)
class Reader:
    """Reads a file and converts its recording to the stored form; can be pickled."""

    read: Callable[..., Recording]
    layout: Layout

    def __call__(self, job: ReadArguments) -> Entry | RecordingError:
        """The recording in a file, or the error."""
        result = read_or_refuse(self.read, *job)
        if isinstance(result, RecordingError):
            return result
        try:
            return _entry(result, self.layout)
        except RecordingError as error:
            return RecordingError(job[0], error.reason)


def read_or_refuse(read: Callable[..., Recording], path: Path, *fact: Any) -> Recording | RecordingError:
    """The recording in a file, or the error."""
    try:
        return read(path, *fact)
    except RecordingError as error:
        return error


def held_steps(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """For each frame [frames, rows, 3] → [frames]: steps to the frame that replaces it if nothing was recorded.

    A frame of all zeros has no body. It is replaced by the last frame before it or, at the start of the recording, by
    the first one after it. 0 for every other frame.
    """
    present = values.reshape(len(values), -1).any(axis=1)
    index = np.arange(len(values))
    if present.all() or not present.any():
        return np.zeros(len(values), dtype=np.int32)
    last = np.maximum.accumulate(np.where(present, index, -1))
    stand_in = np.where(last < 0, int(present.argmax()), last)
    return (stand_in - index).astype(np.int32)


def read_all(reader: Reader, jobs: Sequence[ReadArguments], num_workers: int) -> Results:
    """Read all files in order, at most `_MOST_AHEAD` ahead of the consumer.

    This process starts alone. Worker processes read the rest as soon as the measured time per file shows that starting
    them is worthwhile; no fixed number of files would fit both small and large ones.

    Raises:
        InputError: a worker process was killed or could not start.
    """
    spent = 0.0
    for done, job in enumerate(jobs):
        # The first file may include imports and compilation, so it is not counted.
        left_s = spent / max(1, done - 1) * (len(jobs) - done)
        if num_workers > 1 and spent >= _TRIED_S and left_s >= _WORTH_PROCESSES_S:
            yield from _read_in_processes(reader, jobs[done:], num_workers)
            return
        started = time.perf_counter()
        result = reader(job)
        spent += time.perf_counter() - started if done else 0.0
        yield result


def _entry(recording: Recording, layout: Layout) -> Entry:
    values = np.ascontiguousarray(recording.values, dtype=layout.dtype)
    if values.shape[1] != layout.num_rows:
        raise RecordingError(recording.name, f"has {values.shape[1]} rows instead of {layout.num_rows}")
    if taken := COLUMNS & recording.details.keys():
        raise RecordingError(recording.name, f"{min(taken)} is a column of the catalogue and cannot be a detail")
    facts = {
        "name": recording.name,
        "label": recording.label,
        "subject": recording.subject,
        "length": len(values),
        "rate_hz": float(recording.rate_hz),
        "details": {k: v if isinstance(v, str) else int(v) for k, v in recording.details.items()},
        "digest": hashlib.blake2b(values.data, digest_size=16).hexdigest(),
    }
    try:
        json.dumps(facts, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RecordingError(recording.name, "the name of the file or of a folder is not UTF-8") from None
    # A black column of an image is part of it, not a frame in which nothing was recorded.
    held = np.zeros(len(values), np.int32) if layout.image_rows else held_steps(values)
    remarks = {"extent": extent_of(recording.values, layout), "still": stands_still(recording.values, layout)}
    return Entry(values, held, facts, remarks)


# ------------------------------------------------------------------------------------------------------ processes


def _read_in_processes(reader: Reader, jobs: Sequence[ReadArguments], num_workers: int) -> Results:
    # Imported here because it takes 0.1 s.
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    # `Parallel` starts new tasks when others end, whether or not their results are taken. So it gets the files in
    # windows, which share its worker processes: while one is taken, the next is read.
    parallel = {
        "backend": "loky",
        "n_jobs": num_workers,
        "return_as": "generator",
        "pre_dispatch": "all",
        # At least two tasks of each window for each worker.
        "batch_size": max(1, min(_MOST_FILES_PER_TASK, _MOST_AHEAD // (4 * num_workers))),
        "max_nbytes": None,
        "initializer": _end_with_parent,
        "initargs": (os.getpid(),),
    }
    ahead: deque[Results] = deque()
    try:
        for window in chain(_windows(jobs), [[]]):  # an empty one, to take the last
            with _no_interrupts_for_children():
                ahead.append(Parallel(**parallel)(delayed(reader)(job) for job in window))
            if len(ahead) == 2:
                for result in ahead[0]:  # noqa: UP028 -- `yield from` would close it with a warning
                    yield result
                ahead.popleft()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that reads recordings was killed (out of memory?) or could not start: repeat the command to "
            "continue"
        ) from error
    finally:
        with warnings.catch_warnings(action="ignore"):  # about results that are not used
            for results in ahead:
                results.close()
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def _windows(jobs: Sequence[ReadArguments]) -> Iterator[list[ReadArguments]]:
    """The jobs in order, in lists of at most half of what may be read ahead."""
    window: list[ReadArguments] = []
    num_bytes = 0
    for job in jobs:
        size = _num_bytes(job[0])
        if window and (len(window) == _MOST_AHEAD // 2 or num_bytes + size > _MOST_BYTES_AHEAD // 2):
            yield window
            window, num_bytes = [], 0
        window.append(job)
        num_bytes += size
    if window:
        yield window


def _num_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reading it will report the reason
        return 0


@contextmanager
def _no_interrupts_for_children() -> Iterator[None]:
    """Block SIGINT for processes started in this context: a terminal sends Ctrl-C to all of them."""
    # Python starts this process before the first worker and then unblocks SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(parent: int) -> None:
    """End this worker soon after its parent: it would wait for tasks of a killed one for minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
