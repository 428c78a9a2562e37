"""`report.html`: the results of a search as one self-contained file, for the screen or for printing.

Everything comes from the `History` of the search's journal, so a report can be written at any time, also of an
interrupted search; it then lists what is missing.
"""

from __future__ import annotations

from pathlib import Path

from sldml.journal import ENDED, History, SearchBegun
from sldml.report.comparison import HEADER, LEGEND, cells, comparison_of, in_words
from sldml.report.conclusion import conclude
from sldml.report.figures import BASELINE_NAMES, all_figures, measure_name
from sldml.report.figures.comparison import comparison_figure
from sldml.report.files import write_text
from sldml.report.importance import parameter_importance
from sldml.report.leaderboard import distinguishing_params, leaderboard, trial_rows
from sldml.report.page import render_page
from sldml.report.search_time import wall_minutes
from sldml.report.shipped import against_sentence, chances_sentence, shipped_row

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
        title=history.search.name,
        summary=conclude(history),
        facts=facts(history),
        leaderboard=board,
        board_params=distinguishing_params([row.params for row in board if row.rank is not None], importance),
        has_test=history.test is not None,
        comparison=comparison,
        comparison_sentence=None if comparison is None else in_words(comparison),
        comparison_header=HEADER,
        comparison_cells=[] if comparison is None else [cells(row) for row in comparison["rows"]],
        comparison_legend=LEGEND,
        folds=None if history.test is None else history.test.folds,
        over_folds=any("val/accuracy_fold_1" in e.metrics for t in history.ranked()[:1] for e in t.epochs),
        ships=shipped_row(history),
        against=against_sentence(history),
        chances=chances_sentence(history),
        saved=None if history.shipped is None else history.shipped.name,
        baseline_names=BASELINE_NAMES,
        measure=measure_name(history),
        trials=trials,
        trial_params=distinguishing_params([row["params"] for row in trials], importance),
        importance=importance,
        hardest=_hardest(history),
        notes=history.search.split.notes,
        details=_details(history.search),
        space_text=history.search.space.text,
        confused=() if history.test is None else history.test.confused,
    )


def _hardest(history: History) -> list[tuple[str, float]]:
    per_class = {} if history.test is None else history.test.per_class
    return sorted(per_class.items(), key=lambda item: item[1])[:MAX_HARDEST]


def facts(history: History) -> list[tuple[str, str]]:
    """Key figures of the search: name and value."""
    counts = history.counts()
    found = [("trials", str(len(history.trials)))]
    found += [(state, str(counts[state])) for state in ENDED if counts[state]]
    if history.trials:
        found.append(("time", in_minutes(wall_minutes(history))))
        found.append(("epochs", str(sum(len(t.epochs) for t in history.trials.values()))))
    found.append(("concurrent", str(history.search.slots)))
    if history.test is not None and (latency := history.test.latency) is not None:
        found.append((f"per recording, {latency.device}", f"{latency.recognise_ms_per_recording:.1f} ms"))
    return found


def in_minutes(minutes: float) -> str:
    """A duration as text, in minutes or hours."""
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _details(search: SearchBegun) -> list[tuple[str, str]]:
    """What is needed to reproduce the search: name and value, without absent ones."""
    prepared, split, environment = search.prepared, search.split, search.environment
    data = [
        f"{prepared.num_recordings:,} recordings",
        f"{prepared.num_frames:,} frames",
        f"{prepared.num_refused:,} unreadable",
    ]
    classes = [
        f"{len(split.train_classes)} training classes",
        f"{len(split.validation_classes)} validation classes",
        f"{split.num_novel_classes} novel classes",
    ]
    settings = search.settings.model_dump()
    commit = environment.commit
    found = [
        ("command", search.command),
        ("space", f"{search.space.name} · {search.space.hash}"),
        ("settings", ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)),
        ("data", " · ".join([prepared.source, prepared.hash, *data])),
        ("protocol", split.description),
        ("classes", ", ".join(classes)),
        ("commit", f"{commit}{', with uncommitted changes' if environment.dirty else ''}" if commit else None),
        ("host", environment.host),
        ("platform", environment.platform),
        ("device", environment.device),
        ("threads per trial", environment.threads),
        ("Python", environment.python),
        ("packages", ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]
