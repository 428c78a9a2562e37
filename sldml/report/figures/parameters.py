"""The effect of parameters: importance, a map of two choices, and slices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sldml.journal import History, TrialRecord
from sldml.report.declared_space import log_parameters
from sldml.report.figures.look import (
    BEST_COLOR,
    STATE_COLORS,
    STATE_SYMBOLS,
    Figure,
    lay_out,
    marker,
    measure_name,
    percent,
    plain,
    shorten,
)
from sldml.report.figures.sampled import Axis, by_importance, is_choice, jitter, log_ticks, short_label, value_text
from sldml.report.importance import Importance

MAX_SLICES = 9
_SLICES_PER_ROW = 3
_FIRST_CHOICES = ("loss.name", "miner.name")


def parameter_importance(importance: Importance) -> Figure:
    """Each parameter's share as a bar, the largest on top, and the level of shuffled values as a dashed line in it."""
    names = list(importance.shares)
    places = list(range(len(names)))
    figure = go.Figure(
        go.Bar(
            x=[round(importance.shares[n], 4) for n in names], y=places, orientation="h", showlegend=False,
            marker={"color": STATE_COLORS["completed"]}, texttemplate="%{x:.0%}", textposition="outside",
            cliponaxis=False, customdata=[[plain(n), percent(importance.levels.get(n))] for n in names],
            hovertemplate="%{customdata[0]}: %{x:.1%}<br>shuffled values reach %{customdata[1]}<extra></extra>",
        )
    )  # fmt: skip
    lines = [(importance.levels[n], place) for n, place in zip(names, places, strict=True) if n in importance.levels]
    if lines:
        figure.add_scatter(
            x=[x for level, _ in lines for x in (round(level, 4), round(level, 4), None)],
            y=[y for _, place in lines for y in (place - 0.45, place + 0.45, None)],
            mode="lines", name="level of shuffled values", showlegend=True, hoverinfo="skip",
            line={"color": BEST_COLOR, "width": 2, "dash": "dash"},
        )  # fmt: skip
    lay_out(figure, x_title="share of the importance", y_title="", height=130 + 26 * len(names))
    top = max(importance.shares.values(), default=1.0)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * top])
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5], showgrid=False, tickvals=places, ticktext=[plain(n) for n in names]
    )
    figure.update_layout(margin={"t": 36})
    first = ", ".join(
        f"{n} {percent(importance.shares[n])} (shuffled values reach {percent(importance.levels.get(n))})"
        for n in names[:3]
    )
    count = f"{len(names)} parameter{'' if len(names) == 1 else 's'}"
    alt = f"Importance of {count} above the level of shuffled values; first: {first}."
    return Figure("importance", figure, alt, importance.method)


def choice_map(history: History, importance: Importance) -> Figure | None:
    """Best and median validation for each pair of two choices: loss x miner if the space has both.

    Otherwise the two most important choices are taken; with a single one there is one column.
    """
    trials = history.comparable()
    choices = [name for name in by_importance(trials, importance) if is_choice(trials, name)]
    choices.sort(key=lambda name: _FIRST_CHOICES.index(name) if name in _FIRST_CHOICES else len(_FIRST_CHOICES))
    if not choices:
        return None
    down, across = choices[0], choices[1] if len(choices) > 1 else None
    cells: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        cells.setdefault((_choice(trial, down), _choice(trial, across) if across else ""), []).append(trial)
    rows, columns = (_sorted_choices({key[side] for key in cells}) for side in (0, 1))
    table = [[_Cell.of(cells.get((row, column), [])) for column in columns] for row in rows]
    figure = go.Figure(
        go.Heatmap(
            z=[[cell.best for cell in line] for line in table], colorscale="Blues", xgap=2, ygap=2, hoverongaps=False,
            x=list(range(len(columns))), y=list(range(len(rows))),
            text=[[cell.text for cell in line] for line in table], texttemplate="%{text}",
            customdata=[
                [f"{plain(row)}{' × ' + plain(column) if across else ''}<br>{cell.hover}" for column, cell in each]
                for row, each in ((row, zip(columns, line, strict=True)) for row, line in zip(rows, table, strict=True))
            ],
            hovertemplate="%{customdata}<extra></extra>",
            colorbar={"tickformat": ".0%", "title": {"text": "best", "side": "right"}, "thickness": 12},
        )
    )  # fmt: skip
    lay_out(figure, x_title=plain(across or ""), y_title=plain(down), height=130 + 54 * len(rows))
    figure.update_xaxes(
        tickvals=list(range(len(columns))), ticktext=[plain(shorten(c)) for c in columns], showgrid=False
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plain(shorten(r)) for r in rows],
        showgrid=False,
        autorange="reversed",
    )
    best = history.ranked()[0]
    where = _choice(best, down) + (f" with {_choice(best, across)}" if across else "")
    what = f"{down} and {across}" if across else down
    alt = f"{measure_name(history).capitalize()} by {what}: the best, {percent(best.value)}, has {where}."
    caption = (
        f"Best and median {measure_name(history)} and number of the trials with "
        f"{'both choices' if across else 'a choice'}. A trial stopped early counts with its last value, "
        "so a low median may only mean that many were stopped. White pairs were not tried or do not exist."
    )
    return Figure("choice_map", figure, alt, caption)


