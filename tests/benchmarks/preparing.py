"""How long preparing takes and how much memory it holds, against the naive way: read all into a list, concatenate.

Run: python -m tests.benchmarks.preparing      (about two minutes, 1 GB of disk; on a machine that does nothing else)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sldml.config.data import Ntu120Data, SyntheticData
from sldml.prepared.prepared_set import prepare
from sldml.prepared.whole_folder import continuing
from sldml.prepared.writing import write_set
from sldml.recordings import reading
from sldml.recordings.readers import ntu
from sldml.recordings.sources import write_synthetic
from tests.support.reference_ntu import read_values
from tests.support.tiny_recordings import read, source_of

ROOT = Path(__file__).resolve().parents[2]
NUM_CORES = os.cpu_count() or 1
REPEATS = 3
SIZES = ((20_000, 500), (114_480, 4))
"""Recordings and frames of each: 240 MB of signals, to show what is held of them; and as many as NTU has."""


def keep_all(values: Sequence[np.ndarray], place: Path) -> None:
    """The naive way's second half."""
    np.save(place / "signals.npy", np.concatenate(values))


def naive_files(data: Path, place: Path) -> None:
    keep_all([read_values(path) for path in ntu.find(data)], place)


def prepared_files(data: Path, place: Path, num_workers: int) -> None:
    prepare(Ntu120Data(), data, place, num_workers=num_workers)


def naive_made(place: Path, num_recordings: int, num_frames: int) -> None:
    keep_all([read(Path(str(number)), num_frames).values for number in range(num_recordings)], place)


def prepared_made(place: Path, num_recordings: int, num_frames: int, num_workers: int) -> None:
    if num_workers > 1:
        reading._TRIED_S = reading._WORTH_PROCESSES_S = 0.0  # they are made so fast that one process would do
    with continuing(place / "set") as scratch:
        assert scratch is not None
        write_set(source_of(place, num_recordings, num_frames=num_frames), "made", scratch, num_workers, None)


WAYS: dict[str, Callable[..., None]] = {
    way.__name__: way for way in (naive_files, prepared_files, naive_made, prepared_made)
}


def peak_mib() -> float:
    """The most memory that this process has had at once; what is mapped from files and shared is in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def measure(name: str, arguments: list[Any]) -> None:
    """In a process of its own: seconds, and how much the peak of memory has grown since the imports."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = peak_mib(), time.perf_counter()
        paths = [Path(argument) if isinstance(argument, str) else argument for argument in arguments]
        place = [*paths[:1], Path(folder), *paths[1:]] if name.endswith("_files") else [Path(folder), *paths]
        WAYS[name](*place)
        print(json.dumps({"seconds": time.perf_counter() - started, "mib": peak_mib() - before}))


def measured(way: Callable[..., None], *arguments: Any, repeats: int = 1) -> tuple[float, float]:
    """Seconds (the best of some: what else runs on the machine only ever adds) and MiB."""
    command = [sys.executable, "-m", "tests.benchmarks.preparing", way.__name__, json.dumps(arguments, default=str)]
    runs = [
        json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout) for _ in range(repeats)
    ]
    return min(run["seconds"] for run in runs), max(run["mib"] for run in runs)


def show(rows: list[tuple[str, tuple[float, float]]]) -> None:
    naive_s, naive_mib = rows[0][1]
    for name, (seconds, mib) in rows:
        ratios = naive_s / seconds, naive_mib / max(mib, 1)
        print(f"{name:<40} {seconds:7.2f} s {ratios[0]:6.2f} x   +{mib:5.0f} MiB {ratios[1]:6.2f} x")


def main() -> None:
    """Print times, growth of memory, and their ratios to the naive way (the first line of each block)."""
    print(f"{NUM_CORES} cores, load {os.getloadavg()[0]:.1f}; memory is that of this process, beyond its imports")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "made"
        num_files = write_synthetic(SyntheticData(num_auxiliary=80, recordings_per_class=20), data)
        print(f"{num_files} .skeleton files")
        show(
            [
                ("line by line, all kept, concatenated", measured(naive_files, data, repeats=REPEATS)),
                ("prepare, one process", measured(prepared_files, data, 1, repeats=REPEATS)),
                (f"prepare, {NUM_CORES} processes", measured(prepared_files, data, NUM_CORES, repeats=REPEATS)),
            ]
        )
    for num_recordings, num_frames in SIZES:
        print(f"{num_recordings} recordings of {num_frames} frames, 2 rows, made up: nothing is parsed")
        show(
            [
                ("all kept, concatenated", measured(naive_made, num_recordings, num_frames)),
                ("written, one process", measured(prepared_made, num_recordings, num_frames, 1)),
                (f"written, {NUM_CORES} processes", measured(prepared_made, num_recordings, num_frames, NUM_CORES)),
            ]
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], json.loads(sys.argv[2]))
    else:
        main()
