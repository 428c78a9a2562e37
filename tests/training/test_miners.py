import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sldml.config.loss import LossConfig
from sldml.config.miner import MinerConfig
from sldml.training.losses import build_loss
from sldml.training.miners import build_miner

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
SIZE = range(len(LABELS))
LOSSES = [name for name in LossConfig.names() if LossConfig.model_validate({"name": name}).takes_tuples]


def embeddings_on_a_circle(seed: int = 0) -> tuple[Tensor, list[float]]:
    """Embeddings of random lengths in two dimensions, and their angles."""
    generator = torch.Generator().manual_seed(seed)
    angles = math.pi * torch.rand(len(LABELS), generator=generator, dtype=torch.float64)
    lengths = 0.5 + torch.rand(len(LABELS), 1, generator=generator, dtype=torch.float64)
    points = lengths * torch.stack((angles.cos(), angles.sin()), dim=1)
    return points.float(), angles.tolist()


def farness(loss: str, first: float, second: float) -> float:
    """How far apart two angles are, in the units of the loss: a chord, or a negative cosine."""
    gap = abs(first - second)
    by_length = LossConfig.model_validate({"name": loss}).compares_by == "l2"
    return 2 * math.sin(gap / 2) if by_length else -math.cos(gap)


def mine(miner: str, loss: str, embeddings: Tensor, **options: Any) -> tuple[Tensor, ...]:
    config = MinerConfig.model_validate({"name": miner, **({miner: options} if options else {})})
    built = build_miner(config, LossConfig.model_validate({"name": loss}))
    assert built is not None
    return built(embeddings, LABELS)


def pairs(first: Tensor, second: Tensor) -> set[tuple[int, int]]:
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(set(found))
    return set(found)


def triplets_of(mined: tuple[Tensor, ...]) -> set[tuple[int, ...]]:
    return set(zip(*(column.tolist() for column in mined), strict=True))


ALL_TRIPLETS = [
    (a, p, n) for a in SIZE for p in SIZE for n in SIZE if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
]


@pytest.mark.parametrize("loss", ["triplet_margin", "multi_similarity", "sup_con"])
@pytest.mark.parametrize("kind", ["all", "hard", "semihard"])
@pytest.mark.parametrize("margin", [0.2, 0.6])
def test_triplet_margin_equals_a_naive_loop(loss: str, kind: str, margin: float) -> None:
    embeddings, angles = embeddings_on_a_circle()
    expected = set()
    for a, p, n in ALL_TRIPLETS:
        gap = farness(loss, angles[a], angles[n]) - farness(loss, angles[a], angles[p])
        if gap <= margin and (kind == "all" or (gap <= 0) == (kind == "hard")):
            expected.add((a, p, n))
    mined = mine("triplet_margin", loss, embeddings, margin=margin, type_of_triplets=kind)
    assert expected
    assert triplets_of(mined) == expected


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("epsilon", [0.05, 0.7])
def test_multi_similarity_equals_a_naive_loop(loss: str, epsilon: float) -> None:
    embeddings, angles = embeddings_on_a_circle(3)
    positives, negatives = set(), set()
    for a in SIZE:
        same = [b for b in SIZE if b != a and LABELS[b] == LABELS[a]]
        other = [b for b in SIZE if LABELS[b] != LABELS[a]]
        farthest = max(farness(loss, angles[a], angles[b]) for b in same)
        nearest = min(farness(loss, angles[a], angles[b]) for b in other)
        positives |= {(a, b) for b in same if farness(loss, angles[a], angles[b]) + epsilon > nearest}
        negatives |= {(a, b) for b in other if farness(loss, angles[a], angles[b]) - epsilon < farthest}
    first, positive, second, negative = mine("multi_similarity", loss, embeddings, epsilon=epsilon)
    assert pairs(first, positive) == positives
    assert pairs(second, negative) == negatives


@pytest.mark.parametrize("loss", ["triplet_margin", "multi_similarity", "sup_con"])
def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative(loss: str) -> None:
    embeddings, angles = embeddings_on_a_circle(1)
    expected = set()
    for a in SIZE:
        same = [b for b in SIZE if b != a and LABELS[b] == LABELS[a]]
        other = [b for b in SIZE if LABELS[b] != LABELS[a]]
        positive = max(same, key=lambda b: farness(loss, angles[a], angles[b]))
        negative = min(other, key=lambda b: farness(loss, angles[a], angles[b]))
        expected.add((a, positive, negative))
    assert triplets_of(mine("batch_hard", loss, embeddings)) == expected


@pytest.mark.parametrize("miner", ["triplet_margin", "batch_hard"])
@pytest.mark.parametrize(("loss", "twin"), [("contrastive", "triplet_margin"), ("nt_xent", "sup_con")])
def test_losses_over_pairs_get_each_pair_of_the_triplets_once(miner: str, loss: str, twin: str) -> None:
    embeddings, _ = embeddings_on_a_circle()
    triplets = triplets_of(mine(miner, twin, embeddings))
    first, positive, second, negative = mine(miner, loss, embeddings)
    assert pairs(first, positive) == {(a, p) for a, p, _ in triplets}
    assert pairs(second, negative) == {(a, n) for a, _, n in triplets}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_miner_that_keeps_everything_changes_no_loss(loss: str) -> None:
    embeddings, _ = embeddings_on_a_circle()
    criterion = build_loss(LossConfig.model_validate({"name": loss}), 3, 2)
    mined = mine("triplet_margin", loss, embeddings, margin=2.0)
    torch.testing.assert_close(criterion(embeddings, LABELS, mined), criterion(embeddings, LABELS))


def test_no_miner_is_none() -> None:
    assert build_miner(MinerConfig(), LossConfig()) is None
    assert build_miner(MinerConfig(), LossConfig(name="arcface")) is None


@pytest.mark.parametrize("loss", ["arcface", "proxy_anchor"])
def test_a_loss_with_weights_takes_no_miner(loss: str) -> None:
    with pytest.raises(ValueError, match=f"'batch_hard' needs a loss over tuples, not '{loss}'"):
        build_miner(MinerConfig(name="batch_hard"), LossConfig.model_validate({"name": loss}))
