"""Which recordings are in a batch: so many classes, so many recordings of each, drawn by one generator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sldml.config.training import BatchConfig
from sldml.training.loop import batches


def drawn(sizes: list[int], config: BatchConfig, num_batches: int = 50, seed: int = 0) -> Iterator[Tensor]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    members = [torch.from_numpy(np.flatnonzero(labels == c)) for c in range(len(sizes))]
    for index in batches(members, num_batches, config, torch.Generator().manual_seed(seed)):
        yield index.reshape(-1, config.samples_per_class), torch.from_numpy(labels)[index]


def test_each_batch_has_m_different_recordings_of_each_of_its_classes() -> None:
    seen: set[int] = set()
    classes: set[tuple[int, ...]] = set()
    for index, labels in drawn([4, 9, 5, 4, 20], BatchConfig(num_classes=3, samples_per_class=4)):
        by_class = labels.reshape(3, 4)
        assert (by_class == by_class[:, :1]).all()
        assert len(set(by_class[:, 0].tolist())) == 3
        assert all(len(set(row.tolist())) == 4 for row in index)
        seen |= set(index.flatten().tolist())
        classes.add(tuple(sorted(by_class[:, 0].tolist())))
    assert seen == set(range(42))
    assert len(classes) == 10  # all choices of 3 of 5


def test_a_class_with_too_few_recordings_repeats_them() -> None:
    for index, labels in drawn([2, 8], BatchConfig(num_classes=2, samples_per_class=4)):
        assert sorted(labels.tolist()) == [0] * 4 + [1] * 4
        repeated, enough = (index[row] for row in ((0, 1) if labels[0] == 0 else (1, 0)))
        assert set(repeated.tolist()) <= {0, 1}
        assert len(set(enough.tolist())) == 4


def test_with_fewer_classes_than_asked_all_are_in_every_batch() -> None:
    for _, labels in drawn([5, 5, 5], BatchConfig(num_classes=16, samples_per_class=2)):
        assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]


def test_batches_come_from_their_generator_alone() -> None:
    config = BatchConfig(num_classes=3, samples_per_class=2)
    first = [index.tolist() for index, _ in drawn([6] * 5, config)]
    torch.manual_seed(5)
    assert [index.tolist() for index, _ in drawn([6] * 5, config)] == first
    assert [index.tolist() for index, _ in drawn([6] * 5, config, seed=1)] != first
    assert len(first) == 50
