"""The figures of a search, each drawn from its `History` alone: Plotly figures with alternative text.

A function returns None if the history has nothing to draw.
"""

from __future__ import annotations

from collections.abc import Iterable

from sldml.journal import History
from sldml.report.figures.classes import confusion, embedding_map
from sldml.report.figures.look import (
    BASELINE_DASHES,
    BASELINE_NAMES,
    BEST_COLOR,
    STATE_COLORS,
    Figure,
    lay_out,
    measure_name,
    percent,
    plain,
)
from sldml.report.figures.parallel import parallel_coordinates
from sldml.report.figures.parameters import choice_map, parameter_importance, slices
from sldml.report.figures.searching import learning_curves, search_history
from sldml.report.figures.workers import time_spent, timeline
from sldml.report.importance import Importance

__all__ = [
    "BASELINE_DASHES",
    "BASELINE_NAMES",
    "BEST_COLOR",
    "STATE_COLORS",
    "Figure",
    "all_figures",
    "choice_map",
    "confusion",
    "embedding_map",
    "lay_out",
    "learning_curves",
    "measure_name",
    "parallel_coordinates",
    "parameter_importance",
    "percent",
    "plain",
    "search_history",
    "slices",
    "time_spent",
    "timeline",
]


def all_figures(history: History, importance: Importance) -> dict[str, Figure]:
    """All figures that the history has data for, by name."""
    drawn: Iterable[Figure | None] = (
        search_history(history),
        learning_curves(history),
        parameter_importance(importance) if importance.shares else None,
        choice_map(history, importance),
        slices(history, importance),
        parallel_coordinates(history, importance),
        confusion(history),
        embedding_map(history),
        timeline(history),
        time_spent(history),
    )
    return {figure.name: figure for figure in drawn if figure is not None}