def slices(history: History, importance: Importance) -> Figure | None:
    """Validation against each of the most important parameters, one mark per trial, with choices as strips."""
    trials = history.comparable()
    names = by_importance(trials, importance)[:MAX_SLICES]
    if not names:
        return None
    log = log_parameters(history)
    num_columns = min(_SLICES_PER_ROW, len(names))
    num_rows = math.ceil(len(names) / num_columns)
    height = 90 + 240 * num_rows
    figure = make_subplots(
        num_rows, num_columns, shared_yaxes="all", subplot_titles=[plain(name) for name in names],
        horizontal_spacing=0.04, vertical_spacing=95 / height if num_rows > 1 else 0.0,
    )  # fmt: skip
    lay_out(figure, x_title="", y_title="", y_percent=True, height=height)
    figure.update_annotations(font_size=12.5)
    seen: set[str] = set()
    for number, name in enumerate(names):
        place = {"row": number // num_columns + 1, "col": number % num_columns + 1}
        having = [trial for trial in trials if name in trial.params]
        axis = Axis.of(name, having, log=name in log)
        for state in STATE_SYMBOLS:
            shown = [(trial, k) for k, trial in enumerate(having) if trial.state == state]
            if not shown:
                continue
            figure.add_scatter(
                x=[_slice_place(axis, trial, k) for trial, k in shown],
                y=[round(trial.value or 0.0, 4) for trial, _ in shown],
                text=[plain(f"{trial.trial_id}, {state}: {value_text(trial.params[name])}") for trial, _ in shown],
                mode="markers", name=state, legendgroup=state, showlegend=state not in seen,
                marker=marker(state, 6), hovertemplate="%{text}<br>%{y:.1%}<extra></extra>", **place,
            )  # fmt: skip
            seen.add(state)
        if axis.options:
            ticks = [plain(short_label(option)) for option in axis.options]
            figure.update_xaxes(
                tickvals=list(range(len(ticks))),
                ticktext=ticks,
                range=[-0.6, len(ticks) - 0.4],
                showgrid=False,
                **place,
            )
        elif axis.log:
            ticks_at = log_ticks(axis.low, axis.high)
            figure.update_xaxes(type="log", tickvals=ticks_at, ticktext=[f"{tick:g}" for tick in ticks_at], **place)
    figure.update_xaxes(tickfont={"size": 11})
    figure.update_yaxes(tickfont={"size": 11})
    figure.update_yaxes(title={"text": measure_name(history)}, col=1)
    figure.update_layout(legend={"y": 1 + 30 / height}, margin={"t": 56})
    alt = f"{measure_name(history).capitalize()} of {len(trials)} trials against {len(names)} parameters: "
    order = "The most important first. " if importance.shares else ""
    caption = (
        f"{order}One mark per trial that has the parameter, at its value; axes are logarithmic if the parameter "
        "was sampled that way."
    )
    return Figure("slices", figure, f"{alt}{', '.join(names)}.", caption)


# ----------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class _Cell:
    """The trials with one pair of choices."""

    best: float | None
    text: str
    hover: str

    @classmethod
    def of(cls, trials: Sequence[TrialRecord]) -> _Cell:
        if not trials:
            return cls(None, "", "")
        values = [trial.value or 0.0 for trial in trials]
        best, middle = max(values), median(values)
        states = ", ".join(f"{count} {state}" for state, count in Counter(t.state for t in trials).most_common())
        count = f"{len(trials)} trial{'s' if len(trials) > 1 else ''}"
        return cls(
            round(best, 4),
            f"<b>{percent(best)}</b> · median {percent(middle)}<br>{count}",
            f"best {percent(best)}, median {percent(middle)}<br>{states}",
        )


def _choice(trial: TrialRecord, name: str) -> str:
    return value_text(trial.params[name]) if name in trial.params else _NOT_APPLICABLE


_NOT_APPLICABLE = "(does not apply)"


def _sorted_choices(found: set[str]) -> list[str]:
    return sorted(found, key=lambda choice: (choice == _NOT_APPLICABLE, choice))


def _slice_place(axis: Axis, trial: TrialRecord, number: int) -> float:
    value = trial.params[axis.name]
    if axis.options:
        return round(axis.options.index(value_text(value)) + 0.3 * jitter(trial.trial_id), 3)
    return float(f"{value:.5g}")
