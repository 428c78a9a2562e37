"""How many images a second each representation makes, against its definition taken word by word.

Both make the same images (`tests/embedding/images/` compares them) of the same kind of recordings, and take turns in
one run. One thread; what is measured is the processor's time, so that other processes on the machine count little.

Run: python -m tests.benchmarks.representing
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import torch

from sldml.config.representation import RepresentationConfig
from sldml.embedding.images import image_shape, represent
from sldml.recordings import KINECT_V1, KINECT_V2, Layout
from sldml.search.environment import describe_environment
from tests.support.reference_images import naive_represent

BATCH, STEPS = 64, 64
ROUNDS = 3
LAYOUTS = {"UTD-MHAD's 20 joints": Layout(KINECT_V1, 1), "NTU's two bodies": Layout(KINECT_V2, 2)}


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(name: str, layout: Layout) -> None:
    """Print images a second both ways, and the ratio."""
    config = RepresentationConfig.model_validate({"name": name, "steps": STEPS})
    resized = RepresentationConfig.model_validate({"name": name, "steps": STEPS, "image_px": 64})
    signals = torch.randn(BATCH, STEPS, layout.num_rows, 3, generator=torch.Generator().manual_seed(0)).cumsum(1) / 8
    one = signals[:1].numpy()
    represent(signals, config, layout)  # compiles what is compiled
    fast, small, naive = [], [], []
    for _ in range(ROUNDS):
        naive.append(seconds(lambda: naive_represent(one, config, layout)))
        fast.append(seconds(lambda: [represent(signals, config, layout) for _ in range(5)]) / 5 / BATCH)
        small.append(seconds(lambda: [represent(signals, resized, layout) for _ in range(5)]) / 5 / BATCH)
    _, height, width = image_shape(config, layout)
    print(
        f"  {name:<12} {height:>4} x {width:<4} {1 / min(fast):>9.0f} images/s {1 / min(small):>9.0f} as 64 x 64 "
        f"{1 / min(naive):>8.1f} naive   x {min(naive) / min(fast):.0f}"
    )


def main() -> None:
    """Print what PERFORMANCE.md records."""
    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"{platform.machine()}, one thread, Python {environment.python}, torch {torch.__version__}")
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}")
    torch.set_num_threads(1)
    for title, layout in LAYOUTS.items():
        print(f"{title}, batches of {BATCH} recordings of {STEPS} steps:")
        for name in RepresentationConfig.names():
            if name != "image":
                compare(name, layout)


if __name__ == "__main__":
    main()
