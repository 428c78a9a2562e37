"""Every trial as a line over its parameters, against values computed by hand."""

from __future__ import annotations

from support.made_history import history_of

from sldml.report.figures import parallel_coordinates
from sldml.report.importance import Importance


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
    assert parallel_coordinates(history_of((0.5, {"lr": 1.0, "x": 1})), Importance({}, "")) is None


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
