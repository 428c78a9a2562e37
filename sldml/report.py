"""`report.html`: what a search found, as one file that needs nothing else to be read, on a screen or on paper.

Everything comes from the `History` of the search's journal, so a report can be written at any time, also of a
search that was interrupted; it then says what is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from sldml.comparison import HEADER, LEGEND, cells, comparison_of, in_words
from sldml.comparison_figure import comparison_figure
from sldml.figures import BASELINE_NAMES, Figure, all_figures, end_of, measure_name, percent, search_clock
from sldml.importance import parameter_importance
from sldml.journal import History
from sldml.leaderboard import interval_of, leaderboard, number, points, trial_rows
from sldml.noise import against_best, noise_in_words, within_noise

MAX_WORDS = 6
MAX_HARDEST = 5


@dataclass(frozen=True)
class Summary:
    """The result in a sentence, and what a reader has to know before believing it."""

    sentence: str
    warnings: list[str]
    missing: list[str]
    noise: str | None = None
    """What validation cannot tell apart."""


def write_report(history: History, path: Path) -> Path:
    """Write the report of `history` to `path`, whole or not at all, and return `path`.

    Raises:
        OSError: the file cannot be written.
    """
    page = render_report(history)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def render_report(history: History) -> str:
    """The page as text."""
    importance = parameter_importance(history)
    figures = all_figures(history, importance)
    comparison = comparison_of(history)
    if comparison is not None and (drawn := comparison_figure(comparison)) is not None:
        figures[drawn.name] = drawn
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of classes and searches come from outside
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number, "points": points}
    return environment.get_template("report.html.jinja").render(
        title=history.search.get("name") or "search",
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=summarize(history),
        facts=facts(history),
        leaderboard=leaderboard(history),
        has_test=bool(history.test),
        comparison=comparison,
        comparison_sentence=None if comparison is None else in_words(comparison),
        comparison_header=HEADER,
        comparison_cells=[] if comparison is None else [cells(row) for row in comparison["rows"]],
        comparison_legend=LEGEND,
        folds=(history.test or {}).get("folds"),
        over_folds=any("val/accuracy_fold_1" in e for t in history.ranked()[:1] for e in t.epochs),
        ships=_ships(history),
        baseline_names=BASELINE_NAMES,
        measure=measure_name(history),
        trials=trial_rows(history),
        importance=importance,
        hardest=_hardest(history),
        notes=(history.search.get("split") or {}).get("notes") or [],
        details=_details(history),
        space_text=(history.search.get("space") or {}).get("text") or "",
        figures=figures,
        figure_data={name: _figure_data(figure) for name, figure in figures.items()},
        plotly_js=get_plotlyjs(),
    )


def _ships(history: History) -> str | None:
    """The trial or the baseline that ships."""
    shipped = (history.test or {}).get("shipped") or {}
    return shipped.get("trial_id") or shipped.get("baseline")


def _figure_data(figure: Figure) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure.figure.to_json())
    return found


# --------------------------------------------------------------------------------------------------- in words


def describe(params: Mapping[str, Any]) -> str:
    """Sampled parameters in words: the choices first, then the learning rate, then what else fits."""
    words = [f"{value} {path.removesuffix('.name')}" for path, value in params.items() if path.endswith(".name")]
    if "optimizer.lr" in params:
        words.append(f"learning rate {number(params['optimizer.lr'])}")
    rest = [
        f"{path} {number(value)}"
        for path, value in params.items()
        if not path.endswith(".name") and path != "optimizer.lr"
    ]
    shown = [*words, *rest[: max(0, MAX_WORDS - len(words))]]
    more = len(words) + len(rest) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "nothing sampled"


def summarize(history: History) -> Summary:
    """Put the result, its warnings and what is missing into words."""
    ranked = history.ranked()
    warnings: list[str] = []
    missing: list[str] = []
    measured = _baseline_values(history, "val")
    if absent := [name for name in BASELINE_NAMES.values() if name not in measured]:
        missing.append(f"Not measured: {', '.join(absent)}. Nothing says whether training was worth it there.")
    if running := history.counts()["running"]:
        missing.append(f"{running} trial{'s' if running > 1 else ''} had not ended when this was written.")
    finals = (history.test or {}).get("finals") or []
    if not ranked and not finals:
        return Summary("No trial has reported a value yet.", warnings, missing)
    others = against_best(history)
    noise = noise_in_words(ranked[0], len(others), within_noise(others)) if ranked else None
    if not finals:
        missing.append(
            "The final trainings and the sealed test have not run (interrupted, or --no-final). Validation chose "
            "among the trials, so its numbers flatter the best one; they are no estimate for new classes."
        )
        best = ranked[0]
        sentence = (
            f"So far the best configuration is {best.trial_id} ({describe(best.params)}) with a "
            f"{measure_name(history)} of {percent(best.value)}"
        )
        base = _best_baseline(history, "val")
        sentence += f"; the best baseline, {base[0]}, has {percent(base[1])}." if base else "."
        if base and (best.value or 0.0) <= base[1]:
            warnings.append(f"No trained configuration is above {base[0]} on validation.")
        elif alike := [row.name for row in leaderboard(history) if row.rank is None and row.is_noise]:
            warnings.append(
                f"On validation the best configuration is within the noise of {', '.join(alike)}: that training pays "
                "is not shown."
            )
        return Summary(sentence, warnings, missing, noise)
    sentence = _summarize_test(history, finals[0], warnings)
    return Summary(sentence, warnings, missing, noise)


def _summarize_test(history: History, winner: dict[str, Any], warnings: list[str]) -> str:
    """The sentence about the sealed test; what is to be said before believing it is added to `warnings`."""
    test = history.test or {}
    accuracy = winner["test_accuracy"]
    mean, values = float(accuracy["mean"]), accuracy.get("values") or []
    interval = interval_of(accuracy)
    trial = history.trials.get(winner["trial_id"])
    sentence = (
        f"The best configuration by validation, {winner['trial_id']} "
        f"({describe(trial.params if trial else {})}), names {percent(mean)} of the queries of new classes rightly"
    )
    if interval:
        sentence += f" (95 % interval {percent(interval[0])} to {percent(interval[1])}, {len(values)} seeds"
    else:
        sentence += f" ({len(values)} seed{'' if len(values) == 1 else 's'}"
    if test.get("num_queries"):
        sentence += f"; {test['num_queries']} queries, {test.get('num_classes', '?')} classes, one sealed test"
    base = _best_baseline(history, "test")
    sentence += f"); the best baseline without training, {base[0]}, {percent(base[1])}." if base else ")."
    if base:
        not_beaten = [
            f"{name} ({percent(value)})" for name, value in _baseline_values(history, "test").items() if value >= mean
        ]
        if not_beaten:
            warnings.append(
                f"The winner does not beat every baseline: {', '.join(not_beaten)} did as well without any training."
            )
        elif interval is None:
            warnings.append("There is one seed only, so nothing says how much of the difference is chance.")
        elif interval[0] <= base[1]:
            warnings.append(
                f"The difference to {base[0]} lies within the 95 % interval: it may be chance. More seeds would tell."
            )
    shipped = test.get("shipped") or {}
    if shipped.get("kind") == "training_free":
        name = BASELINE_NAMES.get(shipped.get("baseline", ""), shipped.get("baseline"))
        reason = str(shipped.get("reason", "no reason given")).rstrip(".")
        warnings.append(f"The model that ships is {name}, not the trained one: {reason}.")
    elif shipped.get("trial_id") not in (None, winner["trial_id"]):
        reason = str(shipped["reason"]).rstrip(".")
        warnings.append(f"The model that ships is {shipped['trial_id']}, not the first by validation: {reason}.")
    return sentence


def _baseline_values(history: History, split: str) -> dict[str, float]:
    return {
        name: float(history.baselines[key][split])
        for key, name in BASELINE_NAMES.items()
        if (history.baselines.get(key) or {}).get(split) is not None
    }


def _best_baseline(history: History, split: str) -> tuple[str, float] | None:
    return max(_baseline_values(history, split).items(), key=lambda item: item[1], default=None)


# ----------------------------------------------------------------------------------------------------- tables


def _hardest(history: History) -> list[tuple[str, float]]:
    per_class = (history.test or {}).get("per_class") or {}
    return sorted(((str(label), float(value)) for label, value in per_class.items()), key=lambda item: item[1])[
        :MAX_HARDEST
    ]


def facts(history: History) -> list[tuple[str, str]]:
    """A few numbers about the search: name and value."""
    counts = history.counts()
    found = [("trials", str(len(history.trials)))]
    found += [(state, str(counts[state])) for state in ("completed", "pruned", "diverged", "failed") if counts[state]]
    if history.trials:
        clock = search_clock(history)
        minutes = max(
            [clock(end_of(t)) for t in history.trials.values()]
            + [clock(f.ended) for f in history.finals.values() if f.ended is not None]
        )
        found.append(("time", f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"))
        found.append(("epochs", str(sum(len(t.epochs) for t in history.trials.values()))))
    if slots := (history.search.get("settings") or {}).get("slots"):
        found.append(("at once", str(slots)))
    return found


def _details(history: History) -> list[tuple[str, str]]:
    """What is needed to do the search again: name and value, absent ones left out."""
    search = history.search
    space, prepared = search.get("space") or {}, search.get("prepared") or {}
    split, environment = search.get("split") or {}, search.get("environment") or {}
    commit = environment.get("commit")
    data = [
        f"{prepared[key]:,} {noun}" if isinstance(prepared.get(key), int) else ""
        for key, noun in (("num_recordings", "recordings"), ("num_frames", "frames"), ("num_refused", "refused"))
    ]
    classes = [
        f"{len(split[key])} {noun}"
        for key, noun in (("train_classes", "training classes"), ("validation_classes", "validation classes"))
        if split.get(key)
    ]
    if split.get("num_novel_classes"):
        classes.append(f"{split['num_novel_classes']} novel classes")
    found = [
        ("command", search.get("command")),
        ("space", " · ".join(filter(None, [space.get("name"), space.get("hash")]))),
        ("settings", ", ".join(f"{k} {v}" for k, v in (search.get("settings") or {}).items() if v is not None)),
        ("data", " · ".join(filter(None, [prepared.get("source"), prepared.get("hash"), *data]))),
        ("protocol", split.get("description")),
        ("classes", ", ".join(classes)),
        ("commit", f"{commit}{', with uncommitted changes' if environment.get('dirty') else ''}" if commit else None),
        ("host", environment.get("host")),
        ("platform", environment.get("platform")),
        ("device", environment.get("device")),
        ("threads per trial", environment.get("threads")),
        ("Python", environment.get("python")),
        ("packages", ", ".join(f"{k} {v}" for k, v in sorted((environment.get("packages") or {}).items()))),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]
