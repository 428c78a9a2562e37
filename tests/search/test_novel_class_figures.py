"""The map of the sealed test and the worst confusions, from distances made by hand and from a real way of matching."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.small import frames_of, subset_of

from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.images import represent
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Sealed, Split
from sldml.recognition.matching import Matching
from sldml.recordings import Layout
from sldml.search.final import predict
from sldml.search.novel_class_figures import (
    MAX_PAIRS,
    confused_pairs,
    embedding_map,
    model_input,
    png,
    project,
    worst_pairs,
)

SENSOR = Layout(None, 0, {"sensor": 1.0})


def opened(text: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True))).convert("RGB"))


@pytest.fixture
def sensors() -> tuple[Matching, View, View]:
    """Three classes of one sensor that stands still at 0, 1 and 8: raw distances are known to the last digit."""
    labels = [0, 1, 2, 0, 0, 1, 1, 2]
    at = [0.0, 1.0, 8.0, 0.25, 0.75, 0.875, 0.625, 0.25]
    values = [np.full((4, 1, 3), value, dtype=np.float32) for value in at]
    everything = subset_of(labels, [4] * 8)
    view = View(frames_of(values, SENSOR), everything)
    matching = Matching("raw_1nn", SENSOR, NormalizeConfig(sensors="none"))
    return matching, view.take(np.arange(3)), view.take(np.arange(3, 8))


def test_confused_pairs_show_the_query_nearest_to_the_wrong_exemplar(sensors: tuple[Matching, View, View]) -> None:
    matching, exemplars, queries = sensors
    distances = matching.between(exemplars, queries).numpy()
    predicted = np.array([1, 1, 1, 1, 0])  # the first class has two misnamed queries, at .25 and .75
    sealed = Sealed(exemplars.subset, queries.subset)
    assert predict(matching, sealed, queries.frames).tolist() == [0, 1, 1, 1, 0]
    pairs = confused_pairs(matching, exemplars, queries, distances, predicted)
    assert [(p.true, p.named, p.count, p.total) for p in pairs] == [
        ("class 0", "class 1", 2, 2),
        ("class 2", "class 0", 1, 1),
    ]
    assert [image.what for image in pairs[0].images] == [
        "query recording 4",
        "exemplar of class 0",
        "exemplar of class 1",
    ]
    assert pairs[1].images[0].what == "query recording 7"
    for pair in pairs:
        assert all(opened(image.png).shape[2] == 3 for image in pair.images)


def test_the_worst_pairs_come_first_and_rightly_named_are_none() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1])
    assert worst_pairs(truth, predicted, 3) == [(2, 0, 3), (0, 1, 2), (1, 0, 1), (2, 1, 1)]
    assert worst_pairs(truth, predicted, 3, most=2) == [(2, 0, 3), (0, 1, 2)]
    assert worst_pairs(truth, truth, 3) == []


def test_the_map_has_exemplars_queries_and_what_they_were_named(sensors: tuple[Matching, View, View]) -> None:
    matching, exemplars, queries = sensors
    found = embedding_map(matching, exemplars, queries, np.array([0, 1, 1, 1, 0]))
    told = [(p.name, p.label, p.exemplar, p.named) for p in found.points]
    assert told[:4] == [
        ("recording 0", "class 0", True, None),
        ("recording 1", "class 1", True, None),
        ("recording 2", "class 2", True, None),
        ("recording 3", "class 0", False, "class 0"),
    ]
    assert told[-1] == ("recording 7", "class 2", False, "class 0")
    assert "queries" not in found.method


def test_points_far_apart_stay_far_apart_and_always_in_the_same_places() -> None:
    rng = np.random.default_rng(0)
    centre = np.repeat(np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0]]), 30, axis=0)
    points = centre + rng.normal(size=(90, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2).astype(np.float32)
    places = project(distances)
    assert places.shape == (90, 2)
    assert np.array_equal(places, project(distances))
    nearest = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(90)
    assert (nearest.argmin(axis=1) // 30 == np.arange(90) // 30).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_a_few_points_and_equal_ones_have_places(count: int) -> None:
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(np.float32)
    for distances in (apart, np.zeros((count, count), np.float32), apart - 1e-4):
        places = project(distances)
        assert places.shape == (count, 2)
        assert np.isfinite(places).all()
    if count == 3:  # classical scaling keeps distances as they are
        assert np.linalg.norm(project(apart)[0] - project(apart)[2]) == pytest.approx(2.0, abs=1e-4)


def test_of_many_queries_a_part_is_shown_evenly_from_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sldml.search.novel_class_figures.MAX_POINTS", 100)
    count = 300
    labels = [0, 1, *([0] * (count // 2)), *([1] * (count // 2))]
    everything = subset_of(labels, [2] * len(labels))
    values = [np.full((2, 1, 3), label + i / 5000, dtype=np.float32) for i, label in enumerate(labels)]
    view = View(frames_of(values, SENSOR), everything)
    exemplars, queries = view.take(np.arange(2)), view.take(np.arange(2, len(labels)))
    matching = Matching("raw_1nn", SENSOR, NormalizeConfig(sensors="none"))
    found = embedding_map(matching, exemplars, queries, queries.labels)
    assert len(found.points) == 100
    assert f"98 of {count} queries, evenly from all classes" in found.method
    assert sum(point.label == "class 0" for point in found.points) == 50


def test_a_picture_is_what_the_encoder_sees(made_set: PreparedSet, made_split: Split, made_frames: Frames) -> None:
    one = View(made_frames, made_split.sealed.queries.take(np.array([3])))
    for representation in (RepresentationConfig(steps=32), RepresentationConfig(name="reindexed", steps=33)):
        matching = Matching("encoder", made_set.layout, NormalizeConfig(scale="none", center="none"), representation)
        seen = model_input(matching, one)
        image = (
            represent(one.resampled(representation.steps), representation, made_set.layout)[0].round().byte().numpy()
        )
        assert np.array_equal(seen, image.transpose(1, 2, 0))
    dtw = model_input(Matching("dtw_1nn", made_set.layout, NormalizeConfig()), one)
    assert dtw.shape == (made_set.layout.num_rows, 64, 3)


@pytest.mark.parametrize("size", [(20, 64), (3, 300), (256, 256), (600, 40)])
def test_a_png_is_small_and_large_enough_to_see(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    text = png(noise)
    assert len(text) < 11_000
    assert min(opened(text).shape[:2]) >= 40
    flat = np.zeros((*size, 3), np.uint8)
    flat[: size[0] // 2] = (200, 10, 30)
    shown = opened(png(flat))
    assert max(shown.shape) <= 256
    assert shown[0, 0].tolist() == [200, 10, 30]
    assert shown[-1, -1].tolist() == [0, 0, 0]


def test_figures_are_json_and_small(made_set: PreparedSet, made_split: Split, made_frames: Frames) -> None:
    matching = Matching("raw_1nn", made_set.layout, NormalizeConfig())
    exemplars, queries = (View(made_frames, side) for side in (made_split.sealed.exemplars, made_split.sealed.queries))
    distances = matching.between(exemplars, queries).numpy()
    predicted = exemplars.labels[distances.argmin(axis=0)]
    shown = embedding_map(matching, exemplars, queries, predicted)
    confused = confused_pairs(matching, exemplars, queries, distances, predicted)
    assert len(shown.model_dump_json()) + sum(len(pair.model_dump_json()) for pair in confused) < 400_000
    assert len(shown.points) == len(queries) + len(exemplars)
    named = [p.named for p in shown.points if not p.exemplar]
    assert named == [exemplars.classes[c] for c in predicted]
    assert 0 < len(confused) <= MAX_PAIRS
    counts = [pair.count for pair in confused]
    assert counts == sorted(counts, reverse=True)
