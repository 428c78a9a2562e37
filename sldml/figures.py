"""The pictures of a search, each drawn from its `History` alone: Plotly figures with a text for who cannot see.

A function returns None where the history has nothing to draw. Labels come from people's data, and Plotly reads a
little HTML in texts, so they pass through `plain`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sldml.importance import Importance
from sldml.journal import OBJECTIVE, History, TrialRecord

BASELINE_NAMES = {
    "raw_1nn": "raw 1-NN",
    "dtw_1nn": "DTW 1-NN",
    "untrained": "untrained encoder",
    "untrained_dtw": "untrained encoder, DTW",
}
# Okabe and Ito's colours, told apart by people with any colour vision; states differ in their shapes too.
STATE_COLORS = {
    "completed": "#0072B2",
    "pruned": "#8A8A8A",
    "diverged": "#D55E00",
    "failed": "#A3195B",
    "running": "#E69F00",
    "final": "#009E73",
}
STATE_SYMBOLS = {
    "completed": "circle",
    "pruned": "x-thin-open",
    "diverged": "triangle-down",
    "failed": "square-open",
    "running": "diamond-open",
}
BEST_COLOR = "#111111"
BASELINE_DASHES = {"raw_1nn": "dot", "dtw_1nn": "dash", "untrained": "dashdot", "untrained_dtw": "longdash"}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
MAX_TICK_CHARACTERS = 26
MAX_CLASSES_WITH_COUNTS = 30


@dataclass(frozen=True)
class Figure:
    """One picture: its Plotly figure, what it shows in a sentence (`alt`), and a caption."""

    name: str
    figure: go.Figure
    alt: str
    caption: str


def plain(text: object) -> str:
    """`text` as Plotly shall show it: letter by letter, never as mark-up."""
    return html.escape(str(text), quote=False)


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f} %"


def measure_name(history: History) -> str:
    """What validation measured, in words."""
    measure = (history.search.get("split") or {}).get("measure")
    return "validation MAP@R" if measure == "map_at_r" else "validation accuracy"


def search_clock(history: History) -> Callable[[float], float]:
    """Minutes of search at a time in seconds since 1970, without the hours between an interruption and its resume."""
    times = sorted(
        time
        for trial in history.trials.values()
        for time in (trial.started, *(e["time"] for e in trial.epochs if "time" in e), trial.ended)
        if time is not None
    )
    begin = min((attempt["time"] for attempt in history.attempts if "time" in attempt), default=math.inf)
    begin = min([begin, *times[:1]])
    gaps = []
    for resumed in sorted(attempt["time"] for attempt in history.attempts if "time" in attempt):
        before = [time for time in times if time < resumed]
        if before:
            gaps.append((resumed, resumed - before[-1]))

    def minutes(time: float) -> float:
        return float(time - begin - sum(gap for resumed, gap in gaps if resumed <= time)) / 60

    return minutes


def end_of(record: TrialRecord) -> float:
    """When a trial ended, or was last heard of."""
    if record.ended is not None:
        return record.ended
    return max((e["time"] for e in record.epochs if "time" in e), default=record.started)


def search_history(history: History) -> Figure | None:
    """Every trial's best validation value at the time it ended, the running best, and the baselines as lines."""
    # Diverged and failed trials report the worst value, 0, which would press all others into a corner.
    trials = sorted((t for t in history.trials.values() if t.value), key=end_of)
    if not trials:
        return None
    clock = search_clock(history)
    figure = go.Figure()
    for state in STATE_SYMBOLS:
        shown = [t for t in trials if t.state == state]
        if shown:
            figure.add_scatter(
                x=[round(clock(end_of(t)), 3) for t in shown],
                y=[round(t.value or 0.0, 4) for t in shown],
                text=[plain(t.trial_id) for t in shown],
                mode="markers",
                name=state,
                marker=_marker(state, 8),
                hovertemplate=f"%{{text}}, {state}<br>%{{y:.1%}} after %{{x:.1f}} min<extra></extra>",
            )
    x, y, best = [], [], -math.inf
    for trial in trials:
        if trial.state in ("completed", "pruned", "running"):
            best = max(best, trial.value or 0.0)
            x.append(round(clock(end_of(trial)), 3))
            y.append(round(best, 4))
    figure.add_scatter(
        x=x, y=y, mode="lines", name="best so far", line={"color": BEST_COLOR, "width": 1.5, "shape": "hv"},
        hovertemplate="best so far %{y:.1%}<extra></extra>",
    )  # fmt: skip
    _add_baselines(figure, history, [0.0, max(clock(end_of(t)) for t in trials)])
    lay_out(figure, x_title="minutes of search", y_title=f"best {measure_name(history)}", y_percent=True)
    alt = f"Best {measure_name(history)} of {len(trials)} trials by time"
    if y:
        alt += f"; the best rises from {percent(y[0])} to {percent(y[-1])}"
    caption = "One mark per trial, at the time it ended."
    if without := len(history.trials) - len(trials):
        caption += f" Without a mark: {without} that diverged, failed or had not finished an epoch."
    return Figure("search_history", figure, f"{alt}.", caption)


