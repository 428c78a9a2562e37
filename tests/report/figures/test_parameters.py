"""Figures of parameters, against values computed by hand."""

from __future__ import annotations

from typing import Any

from support.made_history import history_of, search_begun

from sldml.journal import History
from sldml.report.figures import choice_map, parameter_importance, slices
from sldml.report.importance import Importance

UNKNOWN = Importance({}, "")


# -------------------------------------------------------------------------------------------------- importance


def test_each_bar_has_the_level_of_shuffled_values_as_a_dashed_line() -> None:
    figure = parameter_importance(Importance({"lr": 0.6, "a<b": 0.25}, "How.", {"lr": 0.2, "a<b": 0.1}, ("drop",)))
    bars, levels = figure.figure.data
    assert (list(bars.x), list(bars.y)) == ([0.6, 0.25], [0, 1])
    assert list(figure.figure.layout.yaxis.ticktext) == ["lr", "a&lt;b"]
    assert list(levels.x) == [0.2, 0.2, None, 0.1, 0.1, None]
    assert list(levels.y) == [-0.45, 0.45, None, 0.55, 1.45, None]
    assert (levels.line.dash, levels.name, levels.showlegend) == ("dash", "level of shuffled values", True)
    assert figure.alt == (
        "Importance of 2 parameters above the level of shuffled values; first: lr 60.0 % (shuffled values reach 20.0 "
        "%), a<b 25.0 % (shuffled values reach 10.0 %)."
    )
    assert figure.caption == "How."


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
        history.begun = search_begun(space={"name": "made", "text": given})
        figure = slices(history, UNKNOWN)
        assert figure
        titles = [annotation.text for annotation in figure.figure.layout.annotations]
        axes = [figure.figure.layout["xaxis" if place == 0 else f"xaxis{place + 1}"] for place in range(2)]
        assert {title for title, axis in zip(titles, axes, strict=True) if axis.type == "log"} == expected
