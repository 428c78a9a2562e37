"""The progress of a search: trials over time, and their learning curves."""

from __future__ import annotations

import plotly.graph_objects as go

from sldml.journal import History, TrialRecord
from sldml.report.figures.look import (
    BEST_COLOR,
    STATE_COLORS,
    STATE_SYMBOLS,
    Figure,
    add_baselines,
    lay_out,
    marker,
    measure_name,
    percent,
    plain,
)
from sldml.report.search_time import end_of, search_clock


def search_history(history: History) -> Figure | None:
    """Every trial's validation value at the time it ended, the best so far by `History.ranked`, and the baselines."""
    # Without diverged and failed trials: their value, 0, would compress the axis for all others.
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
                marker=marker(state, 8),
                hovertemplate=f"%{{text}}, {state}<br>%{{y:.1%}} after %{{x:.1f}} min<extra></extra>",
            )
    x, y = [], []
    best = (0, 0.0)
    for trial in trials:
        if trial.is_comparable:
            best = max(best, trial.rank)
            x.append(round(clock(end_of(trial)), 3))
            y.append(round(best[1], 4))
    figure.add_scatter(
        x=x, y=y, mode="lines", name="best so far", line={"color": BEST_COLOR, "width": 1.5, "shape": "hv"},
        hovertemplate="best so far %{y:.1%}<extra></extra>",
    )  # fmt: skip
    add_baselines(figure, history, [0.0, max(clock(end_of(t)) for t in trials)])
    lay_out(figure, x_title="minutes of search", y_title=measure_name(history), y_percent=True)
    alt = f"Best {measure_name(history)} of {len(trials)} trials by time"
    if y:
        alt += f"; the best rises from {percent(y[0])} to {percent(y[-1])}"
    caption = "One mark per trial, at the time at which it ended."
    if hidden := len(history.trials) - len(trials):
        caption += f" Not shown: {hidden} that diverged, failed or had not finished an epoch."
    return Figure("search_history", figure, f"{alt}.", caption)


def learning_curves(history: History) -> Figure | None:
    """The validation value of all trials by epoch; a cross marks the end of one stopped early."""
    trials = [t for t in history.trials.values() if _curve(t)[0]]
    if not trials:
        return None
    ranked = history.ranked()
    figure = go.Figure()
    for state in ("completed", "running", "paused", "failed", "diverged", "pruned"):
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
            mode="markers", name="stopped early", hoverinfo="skip",
            marker=marker("pruned", 7),
        )  # fmt: skip
    band = ""
    if ranked and _curve(ranked[0])[0]:
        epochs, values = _curve(ranked[0])
        band = _add_spread(figure, ranked[0])
        figure.add_scatter(
            x=epochs, y=values, mode="lines", name=f"best ({plain(ranked[0].trial_id)})",
            line={"color": BEST_COLOR, "width": 3}, hovertemplate="best, epoch %{x}: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    add_baselines(figure, history, [1, max(max(_curve(t)[0]) for t in trials)])
    lay_out(figure, x_title="epoch", y_title=measure_name(history), y_percent=True)
    alt = f"{measure_name(history).capitalize()} by epoch for {len(trials)} trials, {len(pruned)} of them stopped early"
    if ranked:
        best = ranked[0]
        alt += f"; the best, {best.trial_id}, ends at {percent(best.value)} after {len(best.epochs)} epochs"
    caption = "One line per trial; crosses mark trials stopped early."
    if band:
        caption += f" The grey band is the spread of the best one ({band}, one standard deviation to each side)."
    return Figure("learning_curves", figure, f"{alt}.", caption)


def _curve(trial: TrialRecord) -> tuple[list[int], list[float]]:
    """Epochs and validation values, without the value 0 that failed trials report."""
    points = [(e.epoch, e.value) for e in trial.epochs]
    points = [(epoch, value) for epoch, value in points if value > 0]
    return [epoch for epoch, _ in points], [round(value, 4) for _, value in points]


def _add_spread(figure: go.Figure, trial: TrialRecord) -> str:
    """Add a band of one standard deviation around a trial's curve; returns its name, empty if there is none."""
    name, over = "val/accuracy_fold_std", "over class folds"
    if not any(e.metrics.get(name) for e in trial.epochs):
        name, over = "val/accuracy_std", "over exemplar draws"
    points = [(e.epoch, e.metrics["val/accuracy"], e.metrics[name]) for e in trial.epochs if e.metrics.get(name)]
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
