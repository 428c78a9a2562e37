"""Distances between signals: dynamic time warping against a naive loop, and the Euclidean one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.reference_dtw import naive_dtw
from torch import Tensor

from sldml.recognition.dtw import dtw_distances, raw_distances


def recordings(count: int, steps: int, dim: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, steps, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 12, 32])
@pytest.mark.parametrize("band", [0, 1, 2, 5, 8, 100])
def test_dtw_is_the_textbooks(steps: int, band: int) -> None:
    first, second = recordings(3, steps, seed=1), recordings(2, steps, seed=2)
    expected = [[naive_dtw(a, b, band) for b in second] for a in first]
    assert dtw_distances(first, second, band).numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_dtw_by_hand() -> None:
    first = torch.tensor([[[0.0], [1.0], [5.0]]])
    second = torch.tensor([[[0.0], [0.0], [1.0]], [[1.0], [5.0], [5.0]]])
    # 0-0 0-0 1-1 5-1: 16. And 0-1 1-1 5-5 5-5: 1.
    assert dtw_distances(first, second).tolist() == [[16.0, 1.0]]
    # Without a band's freedom, frame by frame: 0 + 1 + 16, and 1 + 16 + 0.
    assert dtw_distances(first, second, band=0).tolist() == [[17.0, 17.0]]


def test_dtw_looks_past_a_change_of_speed_and_raw_does_not() -> None:
    time = torch.linspace(0, 1, 32)
    slow_start, even = (torch.sin(6 * t).view(1, -1, 1) for t in (time**1.4, time))
    assert dtw_distances(slow_start, even) < 0.1 * raw_distances(slow_start, even).square()


def test_dtw_within_one_set_is_dtw_of_two() -> None:
    some = recordings(5, 6)
    assert torch.allclose(dtw_distances(some, some), dtw_distances(some, some.clone()), atol=1e-5)
    assert torch.equal(dtw_distances(some, some), dtw_distances(some, some).T)


def test_dtw_of_a_recording_and_itself_is_nothing() -> None:
    same = 100 + recordings(3, 32)
    assert dtw_distances(same, same).diagonal().tolist() == pytest.approx([0.0] * 3, abs=1.0)
    assert (dtw_distances(same, same) >= 0).all()


def test_raw_is_the_euclidean_distance() -> None:
    first, second = recordings(5, 32, seed=1), recordings(40, 32, seed=2)
    difference = first.numpy()[:, None] - second.numpy()[None]
    expected = np.sqrt((difference**2).sum(axis=(2, 3)))
    assert raw_distances(first, second).numpy() == pytest.approx(expected, rel=1e-4)