def learning_curves(history: History) -> Figure | None:
    """All trials' validation value by epoch; where ASHA stopped one its line ends in a cross."""
    trials = [t for t in history.trials.values() if _curve(t)[0]]
    if not trials:
        return None
    ranked = history.ranked()
    figure = go.Figure()
    for state in ("completed", "running", "failed", "diverged", "pruned"):
        x: list[int | None] = []
        y: list[float | None] = []
        text: list[str | None] = []
        for trial in (t for t in trials if t.state == state):
            epochs, values = _curve(trial)
            x += [*epochs, None]
            y += [*values, None]
            text += [plain(trial.trial_id)] * len(epochs) + [None]
        if x:
            figure.add_scatter(
                x=x, y=y, text=text, mode="lines", name=state, opacity=0.55, connectgaps=False,
                line={"color": STATE_COLORS[state], "width": 1.2},
                hovertemplate=f"%{{text}}, {state}<br>epoch %{{x}}: %{{y:.1%}}<extra></extra>",
            )  # fmt: skip
    pruned = [_curve(t) for t in trials if t.state == "pruned"]
    if pruned:
        figure.add_scatter(
            x=[epochs[-1] for epochs, _ in pruned], y=[values[-1] for _, values in pruned],
            mode="markers", name="stopped by ASHA", hoverinfo="skip",
            marker=_marker("pruned", 7),
        )  # fmt: skip
    band = ""
    if ranked and _curve(ranked[0])[0]:
        epochs, values = _curve(ranked[0])
        band = _add_spread(figure, ranked[0])
        figure.add_scatter(
            x=epochs, y=values, mode="lines", name=f"best ({plain(ranked[0].trial_id)})",
            line={"color": BEST_COLOR, "width": 3}, hovertemplate="best, epoch %{x}: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    _add_baselines(figure, history, [1, max(max(_curve(t)[0]) for t in trials)])
    lay_out(figure, x_title="epoch", y_title=measure_name(history), y_percent=True)
    alt = f"{measure_name(history).capitalize()} by epoch for {len(trials)} trials, {len(pruned)} of them stopped early"
    if ranked:
        alt += f"; the best, {ranked[0].trial_id}, peaks at {percent(ranked[0].value)} in epoch {ranked[0].best_epoch}"
    caption = "A line per trial; crosses mark where ASHA stopped one."
    if band:
        caption += f" The grey band is the spread of the best ({band}, one standard deviation to each side)."
    return Figure("learning_curves", figure, f"{alt}.", caption)


def parameter_importance(importance: Importance) -> Figure:
    """Each parameter's share as a bar, the largest on top."""
    names = list(importance.shares)
    figure = go.Figure(
        go.Bar(
            x=[round(importance.shares[n], 4) for n in names], y=[plain(n) for n in names], orientation="h",
            marker={"color": STATE_COLORS["completed"]}, texttemplate="%{x:.0%}", textposition="outside",
            cliponaxis=False, hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )  # fmt: skip
    lay_out(figure, x_title="share of the importance", y_title="", height=110 + 26 * len(names))
    top = max(importance.shares.values(), default=1.0)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * top])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    first = ", ".join(f"{n} {percent(importance.shares[n])}" for n in names[:3])
    return Figure("importance", figure, f"Importance of {len(names)} parameters; first: {first}.", importance.method)


