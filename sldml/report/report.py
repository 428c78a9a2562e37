"""`report.html`: the results of a search as one self-contained file, for the screen or for printing.

Everything comes from the `History` of the search's journal, so a report can be written at any time, also of an
interrupted search; it then lists what is missing.
"""

from __future__ import annotations

from pathlib import Path

from sldml.journal import ENDED, History
from sldml.report.comparison import HEADER, LEGEND, cells, comparison_of, in_words
from sldml.report.conclusion import conclude
from sldml.report.figures import BASELINE_NAMES, all_figures, measure_name
from sldml.report.figures.comparison import comparison_figure
from sldml.report.files import write_text
from sldml.report.importance import parameter_importance
from sldml.report.leaderboard import distinguishing_params, leaderboard, trial_rows
from sldml.report.page import render_page
from sldml.report.search_time import wall_minutes

MAX_HARDEST = 5


def write_report(history: History, path: Path) -> Path:
    """Write the report of `history` to `path` atomically, and return `path`.

    Raises:
        OSError: the file cannot be written.
    """
    return write_text(render_report(history), path)


def render_report(history: History) -> str:
    """The page as text."""
    importance = parameter_importance(history)
    figures = all_figures(history, importance)
    comparison = comparison_of(history)
    if comparison is not None and (drawn := comparison_figure(comparison)) is not None:
        figures[drawn.name] = drawn
    board, trials = leaderboard(history), trial_rows(history)
    return render_page(
        "report.html.jinja",
        figures,
        title=history.search.get("name") or "search",
        summary=conclude(history),
        facts=facts(history),
        leaderboard=board,
        board_params=distinguishing_params([row.params for row in board if row.rank is not None], importance),
        has_test=bool(history.test),
        comparison=comparison,
        comparison_sentence=None if comparison is None else in_words(comparison),
        comparison_header=HEADER,
        comparison_cells=[] if comparison is None else [cells(row) for row in comparison["rows"]],
        comparison_legend=LEGEND,
        folds=(history.test or {}).get("folds"),
        over_folds=any("val/accuracy_fold_1" in e for t in history.ranked()[:1] for e in t.epochs),
        saved=_saved(history),
        baseline_names=BASELINE_NAMES,
        measure=measure_name(history),
        trials=trials,
        trial_params=distinguishing_params([row["params"] for row in trials], importance),
        importance=importance,
        hardest=_hardest(history),
        notes=(history.search.get("split") or {}).get("notes") or [],
        details=_details(history),
        space_text=(history.search.get("space") or {}).get("text") or "",
        confused=(history.test or {}).get("confused") or [],
    )


def _saved(history: History) -> str | None:
    """The trial or baseline of the saved model."""
    shipped = (history.test or {}).get("shipped") or {}
    return shipped.get("trial_id") or shipped.get("baseline")


def _hardest(history: History) -> list[tuple[str, float]]:
    per_class = (history.test or {}).get("per_class") or {}
    return sorted(((str(label), float(value)) for label, value in per_class.items()), key=lambda item: item[1])[
        :MAX_HARDEST
    ]


def facts(history: History) -> list[tuple[str, str]]:
    """Key figures of the search: name and value."""
    counts = history.counts()
    found = [("trials", str(len(history.trials)))]
    found += [(state, str(counts[state])) for state in ENDED if counts[state]]
    if history.trials:
        found.append(("time", in_minutes(wall_minutes(history))))
        found.append(("epochs", str(sum(len(t.epochs) for t in history.trials.values()))))
    if slots := (history.search.get("settings") or {}).get("slots"):
        found.append(("concurrent", str(slots)))
    if latency := (history.test or {}).get("latency"):
        found.append((f"per recording, {latency['device']}", f"{latency['recognise_ms_per_recording']:.1f} ms"))
    return found


def in_minutes(minutes: float) -> str:
    """A duration as text, in minutes or hours."""
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _details(history: History) -> list[tuple[str, str]]:
    """What is needed to reproduce the search: name and value, without absent ones."""
    search = history.search
    space, prepared = search.get("space") or {}, search.get("prepared") or {}
    split, environment = search.get("split") or {}, search.get("environment") or {}
    commit = environment.get("commit")
    data = [
        f"{prepared[key]:,} {noun}" if isinstance(prepared.get(key), int) else ""
        for key, noun in (("num_recordings", "recordings"), ("num_frames", "frames"), ("num_refused", "unreadable"))
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
