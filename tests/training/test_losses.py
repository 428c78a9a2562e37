import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sldml.config.loss import LossConfig
from sldml.training.losses import build_loss

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
DIM = 5


def config(name: str, **options: Any) -> LossConfig:
    return LossConfig.model_validate({"name": name, name: options})


def random_embeddings(seed: int = 0) -> Tensor:
    return 3 * torch.randn(len(LABELS), DIM, generator=torch.Generator().manual_seed(seed))


def unit(vectors: Tensor) -> list[list[float]]:
    return [[value / math.hypot(*vector) for value in vector] for vector in vectors.double().tolist()]


def distance(a: list[float], b: list[float]) -> float:
    return math.dist(a, b)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean_of_nonzero(values: list[float]) -> float:
    kept = [value for value in values if value > 0]
    return sum(kept) / len(kept) if kept else 0.0


def naive_triplet_margin(
    points: list[list[float]], labels: list[int], *, margin: float, swap: bool = False, smooth: bool = False
) -> float:
    losses = []
    size = range(len(points))
    for a in size:
        for p in size:
            for n in size:
                if a == p or labels[a] != labels[p] or labels[a] == labels[n]:
                    continue
                negative = distance(points[a], points[n])
                if swap:
                    negative = min(negative, distance(points[p], points[n]))
                violation = distance(points[a], points[p]) - negative + margin
                losses.append(math.log1p(math.exp(violation)) if smooth else max(0.0, violation))
    return mean_of_nonzero(losses)


def naive_contrastive(points: list[list[float]], labels: list[int], *, pos_margin: float, neg_margin: float) -> float:
    positives, negatives = [], []
    size = range(len(points))
    for a in size:
        for b in size:
            if a != b and labels[a] == labels[b]:
                positives.append(max(0.0, distance(points[a], points[b]) - pos_margin))
            if labels[a] != labels[b]:
                negatives.append(max(0.0, neg_margin - distance(points[a], points[b])))
    return mean_of_nonzero(positives) + mean_of_nonzero(negatives)


def naive_multi_similarity(
    points: list[list[float]], labels: list[int], *, alpha: float, beta: float, base: float
) -> float:
    total = 0.0
    size = range(len(points))
    for a in size:
        positive = negative = 1.0
        for b in size:
            similarity = cosine(points[a], points[b])
            if a != b and labels[a] == labels[b]:
                positive += math.exp(-alpha * (similarity - base))
            if labels[a] != labels[b]:
                negative += math.exp(beta * (similarity - base))
        total += math.log(positive) / alpha + math.log(negative) / beta
    return total / len(points)


def naive_sup_con(points: list[list[float]], labels: list[int], *, temperature: float) -> float:
    losses = []
    size = range(len(points))
    for a in size:
        others = [b for b in size if b != a]
        total = sum(math.exp(cosine(points[a], points[b]) / temperature) for b in others)
        terms = [cosine(points[a], points[p]) / temperature - math.log(total) for p in others if labels[p] == labels[a]]
        losses.append(-sum(terms) / len(terms))
    return mean_of_nonzero(losses)


def naive_nt_xent(points: list[list[float]], labels: list[int], *, temperature: float) -> float:
    losses = []
    size = range(len(points))
    for a in size:
        negative = sum(math.exp(cosine(points[a], points[n]) / temperature) for n in size if labels[n] != labels[a])
        for p in size:
            if p != a and labels[p] == labels[a]:
                positive = math.exp(cosine(points[a], points[p]) / temperature)
                losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses)


def naive_nca(points: list[list[float]], labels: list[int], *, softmax_scale: float) -> float:
    losses = []
    size = range(len(points))
    for a in size:
        scores = {b: -softmax_scale * distance(points[a], points[b]) ** 2 for b in size if b != a}
        top = max(scores[b] for b in scores if labels[b] == labels[a])
        own = sum(math.exp(scores[b] - top) for b in scores if labels[b] == labels[a])
        losses.append(math.log(sum(math.exp(score - top) for score in scores.values()) / own))
    return sum(losses) / len(losses)


