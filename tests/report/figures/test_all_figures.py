"""What holds of every figure."""

from __future__ import annotations

from support.made_history import HOSTILE, made_history

from sldml.report.figures import choice_map, embedding_map, parallel_coordinates, slices
from sldml.report.importance import Importance


def test_labels_in_every_picture_are_letters() -> None:
    history = made_history(12, labels=HOSTILE)
    for number, trial in enumerate(history.trials.values()):
        trial.params["<b>x</b>.name"] = HOSTILE[number % 2]
    importance = Importance({"<b>x</b>.name": 1.0}, "")
    for draw in (choice_map, slices, parallel_coordinates):
        figure = draw(history, importance)
        assert figure
        text = figure.figure.to_json()
        for tag in ("<b>x", "\\u003cb\\u003ex", "<script", "\\u003cscript", "<img", "\\u003cimg"):
            assert tag not in text, (draw.__name__, tag)
    drawn = embedding_map(history)
    assert drawn
    assert "<a href" not in drawn.figure.to_json()
    assert "\\u003ca href" not in drawn.figure.to_json()
