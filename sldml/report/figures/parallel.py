"""All trials as lines through their parameters."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sldml.journal import History, TrialRecord
from sldml.report.declared_space import log_parameters
from sldml.report.figures.look import Figure, lay_out, percent, plain, shorten
from sldml.report.figures.sampled import Axis, by_importance, is_choice, jitter, short_label, value_text
from sldml.report.importance import Importance

MAX_AXES = 9
"""In addition to the axis of the value."""
MAX_CHOICES = 4
"""This many choices have an axis regardless of their importance, because they identify a trial."""
_LEVELS = 16
"""Number of colours; each is one trace, independent of the number of trials."""
_ABSENT = -0.16
"""Position of lines without a value on an axis, below the axis from 0 to 1."""


def parallel_coordinates(history: History, importance: Importance) -> Figure | None:
    """Every trial as a line through its parameters to its value, the best ones darkest and on top.

    Drawn as ordinary lines: Plotly's parallel coordinates need WebGL, which does not print, and code generation at run
    time, which the page's security policy forbids.
    """
    trials = history.ranked()[::-1]
    names = by_importance(trials, importance)
    choices = [name for name in names if is_choice(trials, name)]
    kept = set(names[: MAX_AXES - min(MAX_CHOICES, len(choices))] + choices[:MAX_CHOICES])
    kept |= set([name for name in names if name not in kept][: MAX_AXES - len(kept)])
    names = [name for name in names if name in kept][:MAX_AXES]
    if len(trials) < 2 or len(names) < 2:
        return None
    log = log_parameters(history)
    axes = [Axis.of(name, [t for t in trials if name in t.params], log=name in log) for name in names]
    low, high = (end([trial.value or 0.0 for trial in trials], default=0.0) for end in (min, max))
    span = max(high - low, 1e-9)
    figure = go.Figure()
    for axis_place in range(len(names) + 1):
        figure.add_shape(
            type="line", x0=axis_place, x1=axis_place, y0=0, y1=1, layer="below", line={"color": "#999999", "width": 1}
        )
    any_absent = any(name not in trial.params for trial in trials for name in names)
    by_level: dict[int, list[TrialRecord]] = {}
    for rank, trial in enumerate(trials):  # by rank, because a few bad trials would give all others one colour
        by_level.setdefault(round((_LEVELS - 1) * rank / (len(trials) - 1)), []).append(trial)
    for level, own in by_level.items():
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str | None] = []
        labels: list[str | None] = []
        for trial in own:
            for place, axis in enumerate(axes):
                given = trial.params.get(axis.name)
                x.append(place)
                y.append(_ABSENT if given is None else round(axis.share(given, jitter(trial.trial_id)), 4))
                text.append(f"{plain(axis.name)} {plain('does not apply' if given is None else value_text(given))}")
            x += [len(axes), None]
            y += [round(((trial.value or 0.0) - low) / span, 4), None]
            text += [f"{trial.state}", None]
            labels += [f"{plain(trial.trial_id)}, {percent(trial.value)}"] * (len(axes) + 1) + [None]
        color = sample_colorscale("Viridis_r", 0.04 + 0.96 * level / (_LEVELS - 1))[0]
        figure.add_scatter(
            x=x, y=y, text=text, customdata=labels, mode="lines", connectgaps=False, showlegend=False,
            line={"color": color, "width": 1.1 + 0.9 * level / (_LEVELS - 1)}, opacity=0.75,
            hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(  # the page moves this line over the hovered one
        x=[None], y=[None], mode="lines", showlegend=False, hoverinfo="skip", name="hovered",
        line={"color": "#D55E00", "width": 4},
    )  # fmt: skip
    ticks = [(place, *tick) for place, axis in enumerate(axes) for tick in axis.ticks()]
    ticks += [(len(axes), share, percent(low + share * span)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    if any_absent:
        ticks += [
            (place, _ABSENT, "–") for place, axis in enumerate(axes) if any(axis.name not in t.params for t in trials)
        ]
    figure.add_scatter(
        x=[place for place, _, _ in ticks], y=[share for _, share, _ in ticks], mode="markers", cliponaxis=False,
        marker={"symbol": "line-ew-open", "size": 7, "color": "#555555"}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    for place, share, tick in ticks:
        figure.add_annotation(
            x=place, y=share, text=plain(short_label(tick)), showarrow=False, xanchor="left", xshift=5, borderpad=0,
            font={"size": 11}, bgcolor="rgba(255, 255, 255, 0.8)",
        )  # fmt: skip
    lay_out(figure, x_title="", y_title="", height=460)
    figure.update_xaxes(
        tickvals=list(range(len(names) + 1)), ticktext=[*(_folded(name) for name in names), "<b>validation</b>"],
        side="top", range=[-0.15, len(names) + 0.55], showgrid=False, showline=False, tickangle=0,
        tickfont={"size": 11},
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[_ABSENT - 0.1, 1.05])
    figure.update_layout(margin={"l": 24, "t": 64, "b": 12})
    alt = (
        f"{len(trials)} trials as lines through {len(names)} parameters ({', '.join(names)}) to their validation value"
    )
    caption = "One line per trial, darker and thicker for better ones; hover over a line to highlight it."
    if any_absent:
        caption += " Trials pass below the axis (–) of a parameter that does not apply."
    return Figure("parallel", figure, f"{alt}.", caption)


def _folded(name: str) -> str:
    """A dotted name, wrapped at its dots."""
    return "<br>".join(plain(shorten(part)) for part in name.split("."))
