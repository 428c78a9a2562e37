"""The page that compares several searches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sldml.journal import FoundSearch
from sldml.report.figures import BASELINE_NAMES
from sldml.report.figures.several import SealedPoint, accuracy_by_auxiliary, best_so_far
from sldml.report.files import write_text
from sldml.report.page import render_page
from sldml.report.report import in_minutes
from sldml.report.searches import group_of, notes_of, search_row, warnings_of


def write_comparison(searches: Sequence[FoundSearch], path: Path) -> Path:
    """Write the page to `path` atomically, and return `path`.

    Raises:
        OSError: the file cannot be written.
    """
    return write_text(render_comparison(searches), path)


def render_comparison(searches: Sequence[FoundSearch]) -> str:
    """The page as text, with one row per search in the given order."""
    points = [point for search in searches if (point := sealed_point(search)) is not None]
    drawn = (best_so_far([(search.name, search.history) for search in searches]), accuracy_by_auxiliary(points))
    rows = [search_row(search) for search in searches]
    return render_page(
        "searches.html.jinja",
        {figure.name: figure for figure in drawn if figure is not None},
        rows=[(row, in_minutes(row.minutes)) for row in rows],
        sentence=_sentence(points),
        warnings=warnings_of(searches),
        notes=notes_of(searches),
        environments=[(search.name, _environment(search)) for search in searches],
        one_number=len({row.num_auxiliary for row in rows}) == 1,
    )


def sealed_point(search: FoundSearch) -> SealedPoint | None:
    """The result of a search on its sealed test; None before the test."""
    history, row = search.history, search_row(search)
    if row.test is None:
        return None
    tested = {key: history.baselines[key].best.test for key in BASELINE_NAMES if key in history.baselines}
    baselines = {key: value for key, value in tested.items() if value is not None}
    return SealedPoint(search.name, row.dataset, group_of(history), row.num_auxiliary, row.test, row.ci95, baselines)


def _sentence(points: Sequence[SealedPoint]) -> str:
    if not points:
        return "No sealed test has run yet, so there are no results on new classes."
    above = [p for p in points if p.ci95 and p.baselines and p.ci95[0] > max(p.baselines.values())]
    names = f": {', '.join(p.search for p in above)}" if above else ""
    return (
        f"In {len(above)} of {len(points)} searches with a sealed test, the 95 % interval over seeds of the best "
        f"configuration is above every baseline{names}."
    )


def _environment(search: FoundSearch) -> str:
    begun = search.history.search
    commit = begun.environment.commit
    parts = [
        f"commit {commit}{', with uncommitted changes' if begun.environment.dirty else ''}" if commit else "",
        begun.environment.host,
        begun.environment.device,
        begun.command,
        str(search.folder),
    ]
    return " · ".join(filter(None, parts))