def naive_dynamic_soft_margin(points: list[list[float]], labels: list[int], *, num_bins: int) -> float:
    size = range(len(points))
    differences = [
        distance(points[a], points[p]) - distance(points[a], points[n])
        for a in size
        for p in size
        for n in size
        if a != p and labels[a] == labels[p] != labels[n]
    ]
    # Differences are from -2 to 2; one within the last bin counts as at its lower end.
    places = [min((difference + 2) * num_bins / 4, num_bins - 1) for difference in differences]
    histogram = [0.0] * num_bins
    for place in places:
        lower = int(place)
        histogram[lower] += 1 - (place - lower)
        histogram[min(lower + 1, num_bins - 1)] += place - lower
    share_below = [sum(histogram[: int(place) + 1]) / len(places) for place in places]
    return sum(share * difference for share, difference in zip(share_below, differences, strict=True)) / len(places)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "naive", "options"),
    [
        ("triplet_margin", naive_triplet_margin, {"margin": 0.2}),
        ("triplet_margin", naive_triplet_margin, {"margin": 0.05, "swap": True}),
        ("triplet_margin", naive_triplet_margin, {"margin": 0.5, "smooth": True}),
        ("contrastive", naive_contrastive, {"pos_margin": 0.0, "neg_margin": 1.0}),
        ("contrastive", naive_contrastive, {"pos_margin": 0.4, "neg_margin": 1.7}),
        ("multi_similarity", naive_multi_similarity, {"alpha": 2.0, "beta": 50.0, "base": 0.5}),
        ("multi_similarity", naive_multi_similarity, {"alpha": 0.7, "beta": 11.0, "base": -0.2}),
        ("sup_con", naive_sup_con, {"temperature": 0.1}),
        ("sup_con", naive_sup_con, {"temperature": 1.3}),
        ("nt_xent", naive_nt_xent, {"temperature": 0.2}),
        ("nca", naive_nca, {"softmax_scale": 10.0}),
        ("nca", naive_nca, {"softmax_scale": 200.0}),
        ("dynamic_soft_margin", naive_dynamic_soft_margin, {"num_bins": 2}),
        ("dynamic_soft_margin", naive_dynamic_soft_margin, {"num_bins": 40}),
    ],
)
def test_values_equal_a_naive_loop(name: str, naive: Callable[..., float], options: dict[str, Any], seed: int) -> None:
    embeddings = random_embeddings(seed)
    loss = build_loss(config(name, **options), 4, DIM)(embeddings, LABELS)
    assert loss.item() == pytest.approx(naive(unit(embeddings), LABELS.tolist(), **options), rel=1e-4)


def test_triplet_margin_by_hand() -> None:
    # On the circle: 0° and 90° are one class, 180° the other. Seen from 0° the negative is farther by
    # 2 - sqrt(2) > 0.2; seen from 90° both are sqrt(2) away and the whole margin is missing.
    embeddings = torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0]])
    loss = build_loss(config("triplet_margin", margin=0.2), 2, 2)(embeddings, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(0.2, rel=1e-4)


def test_contrastive_by_hand() -> None:
    # 60° apart is a distance of 1, 90° of sqrt(2): the positive pair costs 1, the negatives 1.5 minus that.
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 150.0]))
    embeddings = torch.stack((angles.cos(), angles.sin()), dim=1)
    options = {"pos_margin": 0.0, "neg_margin": 1.5}
    loss = build_loss(config("contrastive", **options), 2, 2)(embeddings, torch.tensor([0, 0, 1]))
    # The pair 0°, 150° is farther than the margin and does not count.
    assert loss.item() == pytest.approx(1.0 + 1.5 - math.sqrt(2), rel=1e-4)


def test_the_margin_of_arcface_is_in_degrees() -> None:
    loss = build_loss(config("arcface", margin_deg=30.0, scale=4.0), 2, 2)
    with torch.no_grad():
        loss.W.copy_(torch.eye(2))
    # 40° from its own class, 50° from the other.
    angle = math.radians(40.0)
    embeddings = torch.tensor([[3 * math.cos(angle), 3 * math.sin(angle)]])
    own, other = math.exp(4 * math.cos(math.radians(70.0))), math.exp(4 * math.cos(math.radians(50.0)))
    value = loss(embeddings, torch.tensor([0])).item()
    assert value == pytest.approx(-math.log(own / (own + other)), rel=1e-4)


def test_proxy_anchor_equals_a_naive_loop() -> None:
    margin, alpha = 0.2, 8.0
    loss = build_loss(config("proxy_anchor", margin=margin, alpha=alpha), 5, DIM)  # class 4 has no sample
    embeddings = random_embeddings()
    points, proxies = unit(embeddings), unit(loss.proxies.detach())
    positive = negative = 0.0
    for proxy_label, proxy in enumerate(proxies):
        attract = repel = 1.0
        for point, label in zip(points, LABELS.tolist(), strict=True):
            if label == proxy_label:
                attract += math.exp(-alpha * (cosine(point, proxy) - margin))
            else:
                repel += math.exp(alpha * (cosine(point, proxy) + margin))
        positive += math.log(attract) / 4
        negative += math.log(repel) / 5
    assert loss(embeddings, LABELS).item() == pytest.approx(positive + negative, rel=1e-4)


@pytest.mark.parametrize(
    "name", [n for n in LossConfig.names() if n not in ("cross_entropy", "sphereface", "large_margin_softmax")]
)
def test_embeddings_need_not_be_normalised(name: str) -> None:
    torch.manual_seed(0)
    loss = build_loss(LossConfig.model_validate({"name": name}), 4, DIM)
    embeddings = random_embeddings()
    normalised = loss(functional.normalize(embeddings), LABELS)
    torch.testing.assert_close(loss(7 * embeddings, LABELS), normalised, rtol=1e-4, atol=1e-5)
