"""Which parameters a table of configurations shows."""

from __future__ import annotations

from sldml.report.importance import Importance
from sldml.report.leaderboard import MAX_PARAMS, distinguishing_params


def test_a_wide_configuration_shows_choices_and_what_mattered() -> None:
    rows = [
        [("loss.name", "arcface"), *((f"p{i:02d}", str(i + k)) for i in range(15)), ("same", "1")] for k in range(2)
    ]
    shown = distinguishing_params(rows, Importance({"p07": 0.5, "p14": 0.3, "same": 0.2}, ""))
    assert len(shown) == MAX_PARAMS
    assert {"loss.name", "p07", "p14"} <= shown
    assert "same" not in shown
    few = [[("a", "1"), ("b", "2")], [("a", "1")]]
    assert distinguishing_params(few, Importance({}, "")) == {"a", "b"}
