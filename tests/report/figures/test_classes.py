"""The map of embeddings: exemplars, and queries that were recognised or not."""

from __future__ import annotations

from sldml.journal import EmbeddingMap, History, MapPoint, TestResults
from sldml.report.figures import embedding_map


def test_the_map_tells_exemplars_and_misnamed_queries_apart() -> None:
    points = [
        MapPoint(name="e1", label="a", x=0.0, y=1.0, exemplar=True, named=None),
        MapPoint(name="e2", label="b", x=5.0, y=6.0, exemplar=True, named=None),
        MapPoint(name="q1", label="a", x=0.5, y=1.5, exemplar=False, named="a"),
        MapPoint(name="q2", label="b", x=4.5, y=5.5, exemplar=False, named="a"),
        MapPoint(name="q3", label="b", x=5.5, y=6.5, exemplar=False, named="b"),
    ]
    found = EmbeddingMap(method="made", points=points)
    history = History(test=TestResults(num_queries=3, num_classes=2, num_exemplars=2, finals=(), embedding_map=found))
    figure = embedding_map(history)
    assert figure
    shown = {trace.name: trace for trace in figure.figure.data if trace.x[0] is not None}
    right, wrong, stars = (shown[n] for n in ("query, correct", "query, wrong", "exemplar of a class"))
    assert (list(right.x), list(wrong.x), list(stars.x)) == ([0.5, 5.5], [4.5], [0.0, 5.0])
    assert wrong.text[0] == "q2: b, recognised as a"
    assert right.marker.symbol != wrong.marker.symbol != stars.marker.symbol
    assert stars.marker.color[1] == right.marker.color[1] == wrong.marker.color[0] != right.marker.color[0]
    assert [annotation.text for annotation in figure.figure.layout.annotations] == ["a", "b"]
    assert "1 of the queries shown (33.3 %) are wrong" in figure.alt
    assert {t.name for t in figure.figure.data if t.x[0] is None} == {
        "query, correct",
        "query, wrong",
        "exemplar",
    }
    assert embedding_map(History()) is None
