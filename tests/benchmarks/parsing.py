"""How fast `.skeleton` files are read, against a careful line-by-line reader; see PERFORMANCE.md.

Both readers do the same work (bodies followed by identity and place, people told from furniture, the main actor
found) and give the same array, which is checked. They take turns on the same files in one run, so that whatever
else the machine does falls on both. One process, one core.

Run: python -m tests.benchmarks.parsing
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from sldml.recordings.readers import ntu
from sldml.recordings.synthetic import ntu_writer as skeleton_writer
from sldml.recordings.synthetic.dataset import SyntheticSource, generate
from sldml.search.environment import describe_environment
from tests.support.reference_ntu import read_values

NUM_FILES = 40
ROUNDS = 5
NAME = "S001C001P001R001A{:03d}.skeleton"


def one_body(folder: Path) -> list[Path]:
    """Made recordings as the demo has them: one body, which the sensor loses now and then."""
    return generate(SyntheticSource(num_auxiliary=4, recordings_per_class=2), folder)[:NUM_FILES]


def two_bodies(folder: Path) -> list[Path]:
    """Two bodies of 100 frames; the second is lost for a third of a second and found under another identity."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = []
    for number in range(1, NUM_FILES + 1):
        shape = random.uniform(-0.5, 0.5, (2, 25, 3)) * (0.3, 1.0, 0.2) + np.array([[[-0.5, 0, 3]], [[0.5, 0, 3]]])
        frames = []
        for frame in range(100):
            first, second = shape + random.normal(0, 0.02, shape.shape)
            bodies = [(72057594037931100, first)]
            if not 40 <= frame < 50:
                bodies.append((72057594037931101 if frame < 40 else 72057594037931102, second))
            frames.append(bodies)
        paths.append(folder / NAME.format(number))
        skeleton_writer.write(paths[-1], frames)
    return paths


def compare(name: str, files: list[Path]) -> None:
    """Print milliseconds a file for both readers, and the ratio."""
    for path in files:
        np.testing.assert_array_equal(ntu.read(path).values, read_values(path))
    frames = statistics.mean(len(ntu.read(path).values) for path in files)
    size = statistics.mean(path.stat().st_size for path in files)
    readers = {
        "sldml.recordings.readers.ntu.read": ntu.read,
        "line by line (tests/support/reference_ntu.py)": read_values,
    }
    # The best of some rounds for every file: what else runs on the machine only ever adds.
    best = {reader: dict.fromkeys(files, float("inf")) for reader in readers}
    for _ in range(ROUNDS):
        for path in files:
            for reader, read in readers.items():
                started = time.perf_counter()
                read(path)
                best[reader][path] = min(best[reader][path], time.perf_counter() - started)
    print(f"{name}: {len(files)} files of {frames:.0f} frames and {size / 1000:.0f} kB on average")
    milliseconds = {reader: 1000 * statistics.mean(times.values()) for reader, times in best.items()}
    for reader, value in milliseconds.items():
        print(f"  {reader:<46} {value:8.2f} ms/file")
    fast, slow = milliseconds.values()
    print(f"  {'ratio':<46} {slow / fast:8.2f}")


def main() -> None:
    """Print what PERFORMANCE.md records."""
    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"{platform.machine()}, {environment.cores} cores, Python {environment.python}")
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as folder:
        compare("one body", one_body(Path(folder) / "one"))
        compare("two bodies", two_bodies(Path(folder) / "two"))


if __name__ == "__main__":
    main()
