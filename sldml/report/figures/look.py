"""Shared by all figures: the `Figure` with its alternative text, colours, axes, and number formats.

Plotly interprets some HTML in texts, so labels from user data pass through `plain`.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sldml.journal import History

BASELINE_NAMES = {
    "raw_1nn": "raw 1-NN",
    "dtw_1nn": "DTW 1-NN",
    "untrained": "untrained encoder",
    "untrained_dtw": "untrained encoder, DTW",
}
# The colours of Okabe and Ito, distinguishable with any colour vision; states also differ in shape.
STATE_COLORS = {
    "completed": "#0072B2",
    "pruned": "#8A8A8A",
    "diverged": "#D55E00",
    "failed": "#A3195B",
    "running": "#E69F00",
    "paused": "#56B4E9",
    "final": "#009E73",
    "baselines": "#CC79A7",
}
STATE_SYMBOLS = {
    "completed": "circle",
    "pruned": "x-thin-open",
    "diverged": "triangle-down",
    "failed": "square-open",
    "running": "diamond-open",
    "paused": "hourglass-open",
}
BEST_COLOR = "#111111"
BASELINE_DASHES = {"raw_1nn": "dot", "dtw_1nn": "dash", "untrained": "dashdot", "untrained_dtw": "longdash"}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
MAX_TICK_CHARACTERS = 26
MAX_CLASSES_WITH_COUNTS = 30


@dataclass(frozen=True)
class Figure:
    """A Plotly figure with its alternative text (`alt`) and caption."""

    name: str
    figure: go.Figure
    alt: str
    caption: str


def plain(text: object) -> str:
    """`text` escaped, so that Plotly does not interpret it as markup."""
    return html.escape(str(text), quote=False)


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f} %"


def measure_name(history: History) -> str:
    """The name of the validation measure."""
    map_at_r = history.begun is not None and history.begun.split.measure == "map_at_r"
    return "validation MAP@R" if map_at_r else "validation accuracy"


def add_baselines(figure: go.Figure, history: History, x: list[float]) -> None:
    """Add the validation value of each baseline as a line from the first to the last of `x`."""
    for name, dash in BASELINE_DASHES.items():
        if name in history.baselines:
            figure.add_scatter(
                x=x, y=[round(history.baselines[name].best.val, 4)] * 2, mode="lines", name=BASELINE_NAMES[name],
                line={"color": "#5B4A00", "width": 1.3, "dash": dash},
                hovertemplate=f"{BASELINE_NAMES[name]} %{{y:.1%}}<extra></extra>",
            )  # fmt: skip


def lay_out(figure: go.Figure, *, x_title: str, y_title: str, y_percent: bool = False, height: int = 420) -> None:
    """Apply the shared layout."""
    axis: dict[str, Any] = {"gridcolor": "#e8e8e4", "zeroline": False, "automargin": True, "linecolor": "#999999"}
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 24, "t": 16, "b": 52},
        font={"family": FONT, "size": 13, "color": "#222222"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"bgcolor": "#ffffff"},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
    )  # fmt: skip
    figure.update_xaxes(title={"text": x_title, "standoff": 10}, **axis)
    figure.update_yaxes(title={"text": y_title, "standoff": 14}, tickformat=".1~%" if y_percent else "", **axis)


def marker(state: str, size: int) -> dict[str, Any]:
    """The marker of trials in this state."""
    line = {"width": 1.5, "color": STATE_COLORS[state]}
    return {"color": STATE_COLORS[state], "symbol": STATE_SYMBOLS[state], "size": size, "line": line}


def shorten(label: str) -> str:
    """A label cut to fit next to an axis."""
    return label if len(label) <= MAX_TICK_CHARACTERS else f"{label[: MAX_TICK_CHARACTERS - 1]}…"
