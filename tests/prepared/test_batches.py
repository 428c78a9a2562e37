import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.recordings import Layout
from sldml.recordings.reading import held_steps

CPU = torch.device("cpu")
LAYOUT = Layout(None, 0, {"acceleration": 8.0})  # nothing here depends on it


def naive(values: NDArray[np.float32], steps: int) -> NDArray[np.float64]:
    """One recording [T, rows, 3]: lost frames replaced, then every coordinate interpolated by itself."""
    present = [t for t in range(len(values)) if values[t].any()]
    filled = values.astype(np.float64)
    for t in range(len(values)):
        if present and t not in present:
            earlier = [p for p in present if p < t]
            filled[t] = filled[earlier[-1] if earlier else present[0]]
    moments = np.linspace(0, len(values) - 1, steps)
    out = np.empty((steps, *values.shape[1:]))
    for row in range(values.shape[1]):
        for axis in range(3):
            out[:, row, axis] = np.interp(moments, np.arange(len(values)), filled[:, row, axis])
    return out


def signals_with_held(recordings: list[NDArray[np.float32]]) -> Frames:
    held = torch.from_numpy(np.concatenate([held_steps(r) for r in recordings]))
    return Frames(torch.from_numpy(np.concatenate(recordings)), held, LAYOUT, CPU)


def places(recordings: list[NDArray[np.float32]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = np.array([len(r) for r in recordings])
    return torch.tensor(np.cumsum(lengths) - lengths), torch.tensor(lengths)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    steps=st.integers(2, 50),
    lost=st.floats(0, 0.9),
    seed=st.integers(0, 2**16),
)
def test_gather_is_linear_interpolation_of_each_recording(
    lengths: list[int], steps: int, lost: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    recordings = [rng.normal(size=(length, 2, 3)).astype(np.float32) for length in lengths]
    for recording in recordings:
        recording[rng.random(len(recording)) < lost] = 0
    offsets, sizes = places(recordings)
    order = torch.tensor(rng.permutation(len(recordings)))
    batch = signals_with_held(recordings).gather(offsets[order], sizes[order], steps)
    assert batch.dtype == torch.float32
    assert batch.shape == (len(recordings), steps, 2, 3)
    for found, index in zip(batch, order.tolist(), strict=True):
        assert found.numpy() == pytest.approx(naive(recordings[index], steps), abs=1e-5)


def test_gather_by_hand() -> None:
    ramp = np.repeat(np.array([5, 1, 2, 4, 8, 100], np.float32), 3).reshape(6, 1, 3)
    signals = Frames(torch.from_numpy(ramp), None, LAYOUT, CPU)
    # Frames 1 … 4 (1, 2, 4, 8) at 0, 1/2, 1, 3/2, 2, 5/2, 3.
    found = signals.gather(torch.tensor([1]), torch.tensor([4]), 7)[0, :, 0, 0]
    assert found.tolist() == [1, 1.5, 2, 3, 4, 6, 8]


@pytest.mark.parametrize("steps", [2, 3, 8, 31, 64, 257])
def test_first_and_last_frame_are_kept_and_no_neighbour_is_touched(steps: int) -> None:
    rng = np.random.default_rng(0)
    lengths = [2, 3, 30, 64, 65, 500]
    recordings = [rng.normal(size=(n, 1, 3)).astype(np.float32) + 10 * i for i, n in enumerate(lengths)]
    signals = Frames(torch.from_numpy(np.concatenate(recordings)), None, LAYOUT, CPU)
    batch = signals.gather(*places(recordings), steps)
    for found, recording in zip(batch.numpy(), recordings, strict=True):
        assert np.array_equal(found[[0, -1]], recording[[0, -1]])
        assert recording.min() - 1e-5 <= found.min()
        assert found.max() <= recording.max() + 1e-5


def test_as_many_steps_as_frames_gives_the_frames() -> None:
    recording = np.random.default_rng(0).normal(size=(37, 4, 3)).astype(np.float32)
    signals = Frames(torch.from_numpy(recording), None, LAYOUT, CPU)
    found = signals.gather(torch.tensor([0]), torch.tensor([37]), 37)[0]
    assert found.numpy() == pytest.approx(recording, abs=1e-6)


def test_bytes_of_pictures_become_numbers() -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (n, 3, 3), np.uint8) for i, n in enumerate((4, 9))]
    signals = Frames(torch.from_numpy(np.concatenate(pictures)), None, LAYOUT, CPU)
    batch = signals.gather(*places(pictures), 6)
    assert batch.dtype == torch.float32
    for found, one in zip(batch, pictures, strict=True):
        assert found.numpy() == pytest.approx(naive(one.astype(np.float32), 6), abs=1e-4)


def test_double_precision_is_taken_like_any_other_and_no_recordings_are_no_batch() -> None:
    frames = torch.arange(24, dtype=torch.float64).view(4, 2, 3)
    batch = Frames(frames, None, LAYOUT, CPU).gather(torch.tensor([0]), torch.tensor([4]), 7)
    assert batch.dtype == torch.float32
    assert torch.equal(batch[0, ::2], frames.float())
    nobody = torch.zeros(0, dtype=torch.int64)
    assert Frames(frames.float(), None, LAYOUT, CPU).gather(nobody, nobody, 5).shape == (0, 5, 2, 3)


def test_frames_without_anything_are_looked_past() -> None:
    values = np.array([0, 3, 0, 0, 9, 0], np.float32).repeat(3).reshape(6, 1, 3)
    found = signals_with_held([values]).gather(torch.tensor([0]), torch.tensor([6]), 6)[0, :, 0, 0]
    assert found.tolist() == [3, 3, 3, 3, 9, 9]


def test_a_prepared_set_opens_with_its_lost_frames_and_stays_as_it_is(made_set: PreparedSet) -> None:
    signals = Frames.open(made_set.folder, CPU)
    assert signals.layout == made_set.layout
    frames = np.load(made_set.folder / "signals.npy")
    before = (made_set.folder / "signals.npy").read_bytes()
    catalog = made_set.catalog
    lost = [i for i, (o, n) in enumerate(zip(catalog["offset"], catalog["length"], strict=True))
            if not frames[o : o + n].any(axis=(1, 2)).all()]  # fmt: skip
    assert lost  # or this test says nothing
    rows = catalog.iloc[[0, *lost[:3]]]
    batch = signals.gather(torch.tensor(rows["offset"].to_numpy()), torch.tensor(rows["length"].to_numpy()), 20)
    for found, offset, length in zip(batch, rows["offset"], rows["length"], strict=True):
        assert found.numpy() == pytest.approx(naive(frames[offset : offset + length], 20), abs=1e-5)
    signals._values[:2] = 99.0  # whatever happens to them, the file keeps what was recorded
    assert (made_set.folder / "signals.npy").read_bytes() == before


SCRIPT = """
import resource, sys
import torch
from sldml.prepared.batches import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def batch():
    torch.ones(8 * 2**20)  # 32 MiB, 8192 pages
for _ in range(40):  # small blocks settle between large ones, so that it takes a few
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.verify
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such setting")
def test_batches_after_the_first_need_no_new_pages() -> None:
    faults = {}
    for kept in ("returned", "kept"):
        command = [sys.executable, "-c", SCRIPT, kept]
        faults[kept] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert faults["returned"] > 9 * 8192, "or this test says nothing"
    assert faults["kept"] < 8192
