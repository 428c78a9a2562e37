from collections.abc import Sequence

import faiss
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from sldml.journal import ConfusionMatrix
from sldml.recognition import one_shot as oneshot
from sldml.recognition.one_shot import (
    Predictions,
    confusion,
    exemplar_draws,
    map_at_r,
    map_at_r_distances,
    mean_ci95,
    nearest,
    paired_ci95,
    per_class_accuracy,
    score_distances,
    score_embeddings,
    score_predictions,
)

Labels = NDArray[np.int64]


def random_labels(num_classes: int, most: int, seed: int) -> Labels:
    """Every class at least twice, in any order."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), rng.integers(2, most + 1, num_classes))
    return rng.permutation(labels).astype(np.int64)


def random_embeddings(count: int, seed: int, dim: int = 6) -> Tensor:
    return 3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def cosine_distances(embeddings: Tensor) -> Tensor:
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    return 1 - unit @ unit.T


def naive_accuracy(distances: Tensor, labels: Labels, draw: Sequence[int]) -> float:
    right = total = 0
    for query in range(len(labels)):
        if query in draw:
            continue
        best = min(range(len(draw)), key=lambda c: float(distances[draw[c], query]))
        right += best == labels[query]
        total += 1
    return right / total


def naive_map_at_r(distances: Tensor, labels: Labels) -> float:
    """Musgrave et al., 2020: mean over queries of 1/R sum of precision at i, i ≤ R, where the i-th is relevant."""
    values = []
    for query in range(len(labels)):
        others = [i for i in range(len(labels)) if i != query]
        others.sort(key=lambda i: float(distances[query, i]))
        r = sum(labels[i] == labels[query] for i in others)
        if r == 0:
            continue
        total = 0.0
        for i in range(1, r + 1):
            if labels[others[i - 1]] == labels[query]:
                total += sum(labels[o] == labels[query] for o in others[:i]) / i
        values.append(total / r)
    return float(np.mean(values)) if values else 0.0


# ----------------------------------------------------------------------------------------------- exemplar draws


def test_draws_take_one_recording_of_each_class() -> None:
    labels = random_labels(5, 8, seed=1)
    draws = exemplar_draws(labels, 200, seed=3)
    assert draws.shape == (200, 5)
    assert (labels[draws] == np.arange(5)).all()
    for c in range(5):  # each recording of a class is drawn
        assert set(draws[:, c]) == set(np.flatnonzero(labels == c))


def test_draws_are_seeded() -> None:
    labels = random_labels(4, 9, seed=0)
    first = exemplar_draws(labels, 50, seed=7)
    np.random.seed(1)  # noqa: NPY002 (nothing global may matter)
    assert np.array_equal(exemplar_draws(labels, 50, seed=7), first)
    assert not np.array_equal(exemplar_draws(labels, 50, seed=8), first)


def test_a_class_without_recordings_is_refused() -> None:
    with pytest.raises(ValueError, match="class 1 has no recording"):
        exemplar_draws(np.array([0, 0, 2]), 3, seed=0)


# ---------------------------------------------------------------------------------------------------- accuracy


def test_accuracy_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    distances = torch.tensor(
        [
            [0.0, 1.0, 5.0, 5.0],  # exemplar 0 is nearer to 1 than exemplar 2
            [1.0, 0.0, 1.0, 1.0],  # exemplar 1 is nearer to 3 than exemplar 2
            [5.0, 5.0, 0.0, 2.0],
            [5.0, 5.0, 2.0, 0.0],
        ]
    )
    result = score_distances(distances, labels, np.array([[0, 2], [1, 2], [1, 3]]))
    assert result.per_draw.tolist() == [1.0, 0.5, 0.5]
    assert result.mean == pytest.approx(2 / 3)
    assert result.std == pytest.approx(np.sqrt(1 / 18))
    # Draws (0, 2), (1, 2), (1, 3): of class 0 queries 1, 0, 0 and of class 1 queries 3, 3, 2 are asked.
    assert result.right.tolist() == pytest.approx([1.0, 1 / 3])
    assert result.queries.tolist() == [1, 1]


def test_of_equally_near_exemplars_the_first_class_wins() -> None:
    labels = np.array([0, 1, 0, 1])
    assert score_distances(torch.ones(4, 4), labels, np.array([[0, 1]])).mean == 0.5
    assert score_distances(torch.ones(4, 4), np.array([0, 1, 0, 0]), np.array([[0, 1]])).mean == 1.0


@settings(max_examples=40, deadline=None)
@given(num_classes=st.integers(2, 6), most=st.integers(2, 7), seed=st.integers(0, 2**16))
def test_accuracy_is_that_of_naive_loops(num_classes: int, most: int, seed: int) -> None:
    labels = random_labels(num_classes, most, seed)
    distances = torch.rand(len(labels), len(labels), generator=torch.Generator().manual_seed(seed))
    draws = exemplar_draws(labels, 5, seed)
    result = score_distances(distances, labels, draws)
    expected = [naive_accuracy(distances, labels, draw.tolist()) for draw in draws]
    assert result.per_draw.tolist() == pytest.approx(expected)
    assert result.mean == pytest.approx(np.mean(expected))
    assert result.std == pytest.approx(np.std(expected))


@pytest.mark.parametrize("at_once", [1, 200, 2**26])
def test_embeddings_score_as_their_cosine_distances(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneshot, "_ELEMENTS_AT_ONCE", at_once)
    labels = random_labels(4, 9, seed=2)
    embeddings = random_embeddings(len(labels), seed=2)
    draws = exemplar_draws(labels, 30, seed=0)
    by_embeddings = score_embeddings(embeddings, labels, draws)
    by_distances = score_distances(cosine_distances(embeddings), labels, draws)
    assert by_embeddings.per_draw.tolist() == by_distances.per_draw.tolist()
    assert by_embeddings.std > 0
    scaled = embeddings * torch.linspace(0.1, 5.0, len(labels)).unsqueeze(1)  # lengths do not matter to a cosine
    assert score_embeddings(scaled, labels, draws).per_draw.tolist() == by_distances.per_draw.tolist()


# -------------------------------------------------------------------------------------------------------- MAP@R


def test_map_at_r_by_hand() -> None:
    # On a line: 0 0 1 0 1, seen as points far from the origin, so neighbours by angle are neighbours on the line.
    place = torch.tensor([0.0, 1.0, 2.1, 3.3, 4.6]) * 0.01
    embeddings = torch.stack([place.cos(), place.sin()], dim=1)
    labels = np.array([0, 0, 1, 0, 1])
    # Query 0 (R = 2): 1 yes, 2 no       → (1/1) / 2 = 1/2
    # Query 1 (R = 2): 0 yes, 2 no       → 1/2
    # Query 2 (R = 1): 1 no              → 0
    # Query 3 (R = 2): 2 no, 4 no        → 0
    # Query 4 (R = 1): 3 no              → 0
    assert map_at_r(embeddings, labels) == pytest.approx(1 / 5)
    # 0 0 0 1 1: query 2 finds 1, then 3 (1/2), and query 3 finds 2 (0).
    assert map_at_r(embeddings, np.array([0, 0, 0, 1, 1])) == pytest.approx((1 + 1 + 1 / 2 + 0 + 1) / 5)


def test_a_late_hit_counts_by_its_precision() -> None:
    distances = torch.tensor([[0.0, 1.0, 2.0, 9.0], [1.0, 0.0, 2.0, 3.0], [2.0, 1.0, 0.0, 3.0], [9.0, 8.0, 7.0, 0.0]])
    # Class 0 is {0, 2, 3}. Query 0: 1 no, 2 yes → (1/2) / 2. Query 2: 1 no, 0 yes → 1/4. Query 3: 2 yes, 1 no → 1/2.
    # Class 1 is {1}, alone: not counted.
    assert map_at_r_distances(distances, np.array([0, 1, 0, 0])) == pytest.approx((0.25 + 0.25 + 0.5) / 3)


def test_recordings_alone_in_their_class_do_not_count() -> None:
    assert map_at_r(random_embeddings(3, seed=0), np.array([0, 1, 2])) == 0.0
    # Recording 2 is alone: it is not asked for its neighbours, but it is one, and the nearest of 1.
    distances = torch.tensor([[0.0, 0.5, 2.0], [1.0, 0.0, 0.5], [2.0, 0.5, 0.0]])
    assert map_at_r_distances(distances, np.array([0, 0, 1])) == pytest.approx((1 + 0) / 2)


def test_a_recording_farther_from_itself_than_its_neighbours_loses_the_last_of_them() -> None:
    # By rounding, say. Of 0's list (1, 2) its own R = 1 nearest is 1.
    distances = torch.tensor([[0.5, 0.1, 0.2], [0.1, 0.0, 0.2], [0.2, 0.2, 0.0]])
    assert map_at_r_distances(distances, np.array([0, 0, 1])) == 1.0


@settings(max_examples=60, deadline=None)
@given(num_classes=st.integers(1, 6), most=st.integers(2, 7), alone=st.integers(0, 2), seed=st.integers(0, 2**16))
def test_map_at_r_is_the_naive_one(num_classes: int, most: int, alone: int, seed: int) -> None:
    labels = np.concatenate([random_labels(num_classes, most, seed), num_classes + np.arange(alone)])
    embeddings = random_embeddings(len(labels), seed)
    distances = cosine_distances(embeddings)
    expected = naive_map_at_r(distances, labels)
    assert map_at_r(embeddings, labels) == pytest.approx(expected, abs=1e-6)
    assert map_at_r_distances(distances, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("copies", [2, 4, 7])
def test_duplicates_do_not_count_a_recording_as_its_own_neighbour(copies: int) -> None:
    """All copies of a recording are equally near; those of the same class are all hits, whichever comes first."""
    base = random_embeddings(4, seed=3)
    embeddings = base.repeat_interleave(copies, dim=0)
    labels = np.repeat(np.arange(4), copies)
    assert map_at_r(embeddings, labels) == pytest.approx(1.0)
    distances = cosine_distances(embeddings).round(decimals=4)
    assert map_at_r_distances(distances, labels) == pytest.approx(1.0)
    # Two copies of different classes: of R = 3 neighbours the nearest is never right.
    assert map_at_r(base.repeat_interleave(2, dim=0), np.tile([0, 1], 4)) <= (1 / 2 + 2 / 3) / 3 + 1e-6


def test_a_recording_that_its_duplicates_push_out_of_its_own_list() -> None:
    embeddings = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]])
    labels = np.array([1, 1, 1, 1, 1, 0, 0])
    # Class 1 (R = 4): among four of the five copies the stranger is at worst the first. Class 0 (R = 1): 5 finds a
    # copy of class 1; 6 is as far from all others and may find 5.
    worst = (1 / 2 + 2 / 3 + 3 / 4) / 4
    assert 5 / 7 * worst - 1e-6 <= map_at_r(embeddings, labels) <= (5 + 1) / 7 + 1e-6


# ------------------------------------------------------------------------------------------------------ nearest


@pytest.mark.parametrize("count", [1, 3, 10])
def test_faiss_and_the_exact_product_agree(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = random_embeddings(37, seed=1, dim=16), random_embeddings(300, seed=2, dim=16)
    exact = nearest(queries, references, count)
    calls = []
    index = faiss.IndexFlatIP
    monkeypatch.setattr(faiss, "IndexFlatIP", lambda dim: calls.append(dim) or index(dim))
    monkeypatch.setattr(oneshot, "_FAISS_FROM", 300)
    by_faiss = nearest(queries, references, count)
    assert calls == [16]
    assert torch.equal(exact[1], by_faiss[1])
    assert torch.allclose(exact[0], by_faiss[0], atol=1e-5)
    unit_queries, unit_references = (torch.nn.functional.normalize(x, dim=1) for x in (queries, references))
    expected = (1 - unit_queries @ unit_references.T).sort(dim=1)
    assert torch.equal(exact[1], expected.indices[:, :count])
    assert torch.allclose(exact[0], expected.values[:, :count], atol=1e-5)


def test_nearest_in_pieces_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = random_embeddings(37, seed=1), random_embeddings(50, seed=2)
    whole = nearest(queries, references, 5)
    monkeypatch.setattr(oneshot, "_ELEMENTS_AT_ONCE", 100)
    pieces = nearest(queries, references, 5)
    assert torch.equal(whole[1], pieces[1])
    assert torch.allclose(whole[0], pieces[0], atol=1e-6)


def test_map_at_r_by_faiss_is_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = random_labels(12, 9, seed=5)
    embeddings = random_embeddings(len(labels), seed=5)
    exact = map_at_r(embeddings, labels)
    monkeypatch.setattr(oneshot, "_FAISS_FROM", 1)
    assert map_at_r(embeddings, labels) == pytest.approx(exact, abs=1e-9)
    assert 0 < exact < 1


def test_inference_tensors_reach_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneshot, "_FAISS_FROM", 1)
    with torch.inference_mode():
        embeddings = random_embeddings(8, seed=0) * 2
    assert 0 <= map_at_r(embeddings, np.array([0, 0, 1, 1, 2, 2, 3, 3])) <= 1


# ------------------------------------------------------------------------------------- confusion and intervals


def test_confusion_by_hand() -> None:
    matrix = confusion(np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 2, 1, 0, 3]), 4)
    assert matrix.tolist() == [[2, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    share = per_class_accuracy(matrix)
    assert share[[0, 1, 3]].tolist() == pytest.approx([2 / 3, 1 / 2, 1.0])
    assert np.isnan(share[2])


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=9))
def test_the_interval_is_scipys_cut_to_fractions(values: list[float]) -> None:
    mean, (low, high) = mean_ci95(values)
    assert mean == pytest.approx(np.mean(values))
    error = float(scipy.stats.sem(values))
    if error < 1e-12:
        assert (low, high) == pytest.approx((mean, mean), abs=1e-9)
        return
    expected = scipy.stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
    assert (low, high) == pytest.approx((max(0.0, expected[0]), min(1.0, expected[1])))


def test_the_interval_by_hand() -> None:
    # Mean .5, standard error .1 / sqrt(3), Student's t for two degrees of freedom 4.30265.
    mean, (low, high) = mean_ci95([0.4, 0.5, 0.6])
    assert mean == pytest.approx(0.5)
    assert high - mean == pytest.approx(4.30265 * 0.1 / 3**0.5, abs=1e-5)
    assert mean - low == pytest.approx(high - mean)


def test_the_paired_interval_by_hand() -> None:
    # Differences .2, .1, .3: mean .2, standard deviation .1, Student's t for two degrees of freedom 4.30265.
    mean, (low, high) = paired_ci95([0.8, 0.5, 0.9], [0.6, 0.4, 0.6])
    assert mean == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.2 - 0.248413, 0.2 + 0.248413), abs=1e-5)
    # The same six accuracies in other pairs: differences -.1, .3, .4.
    mean, (low, high) = paired_ci95([0.5, 0.9, 0.8], [0.6, 0.6, 0.4])
    assert mean == pytest.approx(0.2)
    assert high - mean == pytest.approx(4.30265 * 0.264575 / 3**0.5, abs=1e-5)


def test_what_is_hard_for_both_does_not_widen_the_paired_interval() -> None:
    hard = np.array([0.2, 0.5, 0.9, 0.4, 0.7])
    mean, (low, high) = paired_ci95((hard + 0.05).tolist(), hard.tolist())
    assert (mean, low, high) == pytest.approx((0.05, 0.05, 0.05))
    assert paired_ci95([1.0, 0.0], [0.0, 1.0]) == (0.0, (-1.0, 1.0))  # cut: differences of accuracies go no further
    assert paired_ci95([0.9], [0.1]) == (pytest.approx(0.8), (-1.0, 1.0))
    with pytest.raises(ValueError, match="zip"):
        paired_ci95([0.1, 0.2], [0.1])


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)), min_size=2, max_size=9))
def test_the_paired_interval_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    mean, (low, high) = paired_ci95(first, second)
    if np.std(np.subtract(first, second)) < 1e-9:
        assert (low, high) == pytest.approx((mean, mean), abs=1e-6)
        return
    expected = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (low, high) == pytest.approx((max(-1.0, expected.low), min(1.0, expected.high)))


def test_one_value_says_nothing_of_its_spread() -> None:
    assert mean_ci95([0.75]) == (0.75, (0.0, 1.0))


def test_predictions_as_plain_values() -> None:
    truth, predicted = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 2, 1, 1, 0, 0])
    assert score_predictions(truth, predicted, ("wave", "clap", "jump")) == Predictions(
        accuracy=5 / 8,
        confusion=ConfusionMatrix(labels=["wave", "clap", "jump"], matrix=[[3, 0, 1], [2, 2, 0], [0, 0, 0]]),
        per_class={"wave": 0.75, "clap": 0.5},  # a class without queries has no accuracy
    )
