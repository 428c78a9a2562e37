"""How fast batches come before an encoder, against an image folder.

The naive way is that of the published SL-DML code: a folder of PNGs, one a recording (rows down, frames across, as
they were recorded), through torchvision's ImageFolder, Resize, ToTensor and a DataLoader with batches of 32: in
process, and with as many workers as there are threads; the faster counts. Ours is all that a trial does with a batch of
stored signals before the encoder: gather and resample, normalise, represent, resize. Both have the same made
recordings and as many threads as the machine has cores (`--threads` says otherwise), and take turns; each counts by its
best turn, since whatever else runs on the machine only adds.

Run: python -m tests.benchmarks.loading
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.embed import encoder_input
from sldml.prepared.batches import Frames, keep_freed_memory
from sldml.recordings import KINECT_V1, KINECT_V2, Layout
from sldml.search.environment import describe_environment

STEPS = 64
NUM_CLASSES = 8
NAIVE_BATCH = 32
BATCHES = (32, 64, 256)
LAYOUTS = {"UTD-MHAD-like": Layout(KINECT_V1, 1), "NTU-like": Layout(KINECT_V2, 2)}
BARS = {64: 20.0, 256: 1.5}

Recording = NDArray[np.float32]


def make_recordings(layout: Layout, count: int) -> list[Recording]:
    """Smooth movements of 41 to 125 frames; of every other recording, the second body is absent."""
    rng = np.random.default_rng(0)
    recordings = []
    for number in range(count):
        num_frames = int(rng.integers(41, 126))
        walk = rng.normal(0, 0.01, (num_frames, layout.num_rows, 3)).cumsum(axis=0).cumsum(axis=0) / 5
        values = (rng.normal(0, 0.4, (1, layout.num_rows, 3)) + walk + [0.1, 0.2, 3.0]).astype(np.float32)
        if number % 2 and layout.num_bodies == 2:
            values[:, layout.body_rows // 2 :] = 0
        recordings.append(values)
    return recordings


def write_image_folder(recordings: list[Recording], folder: Path) -> None:
    """One PNG a recording: rows down, frames across, x y z as colours, scaled by its own minimum and maximum."""
    for number, values in enumerate(recordings):
        place = folder / str(number % NUM_CLASSES)
        place.mkdir(parents=True, exist_ok=True)
        pixels = (values - values.min()) / np.ptp(values) * 255
        Image.fromarray(pixels.round().astype(np.uint8).transpose(1, 0, 2)).save(place / f"{number}.png")


def image_folder_epoch(folder: Path, image_px: int, num_workers: int) -> Callable[[], int]:
    """A function that reads every image once, and returns how many there were."""
    to_tensor = transforms.Compose([transforms.Resize((image_px, image_px)), transforms.ToTensor()])
    loader: DataLoader[Any] = DataLoader(
        datasets.ImageFolder(folder, to_tensor),
        batch_size=NAIVE_BATCH,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    return lambda: sum(len(images) for images, _ in loader)


def signals_epoch(
    recordings: list[Recording], layout: Layout, image_px: int, value_range: Literal["fixed", "recording"], batch: int
) -> Callable[[], int]:
    """A function that makes the images of every recording once, and returns how many there were."""
    lengths = torch.tensor([len(values) for values in recordings])
    offsets = lengths.cumsum(0) - lengths
    signals = Frames(torch.from_numpy(np.concatenate(recordings)), None, layout, torch.device("cpu"))
    options = {"name": "swap_axes", "steps": STEPS, "image_px": image_px, "swap_axes": {"value_range": value_range}}
    representation, normalization = RepresentationConfig.model_validate(options), NormalizeConfig()

    def epoch() -> int:
        count = 0
        for index in torch.randperm(len(recordings)).split(batch):
            taken = signals.gather(offsets[index], lengths[index], STEPS)
            count += len(encoder_input(taken, normalization, representation, layout))
        return count

    return epoch


def best_rates(ways: dict[str, Callable[[], int]], num_turns: int) -> dict[str, float]:
    """Images a second of each way in its best turn; the ways take turns."""
    for way in ways.values():
        way()
    rates = dict.fromkeys(ways, 0.0)
    for _ in range(num_turns):
        for name, way in ways.items():
            started = time.perf_counter()
            count = way()
            rates[name] = max(rates[name], count / (time.perf_counter() - started))
    return rates


def compare(name: str, image_px: int, num_recordings: int, num_turns: int, num_threads: int) -> None:
    """Print the rates of all ways for one layout and size, and the ratio to the faster naive way."""
    layout = LAYOUTS[name]
    recordings = make_recordings(layout, num_recordings)
    with tempfile.TemporaryDirectory() as folder:
        write_image_folder(recordings, Path(folder))
        workers = {"in process": 0} | ({f"{num_threads} workers": num_threads} if num_threads > 1 else {})
        naive = {
            f"image folder, {words}": image_folder_epoch(Path(folder), image_px, number)
            for words, number in workers.items()
        }
        ours = {
            f"signals, {value_range} range, batch {batch}": signals_epoch(
                recordings, layout, image_px, value_range, batch
            )
            for value_range in ("fixed", "recording")
            for batch in BATCHES
        }
        rates = best_rates(naive | ours, num_turns)
    best_naive = max(rates[way] for way in naive)
    print(f"{name}, {layout.num_rows} rows, {image_px} px, {num_threads} threads (bar: {BARS[image_px]:g} x)")
    for way, rate in rates.items():
        ratio = f"{rate / best_naive:8.2f} x" if way in ours else ""
        print(f"  {way:<34} {rate:9.0f} images/s {ratio}", flush=True)


def gather_alone(num_recordings: int, num_turns: int) -> None:
    """Print how fast recordings are resampled, without making images of them."""
    for name, layout in LAYOUTS.items():
        recordings = make_recordings(layout, num_recordings)
        lengths = torch.tensor([len(values) for values in recordings])
        offsets = lengths.cumsum(0) - lengths
        signals = Frames(torch.from_numpy(np.concatenate(recordings)), None, layout, torch.device("cpu"))

        def epoch(signals: Frames = signals, offsets: torch.Tensor = offsets, lengths: torch.Tensor = lengths) -> int:
            for index in torch.randperm(len(lengths)).split(64):
                signals.gather(offsets[index], lengths[index], STEPS)
            return len(lengths)

        rate = best_rates({"gather": epoch}, num_turns)["gather"]
        print(f"gather alone, {name}, 64 recordings to {STEPS} steps: {rate:.0f} recordings/s (one thread)")


def main() -> None:
    """Print what PERFORMANCE.md records."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recordings", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1])
    options = parser.parse_args()
    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"{platform.machine()}, {environment.cores} cores, torch {torch.__version__}")
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}")
    keep_freed_memory()  # as a trial does when it opens its set; the naive way has it, too
    torch.set_num_threads(1)
    gather_alone(options.recordings, options.turns)
    for num_threads in options.threads:
        torch.set_num_threads(num_threads)
        for image_px in BARS:
            for name in LAYOUTS:
                compare(name, image_px, options.recordings, options.turns, num_threads)


if __name__ == "__main__":
    main()