def confusion(history: History) -> Figure | None:
    """The confusion matrix of the winner on the sealed test: rows are true classes, colours shares of a row."""
    found = (history.test or {}).get("confusion") or {}
    labels, matrix = [str(label) for label in found.get("labels", [])], found.get("matrix", [])
    if not labels or not matrix:
        return None
    shares = [[round(count / max(1, sum(row)), 4) for count in row] for row in matrix]
    side = max(12, min(34, 720 // len(labels)))
    ticks = {
        "tickvals": list(range(len(labels))),
        "ticktext": [plain(_shorten(label)) for label in labels],
        "showgrid": False,
    }
    figure = go.Figure(
        go.Heatmap(
            z=shares, colorscale="Blues", zmin=0, zmax=1, xgap=1, ygap=1,
            customdata=[
                [[plain(true), plain(named), matrix[i][j]] for j, named in enumerate(labels)]
                for i, true in enumerate(labels)
            ],
            hovertemplate="true: %{customdata[0]}<br>named: %{customdata[1]}<br>"
            "%{customdata[2]} queries (%{z:.1%})<extra></extra>",
            text=[[str(count) if count else "" for count in row] for row in matrix],
            texttemplate="%{text}" if len(labels) <= MAX_CLASSES_WITH_COUNTS else None,
            colorbar={"tickformat": ".0%", "title": {"text": "of the true class", "side": "right"}, "thickness": 12},
        )
    )  # fmt: skip
    lay_out(figure, x_title="named as", y_title="true class", height=240 + side * len(labels))
    figure.update_xaxes(**ticks, tickangle=-45)
    figure.update_yaxes(**ticks, autorange="reversed")
    total = sum(map(sum, matrix))
    right = sum(matrix[i][i] for i in range(len(labels)))
    alt = f"Confusion matrix over {len(labels)} novel classes: {right} of {total} queries are named rightly."
    return Figure("confusion", figure, alt, "Rows are true classes; numbers are queries, colours shares of the row.")


def timeline(history: History) -> Figure | None:
    """When each training ran, packed into as few lanes as ran at once."""
    clock = search_clock(history)
    bars = [(t.started, end_of(t), t.trial_id, str(t.state)) for t in history.trials.values()]
    for final in history.finals.values():
        last = max((e["time"] for e in final.epochs if "time" in e), default=final.started)
        bars.append((final.started, final.ended or last, f"{final.trial_id}, seed {final.seed}", "final"))
    if not bars:
        return None
    lanes: list[float] = []
    placed: list[tuple[int, float, float, str, str]] = []
    for started, ended, name, kind in sorted(bars):
        lane = next((i for i, free in enumerate(lanes) if free <= started), len(lanes))
        lanes[lane : lane + 1] = [ended]
        placed.append((lane + 1, clock(started), clock(ended), name, kind))
    figure = go.Figure()
    for kind, color in STATE_COLORS.items():
        own = [bar for bar in placed if bar[4] == kind]
        if own:
            figure.add_bar(
                y=[bar[0] for bar in own], x=[round(bar[2] - bar[1], 3) for bar in own],
                base=[round(bar[1], 3) for bar in own], orientation="h",
                name="final training" if kind == "final" else kind,
                text=[plain(bar[3]) for bar in own], textposition="none", width=0.7,
                marker={"color": color, "line": {"color": "#ffffff", "width": 1}},
                hovertemplate="%{text}: %{x:.2f} min<extra></extra>",
            )  # fmt: skip
    lay_out(figure, x_title="minutes of search", y_title="lane", height=150 + 34 * len(lanes))
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(autorange="reversed", dtick=max(1, len(lanes) // 12), showgrid=False)
    end = max(bar[2] for bar in placed)
    alt = f"Timeline of {len(bars)} trainings over {end:.1f} minutes, up to {len(lanes)} at once."
    caption = "A bar per training; gaps are idle time. Lanes are filled as they became free; hosts were not recorded."
    return Figure("timeline", figure, alt, caption)


def _curve(trial: TrialRecord) -> tuple[list[int], list[float]]:
    """Epochs and validation values; a report of the worst value, 0, is a failure and no point of the curve."""
    points = [(int(e["epoch"]), float(e.get("val/accuracy", e[OBJECTIVE]))) for e in trial.epochs]
    points = [(epoch, value) for epoch, value in points if value > 0]
    return [epoch for epoch, _ in points], [round(value, 4) for _, value in points]


def _add_spread(figure: go.Figure, trial: TrialRecord) -> str:
    """A band of one standard deviation around a trial's curve, and over what that is; nothing where none was told."""
    name, over = "val/accuracy_fold_std", "over class folds"
    if not any(e.get(name) for e in trial.epochs):
        name, over = "val/accuracy_std", "over exemplar draws"
    points = [(int(e["epoch"]), float(e["val/accuracy"]), float(e[name])) for e in trial.epochs if e.get(name)]
    if not points:
        return ""
    upper = [(epoch, min(1.0, value + spread)) for epoch, value, spread in points]
    lower = [(epoch, max(0.0, value - spread)) for epoch, value, spread in reversed(points)]
    figure.add_scatter(
        x=[epoch for epoch, _ in upper + lower], y=[round(value, 4) for _, value in upper + lower], mode="lines",
        fill="toself", fillcolor="rgba(17, 17, 17, 0.13)", line={"width": 0}, hoverinfo="skip",
        name=f"its spread {over}",
    )  # fmt: skip
    return over


def _add_baselines(figure: go.Figure, history: History, x: list[float]) -> None:
    for name, dash in BASELINE_DASHES.items():
        value = (history.baselines.get(name) or {}).get("val")
        if value is not None:
            figure.add_scatter(
                x=x, y=[round(value, 4)] * 2, mode="lines", name=BASELINE_NAMES[name],
                line={"color": "#5B4A00", "width": 1.3, "dash": dash},
                hovertemplate=f"{BASELINE_NAMES[name]} %{{y:.1%}}<extra></extra>",
            )  # fmt: skip


def lay_out(figure: go.Figure, *, x_title: str, y_title: str, y_percent: bool = False, height: int = 420) -> None:
    """The look that all figures share."""
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
    figure.update_yaxes(title={"text": y_title, "standoff": 14}, tickformat=".0%" if y_percent else "", **axis)


def _marker(state: str, size: int) -> dict[str, Any]:
    line = {"width": 1.5, "color": STATE_COLORS[state]}
    return {"color": STATE_COLORS[state], "symbol": STATE_SYMBOLS[state], "size": size, "line": line}


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_TICK_CHARACTERS else f"{label[: MAX_TICK_CHARACTERS - 1]}…"


def all_figures(history: History, importance: Importance | None) -> dict[str, Figure]:
    """Every figure the history allows, by name."""
    drawn: Iterable[Figure | None] = (
        search_history(history),
        learning_curves(history),
        parameter_importance(importance) if importance and importance.shares else None,
        confusion(history),
        timeline(history),
    )
    return {figure.name: figure for figure in drawn if figure is not None}
