"""What losses have in common beside their formulas: distances, cross-batch memory, smooth average precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.small import assert_same_state
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.loss import ANY_DISTANCE, OWN_DISTANCE, WITH_MEMORY, LossConfig
from sldml.config.miner import MinerConfig
from sldml.training.losses import as_cosine, build_loss, distance_of, with_memory
from sldml.training.miners import build_miner

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
DIM = 6


def loss_config(name: str, **options: Any) -> LossConfig:
    return LossConfig.model_validate({"name": name, **options})


def embeddings(seed: int) -> Tensor:
    return torch.randn(len(LABELS), DIM, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ distances


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1", "snr"])
@pytest.mark.parametrize("name", ANY_DISTANCE)
def test_a_loss_learns_by_another_distance(name: str, distance: str) -> None:
    torch.manual_seed(1)
    loss = build_loss(loss_config(name, distance=distance), 3, DIM)
    points = embeddings(0).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.05)
    before = loss(points, LABELS)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(points, LABELS)
        value.backward()
        assert points.grad is not None
        assert torch.isfinite(points.grad).all()
        optimizer.step()
    assert loss(points, LABELS) < before


@pytest.mark.parametrize(
    ("name", "distance"), [("arcface", "l2"), ("angular", "cosine"), ("proxy_anchor", "snr"), ("fast_ap", "l1")]
)
def test_a_distance_that_a_loss_cannot_have_is_refused(name: str, distance: str) -> None:
    own = OWN_DISTANCE.get(name, "cosine")
    with pytest.raises(ValidationError, match=f"'{name}' does not support distance '{distance}', only '{own}'"):
        loss_config(name, distance=distance)


def test_a_loss_may_name_its_own_distance() -> None:
    assert loss_config("angular", distance="l2").compares_by == "l2"
    assert loss_config("arcface", distance="cosine").compares_by == "cosine"


def test_margins_stay_euclidean_where_a_loss_compares_by_cosines() -> None:
    # 60° apart (a distance of 1, a cosine of 1/2) and of one class; 90° from the other (sqrt(2); 0).
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 150.0]))
    points = torch.stack((angles.cos(), angles.sin()), dim=1)
    margins = {"pos_margin": 0.5, "neg_margin": 1.5}
    loss = build_loss(loss_config("contrastive", distance="cosine", contrastive=margins), 2, 2)
    # The pair 0°, 150° is farther than 1.5.
    expected = (as_cosine(0.5) - 0.5) + (0.0 - as_cosine(1.5))
    assert loss(points, torch.tensor([0, 0, 1])).item() == pytest.approx(expected, rel=1e-4)


def test_as_cosine() -> None:
    assert [as_cosine(d) for d in (0.0, 1.0, math.sqrt(2), 2.0)] == pytest.approx([1.0, 0.5, 0.0, -1.0])


@pytest.mark.parametrize("distance", ["l2", "l1"])
def test_l1_and_l2_are_of_unit_length_in_their_own_norm(distance: str) -> None:
    loss = build_loss(loss_config("contrastive", distance=distance, contrastive={"neg_margin": 2.0}), 2, 2)
    a, b = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 4.0])
    order = int(distance[1])
    gap = (a / a.norm(p=order) - b / b.norm(p=order)).norm(p=order)
    assert loss(torch.stack((a, b)), torch.tensor([0, 1])).item() == pytest.approx(2.0 - gap.item(), rel=1e-4)


def test_snr_is_the_variance_of_the_difference_in_those_of_the_anchor() -> None:
    unit = functional.normalize(embeddings(0), dim=1)
    expected = torch.stack([(unit - anchor).var(dim=1) / anchor.var() for anchor in unit])
    measure = distance_of("snr")
    torch.testing.assert_close(measure(5 * embeddings(0)), expected)
    torch.testing.assert_close(measure.pairwise_distance(unit[:-1], unit[1:]), expected.diagonal(1))


def test_a_learnt_beta_is_trained() -> None:
    config = loss_config("margin", margin={"learn_beta": True, "beta": 1.0})
    loss = build_loss(config, 3, DIM)
    assert config.has_weights
    (beta,) = loss.parameters()
    loss(embeddings(0), LABELS).backward()
    assert beta.grad is not None
    assert beta.grad.abs().item() > 0
    assert not loss_config("margin").has_weights


# ------------------------------------------------------------------------------------------ average precision


def naive_average_precision(points: Tensor, labels: Tensor) -> float:
    unit = functional.normalize(points, dim=1).numpy()
    values = []
    for q in range(len(unit)):
        others = [i for i in range(len(unit)) if i != q]
        ranked = sorted(others, key=lambda i: -float(unit[q] @ unit[i]))
        hits = np.array([labels[i] == labels[q] for i in ranked])
        if hits.any():
            precision = np.cumsum(hits) / (1 + np.arange(len(hits)))
            values.append(precision[hits].mean())
    return float(np.mean(values))


@pytest.mark.parametrize("labels", [LABELS, torch.tensor([0, 1, 0, 0, 1, 0, 2, 1, 3])])
def test_smooth_ap_is_one_less_average_precision_when_sharp(labels: Tensor) -> None:
    loss = build_loss(loss_config("smooth_ap", smooth_ap={"temperature": 1e-5}), 4, DIM)
    for seed in range(3):
        points = embeddings(seed)
        assert loss(points, labels).item() == pytest.approx(1 - naive_average_precision(points, labels), abs=1e-4)


# --------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("name", WITH_MEMORY)
@pytest.mark.parametrize("miner", ["none", "multi_similarity"])
def test_a_memory_goes_with_the_losses_that_say_so(name: str, miner: str) -> None:
    config = loss_config(name, memory_size=40)
    if miner != "none" and not config.takes_tuples:
        return
    built = build_miner(MinerConfig.model_validate({"name": miner}), config)
    loss = with_memory(build_loss(config, 3, DIM), config, DIM, len(LABELS), built)
    assert loss.memory_size == 45  # a multiple of the batch
    for step in range(7):
        points = embeddings(step).requires_grad_()
        value = loss(points, LABELS)
        value.backward()
        assert torch.isfinite(value)
        assert points.grad is not None
        assert torch.isfinite(points.grad).all()


def test_a_memory_compares_with_earlier_batches() -> None:
    config = loss_config("contrastive", memory_size=18)
    loss = with_memory(build_loss(config, 3, DIM), config, DIM, len(LABELS), None)
    first, second = embeddings(0), embeddings(1)
    loss(first, LABELS)
    unit = functional.normalize(torch.cat([first, second]), dim=1)
    labels = torch.cat([LABELS, LABELS])
    gaps = torch.cdist(unit[9:], unit)
    same = (labels[9:, None] == labels[None]) & (torch.arange(9, 18)[:, None] != torch.arange(18))
    other = labels[9:, None] != labels[None]
    violations = functional.relu(1.0 - gaps[other])
    expected = gaps[same].mean() + violations[violations > 0].mean()
    assert loss(second, LABELS).item() == pytest.approx(expected.item(), rel=1e-3)


def test_an_embedding_in_the_memory_is_no_neighbour_of_itself() -> None:
    config = loss_config("nca", memory_size=18)
    loss = with_memory(build_loss(config, 3, DIM), config, DIM, len(LABELS), None)
    first, second = embeddings(0), embeddings(1)
    loss(first, LABELS)
    unit = functional.normalize(torch.cat([first, second]), dim=1)
    labels = torch.cat([LABELS, LABELS])
    scores = (-10.0 * torch.cdist(unit[9:], unit) ** 2).exp()
    scores[torch.arange(9), torch.arange(9, 18)] = 0.0
    same = labels[9:, None] == labels[None]
    expected = -((scores * same).sum(dim=1) / scores.sum(dim=1)).log().mean()
    assert loss(second, LABELS).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["memory", "dynamic_soft_margin"])
def test_a_resumed_loss_goes_on_exactly(name: str) -> None:
    def make() -> nn.Module:
        if name == "memory":
            config = loss_config("triplet_margin", memory_size=27)
            return with_memory(build_loss(config, 3, DIM), config, DIM, len(LABELS), None)
        return build_loss(loss_config(name), 3, DIM)

    loss = make()
    for step in range(4):
        loss(embeddings(step), LABELS)
    again = make()
    again.load_state_dict(loss.state_dict())
    for step in range(4, 8):
        assert loss(embeddings(step), LABELS).item() == again(embeddings(step), LABELS).item()
    assert_same_state(loss.state_dict(), again.state_dict())


def test_a_memory_is_refused_where_a_loss_compares_with_proxies() -> None:
    with pytest.raises(ValidationError, match="'arcface' does not support memory_size"):
        loss_config("arcface", memory_size=64)


# --------------------------------------------------------------------------------------------------- miners


def mine(name: str, loss: str = "triplet_margin", **options: Any) -> set[tuple[int, ...]]:
    config = MinerConfig.model_validate({"name": name, name: options})
    miner = build_miner(config, loss_config(loss))
    assert miner is not None
    return set(zip(*(column.tolist() for column in miner(embeddings(0), LABELS)), strict=False))


def gaps() -> list[list[float]]:
    unit = functional.normalize(embeddings(0), dim=1)
    return torch.cdist(unit, unit).tolist()


SIZE = range(len(LABELS))


@pytest.mark.parametrize("loss", ["contrastive", "multi_similarity"])
def test_pair_margin_is_euclidean_before_every_loss(loss: str) -> None:
    config = MinerConfig.model_validate({"name": "pair_margin", "pair_margin": {"pos_margin": 1.2, "neg_margin": 1.3}})
    miner = build_miner(config, loss_config(loss))
    assert miner is not None
    a, p, b, n = (column.tolist() for column in miner(embeddings(0), LABELS))
    far, near = set(), set()
    for i in SIZE:
        for j in SIZE:
            if i != j and LABELS[i] == LABELS[j] and gaps()[i][j] > 1.2:
                far.add((i, j))
            if LABELS[i] != LABELS[j] and gaps()[i][j] < 1.3:
                near.add((i, j))
    assert set(zip(a, p, strict=True)) == far
    assert set(zip(b, n, strict=True)) == near


def test_batch_easy_hard_takes_the_nearest_positive_and_the_nearest_negative() -> None:
    expected = set()
    for a in SIZE:
        near = {b: gaps()[a][b] for b in SIZE if b != a}
        positive = min((b for b in near if LABELS[b] == LABELS[a]), key=near.__getitem__)
        negative = min((b for b in near if LABELS[b] != LABELS[a]), key=near.__getitem__)
        expected.add((a, positive, negative))
    found = mine("batch_easy_hard", positives="easy", negatives="hard")
    assert {(a, p, n) for a, p, _, n in found} == expected


def test_hdc_keeps_the_hardest_share() -> None:
    config = MinerConfig.model_validate({"name": "hdc", "hdc": {"share": 0.25}})
    miner = build_miner(config, loss_config("triplet_margin"))
    assert miner is not None
    a, p, b, n = (column.tolist() for column in miner(embeddings(0), LABELS))
    positives = sorted((gaps()[i][j] for i in SIZE for j in SIZE if i != j and LABELS[i] == LABELS[j]), reverse=True)
    negatives = sorted(gaps()[i][j] for i in SIZE for j in SIZE if LABELS[i] != LABELS[j])
    assert sorted((gaps()[i][j] for i, j in zip(a, p, strict=True)), reverse=True) == pytest.approx(positives[:5])
    assert sorted(gaps()[i][j] for i, j in zip(b, n, strict=True)) == pytest.approx(negatives[:14])


@pytest.mark.parametrize("name", ["angular", "distance_weighted"])
def test_miners_by_euclidean_distance_are_so_before_a_loss_by_cosines(name: str) -> None:
    assert MinerConfig.model_validate({"name": name}).compares_by(loss_config("multi_similarity")) == "l2"
    with pytest.raises(ValidationError, match="does not support distance 'cosine', only 'l2'"):
        MinerConfig.model_validate({"name": name, "distance": "cosine"})


def test_distance_weighting_finds_negatives_in_many_dimensions() -> None:
    # Points of a plane in 512 dimensions: the library's weights of all pairs within the cutoff underflow.
    angles = torch.arange(len(LABELS)) * 0.7
    points = torch.stack((angles.cos(), angles.sin()), dim=1).repeat(1, 256)
    torch.manual_seed(0)
    miner = build_miner(MinerConfig(name="distance_weighted"), loss_config("triplet_margin"))
    assert miner is not None
    anchors, _, negatives = miner(points, LABELS)
    assert set(anchors.tolist()) == set(SIZE)
    unit = functional.normalize(points, dim=1)
    assert ((unit[anchors] - unit[negatives]).norm(dim=1) < 1.4).all()


def test_a_miner_may_compare_by_another_distance_than_its_loss() -> None:
    config = MinerConfig.model_validate({"name": "batch_hard", "distance": "l1"})
    assert config.compares_by(loss_config("sup_con")) == "l1"
    assert MinerConfig(name="batch_hard").compares_by(loss_config("sup_con")) == "cosine"
