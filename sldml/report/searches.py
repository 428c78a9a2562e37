"""Several searches: finding them, a table row for each, and what makes them incomparable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sldml.config.dotted import ConfigTree, flatten
from sldml.errors import InputError
from sldml.journal import ENDED, FoundSearch, History, find_search
from sldml.report.conclusion import best_baseline, describe_params
from sldml.report.search_time import wall_minutes
from sldml.report.shipped import ShippedRow, shipped_row


@dataclass(frozen=True)
class SearchRow:
    """A search in the table; accuracies are fractions, None if missing."""

    name: str
    dataset: str
    protocol: str
    num_auxiliary: int
    trials: str
    winner: str | None
    """The best trial by validation."""
    configuration: str
    validation: float | None
    test: float | None
    ci95: tuple[float, float] | None
    num_seeds: int
    best_baseline: tuple[str, float] | None
    """Display name and accuracy on the sealed test."""
    ships: ShippedRow | None
    minutes: float


def find_searches(given: Sequence[str], storage: Path) -> list[FoundSearch]:
    """`find_search` for each; searches of the same name get their folders as names.

    Raises:
        InputError: a search does not exist, or is given twice.
    """
    found = [find_search(name, storage) for name in given]
    for place, search in enumerate(found):
        if any(search.folder.resolve() == other.folder.resolve() for other in found[:place]):
            raise InputError(f"search {given[place]} is given twice: name each search once")
    names = [search.name for search in found]
    return [s if names.count(s.name) == 1 else FoundSearch(str(s.folder), s.folder, s.history) for s in found]


def search_row(search: FoundSearch) -> SearchRow:
    """The row of a search."""
    history = search.history
    ranked = history.ranked()
    final = None if history.test is None else history.test.finals[0]
    accuracy = None if final is None else final.test_accuracy
    winner = history.trials[final.trial_id] if final is not None else (ranked[0] if ranked else None)
    ships = shipped_row(history)
    counts = history.counts()
    ended = ", ".join(f"{counts[s]} {s}" for s in (*ENDED, "paused", "running") if counts[s])
    return SearchRow(
        search.name,
        _dataset(history),
        history.search.split.description,
        history.search.split.num_auxiliary,
        f"{len(history.trials)} ({ended})" if ended else "0",
        winner.trial_id if winner else None,
        describe_params(winner.params) if winner else "",
        winner.value if winner else None,
        None if accuracy is None else accuracy.mean,
        None if accuracy is None else accuracy.ci95,
        0 if accuracy is None else len(accuracy.values),
        best_baseline(history, "test"),
        ships,
        wall_minutes(history),
    )


def warnings_of(searches: Sequence[FoundSearch]) -> list[str]:
    """What makes the results of these searches incomparable, one sentence each."""
    checks: list[tuple[str, Callable[[History], str | None], str]] = [
        ("prepared sets", _prepared, "they used different recordings"),
        ("protocols", _protocol, "their tests are different tasks"),
        ("novel classes", _novel, "their tests differ in difficulty"),
        ("numbers of sealed queries", _queries, "their tests are different"),
        ("measures of validation", lambda h: h.search.split.measure, "compare only the tests"),
        ("commits", _commit, "changes of the code may affect the results"),
    ]
    found = []
    for what, value_of, why in checks:
        groups: dict[str, list[str]] = {}
        for search in searches:
            value = value_of(search.history)
            if value is not None:
                groups.setdefault(value, []).append(search.name)
        if len(groups) > 1:
            each = "; ".join(f"{', '.join(names)}: {value}" for value, names in groups.items())
            found.append(f"Different {what}: {why} ({each}).")
    dirty = [s.name for s in searches if s.history.search.environment.dirty]
    if dirty:
        found.append(f"{', '.join(dirty)} ran with uncommitted changes: the commit does not identify the code.")
    return found


def notes_of(searches: Sequence[FoundSearch]) -> list[str]:
    """Notes for the reader, in addition to the warnings."""
    notes = []
    untested = [search.name for search in searches if search.history.test is None]
    if untested:
        notes.append(
            f"The sealed test has not run in {', '.join(untested)}: validation alone does not measure new classes."
        )
    validated = {(s.history.search.split.validation_classes, _num_folds(s.history)) for s in searches}
    if len(validated) > 1:
        notes.append(
            "Validation values are over different classes or folds in each search: they rank configurations within a "
            "search, but are not comparable between searches."
        )
    return notes


def group_of(history: History) -> str:
    """Dataset and protocol; searches of one group differ only in the number of auxiliary classes."""
    return f"{_dataset(history)}, {_protocol(history) or 'one protocol'}"


def _config(history: History) -> ConfigTree:
    return next((trial.config for trial in history.trials.values()), {})


def _dataset(history: History) -> str:
    return history.search.prepared.source


def _prepared(history: History) -> str:
    return history.search.prepared.hash[:12]


def _protocol(history: History) -> str | None:
    """The settings of the protocol, without the number of auxiliary classes."""
    settings = dict(flatten(_config(history).get("protocol", {})))
    if not settings:
        return None
    name = settings.pop("name", "")
    shown = sorted((k, v) for k, v in settings.items() if k != "num_auxiliary" and v not in (None, {}))
    return f"{name} {', '.join(f'{k} {v}' for k, v in shown)}".strip()


def _novel(history: History) -> str | None:
    """The novel classes; None before the sealed test."""
    if history.test is None:
        return None
    labels = history.test.finals[0].confusions[0].labels
    shown = f"{labels[0]} … {labels[-1]}" if len(labels) > 2 else ", ".join(labels)
    # Two lists may have the same first and last names.
    return f"{len(labels)} ({shown}; list {_digest(labels)})"


def _queries(history: History) -> str:
    return str(history.search.split.num_novel)


def _commit(history: History) -> str | None:
    commit = history.search.environment.commit
    return None if commit is None else commit[:12]


def _num_folds(history: History) -> int | None:
    found: int | None = _config(history).get("evaluation", {}).get("num_folds")
    return found


def _digest(labels: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(labels)).encode(), digest_size=3).hexdigest()
