"""Figures of several searches: their progress, and accuracy by number of auxiliary classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from sldml.journal import History
from sldml.report.figures.look import BASELINE_DASHES, BASELINE_NAMES, Figure, lay_out, measure_name, percent, plain
from sldml.report.search_time import end_of, search_clock

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#8C7B00")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class SealedPoint:
    """The result of a search on its sealed test, with its number of auxiliary classes."""

    search: str
    dataset: str
    group: str
    """Dataset and protocol; searches of one group form a line."""
    num_auxiliary: int
    mean: float
    ci95: tuple[float, float] | None
    baselines: dict[str, float]
    """By key, on the same test."""


def best_so_far(searches: Sequence[tuple[str, History]]) -> Figure | None:
    """The validation value of the best trial so far of each search, by its own time."""
    figure = go.Figure()
    reached = []
    for index, (name, history) in enumerate(searches):
        clock = search_clock(history)
        trials = history.comparable()
        x, y, best = [], [], (0, 0.0)
        for trial in sorted(trials, key=end_of):
            best = max(best, trial.rank)
            x.append(round(clock(end_of(trial)), 3))
            y.append(round(best[1], 4))
        if not x:
            continue
        figure.add_scatter(
            x=x, y=y, mode="lines+markers", name=plain(name), marker={"size": 5},
            line={
                "color": COLORS[index % len(COLORS)], "width": 2, "shape": "hv",
                "dash": DASHES[index // len(COLORS) % len(DASHES)],
            },
            hovertemplate=f"{plain(name)}<br>%{{y:.1%}} after %{{x:.1f}} min<extra></extra>",
        )  # fmt: skip
        reached.append(f"{name} {percent(best[1])} after {x[-1]:.1f} minutes")
    if not reached:
        return None
    measures = {measure_name(history) for _, history in searches}
    measure = measures.pop() if len(measures) == 1 else "validation"
    lay_out(figure, x_title="minutes of search", y_title=f"best {measure} so far", y_percent=True)
    figure.update_layout(showlegend=True)
    caption = (
        "One mark per ended trial; time includes the baselines before the first trial, but no pauses between calls."
    )
    return Figure("best_so_far", figure, f"Best {measure} so far: {'; '.join(reached)}.", caption)


def accuracy_by_auxiliary(points: Sequence[SealedPoint]) -> Figure | None:
    """The sealed test and baselines by number of auxiliary classes, one line for each dataset and protocol.

    Only datasets and protocols with several numbers are drawn.
    """
    by_group: dict[str, list[SealedPoint]] = {}
    for point in points:
        by_group.setdefault(point.group, []).append(point)
    groups = [group for group, own in by_group.items() if len({point.num_auxiliary for point in own}) > 1]
    if not groups:
        return None
    points = [point for point in points if point.group in groups]
    datasets = [by_group[group][0].dataset for group in groups]
    figure = go.Figure()
    points_text = []
    for index, group in enumerate(groups):
        own = sorted((p for p in points if p.group == group), key=lambda p: (p.num_auxiliary, p.search))
        color = COLORS[index % len(COLORS)]
        name = datasets[index] if datasets.count(datasets[index]) == 1 else group
        label = "" if len(groups) == 1 else f", {plain(name)}"
        for key, dash in BASELINE_DASHES.items():
            having = [point for point in own if key in point.baselines]
            if having:
                figure.add_scatter(
                    x=[p.num_auxiliary for p in having], y=[round(p.baselines[key], 4) for p in having],
                    mode="lines+markers", name=f"{BASELINE_NAMES[key]}{label}", marker={"size": 5, "symbol": "diamond"},
                    line={"color": "#5B4A00" if len(groups) == 1 else color, "width": 1.2, "dash": dash},
                    text=[plain(p.search) for p in having],
                    hovertemplate=f"{BASELINE_NAMES[key]}, %{{text}}<br>%{{y:.1%}}<extra></extra>",
                )  # fmt: skip
        figure.add_scatter(
            x=[p.num_auxiliary for p in own], y=[round(p.mean, 4) for p in own], mode="lines+markers",
            name=f"best configuration{label}", text=[plain(p.search) for p in own],
            line={"color": color, "width": 2.5}, marker={"size": 9},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.3, "color": color,
                "array": [round(p.ci95[1] - p.mean, 4) if p.ci95 else 0.0 for p in own],
                "arrayminus": [round(p.mean - p.ci95[0], 4) if p.ci95 else 0.0 for p in own],
            },
            hovertemplate="%{text}, %{x} auxiliary classes<br>%{y:.1%}<extra></extra>",
        )  # fmt: skip
        points_text += [f"{p.num_auxiliary} classes {percent(p.mean)} ({p.search})" for p in own]
    lay_out(figure, x_title="auxiliary classes", y_title="sealed test accuracy", y_percent=True, height=460)
    figure.update_xaxes(tickvals=sorted({point.num_auxiliary for point in points}))
    figure.update_layout(showlegend=True)
    caption = (
        "Mean over the final seeds of the first configuration, with its 95 % interval; thin lines are "
        "baselines. If all other classes are tested, more auxiliary classes also make the test easier, as the "
        "baselines show."
    )
    return Figure(
        "by_auxiliary", figure, f"Sealed test by number of auxiliary classes: {'; '.join(points_text)}.", caption
    )
