"""How fast: start-up, reading, batches. Run on a machine that does nothing else; see PERFORMANCE.md.

Run: python -m tests.benchmarks.measure
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sldml.batches import Signals
from sldml.config import SyntheticData
from sldml.environment import describe_environment
from sldml.prepared import prepare
from sldml.signals import ntu
from sldml.sources import write_synthetic
from tests.signals.reference_ntu import read_values

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """The best of a few calls: what else runs on the machine only ever adds."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def start_up() -> None:
    print(f"python, nothing imported          {seconds(lambda: python('-c', 'pass')):8.2f} s")
    for name, code in {
        "launch/tune.py --help": ("launch/tune.py", "--help"),
        "launch/tune.py --space demo --dry-run": ("launch/tune.py", "--space", "demo", "--dry-run"),
        "import sldml.trial (torch)": ("-c", "import sldml.trial"),
        "import sldml.pipeline (all)": ("-c", "import sldml.pipeline"),
    }.items():
        print(f"{name:<33} {seconds(lambda code=code: python(*code)):8.2f} s")


def reading(folder: Path) -> None:
    files = ntu.find(folder)[:100]
    frames = statistics.mean(len(ntu.read(path).values) for path in files)
    size = statistics.mean(path.stat().st_size for path in files)
    print(f".skeleton files: {len(files)}, on average {frames:.0f} frames, {size / 1000:.0f} kB")
    for name, read in (("sldml.signals.ntu.read", ntu.read), ("line by line (tests/signals)", read_values)):
        print(
            f"{name:<33} {1000 * seconds(lambda read=read: [read(path) for path in files]) / len(files):8.2f} ms/file"
        )


def batches(cache: Path) -> None:
    prepared = prepare(SyntheticData(), None, cache)
    signals = Signals.open(prepared.folder, torch.device("cpu"))
    offsets, lengths = (
        torch.from_numpy(prepared.catalog[key].to_numpy(np.int64, copy=True)) for key in ("offset", "length")
    )
    chosen = torch.randint(len(offsets), (256, 64), generator=torch.Generator().manual_seed(0))
    torch.set_num_threads(1)

    def gather() -> None:
        for batch in chosen:
            signals.gather(offsets[batch], lengths[batch], 64)

    rate = chosen.numel() / seconds(gather)
    print(f"gather, 64 recordings to 64 steps {rate:8.0f} recordings/s (one thread, {prepared.layout.num_rows} rows)")


def main() -> None:
    """Print what PERFORMANCE.md records."""
    environment = describe_environment()
    changed = " and changes" if environment["dirty"] else ""
    print(
        f"{platform.machine()}, {environment['cores']} cores, Python {environment['python']}, torch {torch.__version__}"
    )
    print(f"commit {environment['commit']}{changed}, {time.strftime('%Y-%m-%d')}")
    start_up()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        write_synthetic(SyntheticData(), made)
        reading(made / "ntu")
        batches(Path(folder) / "cache")


if __name__ == "__main__":
    main()
