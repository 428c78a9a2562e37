"""Pictures of parameters and of the novel classes, against values computed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.made_history import HOSTILE, made_history

from sldml.journal import History, TrialRecord, TrialState
from sldml.report.figures import choice_map, embedding_map, parallel_coordinates, slices
from sldml.report.figures.sampled import log_ticks
from sldml.report.importance import Importance
from sldml.report.leaderboard import MAX_PARAMS, distinguishing_params

UNKNOWN = Importance({}, "")


def history_of(*trials: tuple[float, Mapping[str, Any]], states: tuple[TrialState, ...] = ()) -> History:
    """Trials t0, t1 … with one epoch that had this value."""
    history = History()
    for number, (value, params) in enumerate(trials):
        epochs = [{"epoch": 1, "val/accuracy": value, "val/accuracy_best": value, "time": 2.0}]
        state = states[number] if states else "completed"
        history.trials[f"t{number}"] = TrialRecord(f"t{number}", dict(params), {}, 1.0, state, epochs, ended=3.0)
    return history


# -------------------------------------------------------------------------------------------------- choice map


def loss(name: str, miner: str | None = None, **more: Any) -> dict[str, Any]:
    return {"loss.name": name, **({} if miner is None else {"miner.name": miner}), **more}


def test_loss_and_miner_have_best_median_and_count() -> None:
    history = history_of(
        (0.5, loss("triplet", "hard")),
        (0.8, loss("triplet", "hard")),
        (0.6, loss("triplet", "hard")),
        (0.7, loss("triplet", "none")),
        (0.9, loss("arcface")),
        (0.0, loss("arcface")),  # diverged: the worst value is no value
        states=("pruned", "completed", "completed", "completed", "completed", "diverged"),
    )
    figure = choice_map(history, Importance({"other.name": 1.0}, ""))
    assert figure
    (heat,) = figure.figure.data
    layout = figure.figure.layout
    assert list(layout.yaxis.ticktext) == ["arcface", "triplet"]
    assert list(layout.xaxis.ticktext) == ["hard", "none", "(does not apply)"]
    assert [list(row) for row in heat.z] == [[None, None, 0.9], [0.8, 0.7, None]]
    assert heat.text[1][0] == "<b>80.0 %</b> · median 60.0 %<br>3 trials"
    assert heat.text[0][2] == "<b>90.0 %</b> · median 90.0 %<br>1 trial"
    assert heat.text[0][0] == ""
    assert "triplet × hard<br>best 80.0 %, median 60.0 %<br>2 completed, 1 pruned" in heat.customdata[1][0]
    assert (layout.yaxis.title.text, layout.xaxis.title.text) == ("loss.name", "miner.name")
    assert "90.0 %, has arcface with (does not apply)" in figure.alt


def test_without_a_loss_the_two_most_important_choices_are_mapped() -> None:
    params = [{"a.name": x, "b.name": y, "c.name": z} for x in "pq" for y in "pq" for z in "pq"]
    history = history_of(*((0.5, p) for p in params))
    figure = choice_map(history, Importance({"c.name": 0.6, "b.name": 0.3, "a.name": 0.1}, ""))
    assert figure
    assert (figure.figure.layout.yaxis.title.text, figure.figure.layout.xaxis.title.text) == ("c.name", "b.name")
    assert "2 trials" in figure.figure.data[0].text[0][0]


def test_one_choice_is_one_column_and_none_is_no_map() -> None:
    figure = choice_map(history_of((0.5, {"a.name": "p", "x": 1.0}), (0.6, {"a.name": "q", "x": 2.0})), UNKNOWN)
    assert figure
    assert [list(row) for row in figure.figure.data[0].z] == [[0.5], [0.6]]
    assert choice_map(history_of((0.5, {"x": 1.0}), (0.6, {"x": 2.0})), UNKNOWN) is None
    assert choice_map(History(), UNKNOWN) is None


# ------------------------------------------------------------------------------------------------------ slices


def test_slices_show_numbers_on_scales_and_choices_as_strips() -> None:
    history = history_of(
        (0.5, {"lr": 1e-4, "drop": 0.1, "kind.name": "b"}),
        (0.6, {"lr": 1e-2, "drop": 0.2, "kind.name": "a"}),
        (0.7, {"lr": 1e-3, "drop": 0.3, "kind.name": "b", "only": 3.5}),
        states=("pruned", "completed", "completed"),
    )
    figure = slices(history, Importance({"lr": 0.6, "kind.name": 0.3, "drop": 0.1}, ""))
    assert figure
    assert [a.text for a in figure.figure.layout.annotations] == ["lr", "kind.name", "drop"]  # `only` has one value
    marks = {(trace.xaxis, trace.name): trace for trace in figure.figure.data}
    assert list(marks["x", "completed"].x) == [0.01, 0.001]
    assert list(marks["x", "completed"].y) == [0.6, 0.7]
    assert list(marks["x", "pruned"].x) == [0.0001]
    strip = marks["x2", "completed"]
    assert list(figure.figure.layout.xaxis2.ticktext) == ["a", "b"]
    assert [round(x) for x in strip.x] == [0, 1]
    assert [trace.showlegend for trace in figure.figure.data].count(True) == 2
    assert slices(history_of((0.5, {"lr": 0.1})), UNKNOWN) is None


def test_an_axis_is_logarithmic_where_the_space_samples_so() -> None:
    history = history_of(
        (0.5, {"optimizer.lr": 0.002, "head.weight": 0.001}), (0.6, {"optimizer.lr": 0.004, "head.weight": 0.4})
    )
    text = (
        "data: {dataset: synthetic}\nprotocol: {name: ntu_one_shot}\n"
        "space:\n  optimizer: {lr: {float: [1.0e-3, 1.0e-2], log: true}}\n  head: {weight: {float: [0.0, 0.5]}}\n"
    )
    for given, expected in ((text, {"optimizer.lr"}), ("space: [broken", set())):
        history.search = {"space": {"name": "made", "text": given}}
        figure = slices(history, UNKNOWN)
        assert figure
        titles = [annotation.text for annotation in figure.figure.layout.annotations]
        axes = [figure.figure.layout["xaxis" if place == 0 else f"xaxis{place + 1}"] for place in range(2)]
        assert {title for title, axis in zip(titles, axes, strict=True) if axis.type == "log"} == expected


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-4, 1e-2, [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]),
        (0.05, 0.5, [0.05, 0.1, 0.2, 0.5]),
        (1e-9, 1.0, [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (3.1, 3.2, [3.1, 3.2]),
    ],
)
def test_ticks_of_logarithms_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)


# -------------------------------------------------------------------------------------------------- parallel


def test_every_trial_is_a_line_from_its_parameters_to_its_value() -> None:
    history = history_of(
        (0.4, {"lr": 1.0, "drop": 0.0, "kind.name": "a"}),
        (0.8, {"lr": 3.0, "drop": 1.0, "kind.name": "b"}),
        (0.5, {"lr": 2.0, "kind.name": "a"}),
    )
    figure = parallel_coordinates(history, Importance({"lr": 0.6, "drop": 0.3, "kind.name": 0.1}, ""))
    assert figure
    lines = {trace.customdata[0]: trace for trace in figure.figure.data if trace.customdata}
    assert set(lines) == {"t0, 40.0 %", "t2, 50.0 %", "t1, 80.0 %"}
    assert list(figure.figure.layout.xaxis.ticktext) == ["lr", "drop", "kind<br>name", "<b>validation</b>"]
    first, middle, best = (lines[name] for name in ("t0, 40.0 %", "t2, 50.0 %", "t1, 80.0 %"))
    assert list(first.x[:4]) == [0, 1, 2, 3]
    assert (first.y[0], first.y[1], first.y[3]) == (0, 0, 0)
    assert (best.y[0], best.y[1], best.y[3]) == (1, 1, 1)
    assert (middle.y[0], middle.y[3]) == (0.5, 0.25)
    assert middle.y[1] < 0  # it has no `drop`: below the axis
    assert middle.text[1] == "drop does not apply"
    assert 0 < first.y[2] < 0.5 < best.y[2] < 1
    assert "does not apply" in figure.caption
    assert best.line.width > middle.line.width > first.line.width
    assert figure.figure.data[-2].name == "hovered" or any(t.name == "hovered" for t in figure.figure.data)
    assert parallel_coordinates(history_of((0.5, {"lr": 1.0, "x": 1})), UNKNOWN) is None


def test_of_many_parameters_the_important_ones_and_the_choices_have_axes() -> None:
    params = [{f"p{i}": float(i + k) for i in range(20)} | {"loss.name": "ab"[k]} for k in range(2)]
    figure = parallel_coordinates(
        history_of(*((0.5 + k / 10, p) for k, p in enumerate(params))),
        Importance({f"p{i}": 0.05 for i in range(20)}, ""),
    )
    assert figure
    axes = list(figure.figure.layout.xaxis.ticktext)
    assert len(axes) == 10
    assert "loss<br>name" in axes


# ------------------------------------------------------------------------------------------------------ the map


def test_the_map_tells_exemplars_and_misnamed_queries_apart() -> None:
    points = [
        {"name": "e1", "label": "a", "x": 0.0, "y": 1.0, "exemplar": True, "named": None},
        {"name": "e2", "label": "b", "x": 5.0, "y": 6.0, "exemplar": True, "named": None},
        {"name": "q1", "label": "a", "x": 0.5, "y": 1.5, "exemplar": False, "named": "a"},
        {"name": "q2", "label": "b", "x": 4.5, "y": 5.5, "exemplar": False, "named": "a"},
        {"name": "q3", "label": "b", "x": 5.5, "y": 6.5, "exemplar": False, "named": "b"},
    ]
    history = History(test={"embedding_map": {"method": "made", "points": points}})
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


# -------------------------------------------------------------------------------------------------------- tables


def test_a_wide_configuration_shows_choices_and_what_mattered() -> None:
    rows = [
        [("loss.name", "arcface"), *((f"p{i:02d}", str(i + k)) for i in range(15)), ("same", "1")] for k in range(2)
    ]
    shown = distinguishing_params(rows, Importance({"p07": 0.5, "p14": 0.3, "same": 0.2}, ""))
    assert len(shown) == MAX_PARAMS
    assert {"loss.name", "p07", "p14"} <= shown
    assert "same" not in shown
    few = [[("a", "1"), ("b", "2")], [("a", "1")]]
    assert distinguishing_params(few, UNKNOWN) == {"a", "b"}
