"""Figures among the artifacts of a run, for viewing in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

_MOST_NAMES = 60
"""With more classes, names would overlap; the table has all of them."""
_MOST_COLORS = 20


def confusion_figure(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """A confusion matrix: rows are true classes, colours are shares of the row, numbers are queries."""
    counts = np.asarray(matrix, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    side = min(16.0, max(5.0, 0.3 * len(labels) + 2.5))
    figure = Figure(figsize=(side + 1.0, side), layout="constrained", dpi=100)
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="share of the true class")
    if len(labels) <= _MOST_NAMES:
        names = [_plain(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(labels)), names, fontsize=8)
        for row, column in np.argwhere(counts > 0):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", fontsize=7, color=color)
    axes.set(
        xlabel="recognised as", ylabel="true class", title=f"{counts.trace() / max(counts.sum(), 1.0):.1%} correct"
    )
    return figure


def map_figure(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Recordings in a plane: one colour per class, exemplars as stars with names, wrong queries as crosses."""
    figure = Figure(figsize=(10.0, 8.0), layout="constrained", dpi=100)
    axes = figure.add_subplot()
    labels = sorted({str(point["label"]) for point in points})
    colors = colormaps["tab20"]
    for place, label in enumerate(labels):
        color = colors(place % _MOST_COLORS)
        own = [point for point in points if point["label"] == label]
        exemplars = [point for point in own if point["exemplar"]]
        right = [point for point in own if not point["exemplar"] and point["named"] == label]
        wrong = [point for point in own if not point["exemplar"] and point["named"] != label]
        for part, mark, size in ((right, "o", 14), (wrong, "x", 26), (exemplars, "*", 170)):
            x, y = [p["x"] for p in part], [p["y"] for p in part]
            drawn = axes.scatter(x, y, s=size, marker=mark, color=[color], linewidths=1.0)
            if mark == "*":
                drawn.set_edgecolor("black")
        for point in exemplars:
            axes.annotate(
                _plain(label), (point["x"], point["y"]), xytext=(5, 5), textcoords="offset points", fontsize=7
            )
    axes.set(xticks=[], yticks=[], title=f"{title}\nstars: exemplars; dots: queries; crosses: wrong queries")
    return figure


def _plain(label: object) -> str:
    """A label as text; matplotlib interprets text between dollar signs as a formula."""
    text = str(label).replace("$", r"\$")
    return text if len(text) <= 30 else f"{text[:29]}…"
