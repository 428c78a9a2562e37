"""The figure of a fair comparison: the result of each choice with its interval, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from sldml.report.figures import (
    BASELINE_DASHES,
    BASELINE_NAMES,
    BEST_COLOR,
    STATE_COLORS,
    Figure,
    lay_out,
    percent,
    plain,
)


def comparison_figure(comparison: Mapping[str, Any]) -> Figure | None:
    """The sealed test of each choice, one dot per seed; before the test its validation, one dot per class fold.

    `comparison`: from `sldml.report.comparison.comparison_of`. None if no choice has a value yet.
    """
    part, what, each = ("test", "sealed test", "seed") if comparison["tested"] else ("val", "validation", "class fold")
    rows = [row for row in comparison["rows"] if row["kind"] == "choice" and row[part]]
    if not rows:
        return None
    names = [plain(row["name"]) for row in rows]
    figure = go.Figure()
    figure.add_scatter(
        x=[name for name, row in zip(names, rows, strict=True) for _ in row[part]["values"]],
        y=[round(value, 4) for row in rows for value in row[part]["values"]],
        mode="markers", name=f"each {each}", hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        marker={"color": STATE_COLORS["completed"], "size": 7, "opacity": 0.6},
    )  # fmt: skip
    means = [row[part]["mean"] for row in rows]
    figure.add_scatter(
        x=names, y=[round(mean, 4) for mean in means], mode="markers", name="mean, 95 % interval",
        marker={"color": BEST_COLOR, "size": 16, "symbol": "line-ew-open", "line": {"width": 3}},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1.3, "color": BEST_COLOR,
            "array": [round(row[part]["ci95"][1] - row[part]["mean"], 4) for row in rows],
            "arrayminus": [round(row[part]["mean"] - row[part]["ci95"][0], 4) for row in rows],
        },
        hovertemplate="%{x}: mean %{y:.1%}<extra></extra>",
    )  # fmt: skip
    baselines = [row for row in comparison["rows"] if row["kind"] == "training_free" and row[part]]
    for row in baselines:
        name = BASELINE_NAMES.get(row["name"], row["name"])
        figure.add_scatter(
            x=[names[0], names[-1]], y=[round(row[part]["mean"], 4)] * 2, mode="lines", name=plain(name),
            line={"color": "#5B4A00", "width": 1.3, "dash": BASELINE_DASHES.get(row["name"], "longdash")},
            hovertemplate=f"{plain(name)} %{{y:.1%}}<extra></extra>",
        )  # fmt: skip
    lay_out(figure, x_title=plain(comparison["axis"]), y_title=f"{what} accuracy", y_percent=True)
    figure.update_xaxes(type="category", showgrid=False)
    reached = ", ".join(f"{row['name']} {percent(row[part]['mean'])}" for row in rows)
    alt = f"{what.capitalize()} of {len(rows)} choices of {comparison['axis']}: {reached}."
    caption = f"One dot per {each}; the bar is the mean with its 95 % interval; dashed lines are baselines."
    return Figure("comparison", figure, alt, caption if baselines else f"{caption.rpartition(';')[0]}.")
