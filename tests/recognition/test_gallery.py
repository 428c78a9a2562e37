"""What is enrolled: nearest and second-nearest action, the same by faiss, by matrices, and by naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig
from sldml.recognition import gallery as module
from sldml.recognition.gallery import Gallery
from sldml.recognition.matching import Matching
from sldml.recordings import Layout

LAYOUT = Layout(None, 0, {"sensor": 1.0})
PLAIN = Matching("encoder", LAYOUT, NormalizeConfig())


def unit(count: int, dim: int, seed: int) -> torch.Tensor:
    points = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(points, dim=1)


@pytest.mark.parametrize("largest_action", [1, 40])
def test_faiss_answers_as_the_product_does_and_as_naive_loops_do(largest_action: int, monkeypatch) -> None:
    exemplars, queries = unit(1200, 16, 0), unit(50, 16, 1)
    rng = np.random.default_rng(2)
    labels = [f"c{number:04d}" for number in rng.permutation(1200)]
    labels[:largest_action] = ["all one"] * largest_action
    large = Gallery(PLAIN, (exemplars,), labels)
    assert large.uses_faiss
    found = large.nearest((queries,))
    monkeypatch.setattr(module, "FAISS_FROM", 10_000)
    assert not large.uses_faiss
    exact = large.nearest((queries,))
    assert found.action.tolist() == exact.action.tolist()
    assert found.distance == pytest.approx(exact.distance, abs=1e-6)
    assert found.second == pytest.approx(exact.second, abs=1e-6)
    for query in range(5):
        distance = {}
        for label, exemplar in zip(labels, exemplars, strict=True):
            d = 1.0 - float(exemplar @ queries[query])
            distance[label] = min(d, distance.get(label, 9.0))
        (first, nearest), (_, second) = sorted(distance.items(), key=lambda pair: pair[1])[:2]
        assert large.actions[found.action[query]] == first
        assert (found.distance[query], found.second[query]) == pytest.approx((nearest, second), abs=1e-5)


def test_equally_near_actions_are_told_apart_by_name_in_both_ways(monkeypatch) -> None:
    exemplars = unit(1000, 4, 0)
    exemplars[7] = exemplars[3]
    labels = [f"c{number:04d}" for number in range(1000)]
    labels[3], labels[7] = "z", "a"
    query = exemplars[3:4]
    for limit in (1, 10_000):
        monkeypatch.setattr(module, "FAISS_FROM", limit)
        both = Gallery(PLAIN, (exemplars,), labels)
        found = both.nearest((query,))
        assert both.actions[found.action[0]] == "a"
        assert (found.distance[0], found.second[0]) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_only_plain_embeddings_are_searched_with_faiss() -> None:
    labels = [str(number) for number in range(1000)]
    assert Gallery(PLAIN, (unit(1000, 4, 0),), labels).uses_faiss
    assert not Gallery(PLAIN, (unit(999, 4, 0),), labels[:-1]).uses_faiss
    blended = Matching("encoder", LAYOUT, NormalizeConfig(), matcher=MatcherConfig(raw_weight=0.5))
    assert not Gallery(blended, (unit(1000, 4, 0), unit(1000, 4, 1)), labels).uses_faiss
    raw = Matching("raw_1nn", LAYOUT, NormalizeConfig())
    assert not Gallery(raw, (torch.zeros(1000, 32, 3),), labels).uses_faiss


def test_a_gallery_grows_into_another_one() -> None:
    small = Gallery(PLAIN, (unit(2, 4, 0),), ["b", "a"])
    grown = small.plus((unit(1, 4, 5),), ["c"])
    assert (len(small), small.actions) == (2, ("a", "b"))
    assert (len(grown), grown.actions) == (3, ("a", "b", "c"))
    found = grown.nearest((unit(1, 4, 5),))
    assert (grown.actions[found.action[0]], found.distance[0]) == ("c", pytest.approx(0.0, abs=1e-6))


def test_a_single_action_has_no_second() -> None:
    found = Gallery(PLAIN, (unit(3, 4, 0),), ["a"] * 3).nearest((unit(2, 4, 1),))
    assert np.isinf(found.second).all()
