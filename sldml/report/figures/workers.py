"""The time of a search: trainings on each worker, and the duration of each stage."""

from __future__ import annotations

import plotly.graph_objects as go

from sldml.journal import History
from sldml.report.figures.look import STATE_COLORS, Figure, lay_out, plain
from sldml.report.search_time import StageTime, search_clock, share_while_training, stage_times, worker_time

IDLE_COLOR = "#F0E4D4"
PART_COLORS = {
    "step": ("training steps", "#0072B2"),
    "data": ("data", "#56B4E9"),
    "evaluation": ("evaluation", "#009E73"),
    "baselines": ("baselines", "#CC79A7"),
    "rest": ("rest of the trainings: start, checkpoints, reports", "#E69F00"),
    "idle": ("no training: start-up, waiting", "#D9D2C7"),
    "whole": ("a stage as a whole", "#8A8A8A"),
}
STAGE_NAMES = {
    "search": "trials and baselines",
    "final": "final trainings",
    "folds": "class folds",
    "test": "sealed test, model",
}


def timeline(history: History) -> Figure | None:
    """The trainings on each worker over time, and the idle time between them."""
    found = worker_time(history)
    if not found.lanes:
        return None
    clock = search_clock(history)
    names = [plain(lane.name) for lane in found.lanes]
    figure = go.Figure()
    idle = [(place, begin, end) for place, lane in enumerate(found.lanes) for begin, end in lane.idle]
    if idle:
        figure.add_bar(
            y=[place for place, _, _ in idle], x=[round(clock(end) - clock(begin), 3) for _, begin, end in idle],
            base=[round(clock(begin), 3) for _, begin, _ in idle], orientation="h", name="idle", width=0.7,
            marker={"color": IDLE_COLOR, "line": {"width": 0}}, hovertemplate="idle: %{x:.2f} min<extra></extra>",
        )  # fmt: skip
    for kind, color in STATE_COLORS.items():
        own = [(place, span) for place, lane in enumerate(found.lanes) for span in lane.spans if span.kind == kind]
        if own:
            figure.add_bar(
                y=[place for place, _ in own], x=[round(clock(span.end) - clock(span.begin), 3) for _, span in own],
                base=[round(clock(span.begin), 3) for _, span in own], orientation="h",
                name="final training" if kind == "final" else kind,
                text=[plain(f"{s.name}{f' on {s.worker}' if s.worker else ''}") for _, s in own], textposition="none",
                width=0.7, marker={"color": color, "line": {"color": "#ffffff", "width": 1}},
                hovertemplate="%{text}: %{x:.2f} min<extra></extra>",
            )  # fmt: skip
    lay_out(figure, x_title="minutes of search", y_title="", height=150 + 34 * len(names))
    figure.update_layout(barmode="overlay")
    every = max(1, len(names) // 24)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=list(range(0, len(names), every)), ticktext=names[::every]
    )
    spans = [span for lane in found.lanes for span in lane.spans]
    end = max(clock(span.end) for span in spans)
    words = found.in_words()
    alt = (
        f"Timeline of {len(spans)} trainings and groups of baselines over {end:.1f} minutes, up to {len(names)} at once"
    )
    alt += f"; {words}"
    caption = f"{words[0].upper()}{words[1:]} One bar per training or group of baselines; idle time is pale."
    if all(span.worker is None for span in spans):
        caption += " Lanes fill as they become free; workers were not recorded."
    slots = history.begun.slots if history.begun is not None else 0
    if slots and slots > len(names):
        caption += f" {slots - len(names)} of {slots} slots were never used."
    return Figure("timeline", figure, alt, caption)


def time_spent(history: History) -> Figure | None:
    """The duration of each stage, and how its workers spent it."""
    stages = [stage for stage in stage_times(history) if stage.seconds > 0]
    if not stages:
        return None
    total = sum(stage.seconds for stage in stages)
    figure = go.Figure()
    for part, (name, color) in PART_COLORS.items():
        shown = [(place, _part(stage, part)) for place, stage in enumerate(stages) if _part(stage, part) > 0]
        if shown:
            figure.add_bar(
                y=[place for place, _ in shown], x=[round(seconds / 60, 3) for _, seconds in shown], orientation="h",
                name=name, width=0.66, marker={"color": color},
                text=[f"{100 * seconds / stages[place].seconds:.0f} % of the stage" for place, seconds in shown],
                textposition="none", hovertemplate=f"{name}: %{{x:.2f}} min, %{{text}}<extra></extra>",
            )  # fmt: skip
    lay_out(figure, x_title="minutes", y_title="", height=170 + 40 * len(stages))
    names = [f"{plain(STAGE_NAMES.get(s.name, s.name))}, {_minutes(s.seconds)}" for s in stages]
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed", showgrid=False)
    longest = max(stages, key=lambda stage: stage.seconds)
    each = "; ".join(
        f"{STAGE_NAMES.get(s.name, s.name)} {_minutes(s.seconds)} ({100 * s.seconds / total:.0f} %)" for s in stages
    )
    alt = f"Wall time of each stage: {each}. The longest is {STAGE_NAMES.get(longest.name, longest.name)}."
    caption = (
        "Wall time of each stage, without pauses between calls. Stages with trainings are divided by the mean activity "
        "of their workers."
    )
    for name, device in (("time/cpu_share", "CPU"), ("time/gpu_share", "GPU")):
        share = share_while_training(history, name)
        if share is not None:
            caption += f" {device} utilisation during training: {100 * share:.0f} %."
    return Figure("time_spent", figure, alt, caption)


def _part(stage: StageTime, part: str) -> float:
    if part == "whole":
        return 0.0 if stage.parts else stage.seconds
    return stage.parts.get(part, 0.0)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
