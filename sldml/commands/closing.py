"""The last lines of a search: its results and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sldml.errors import scheme_of
from sldml.journal import ENDED, Latency
from sldml.recognition.latency import latency_lines
from sldml.report.comparison import text_lines


def closing_lines(summary: Mapping[str, Any], *, resume: str, search_again: str = "") -> list[str]:
    """The last lines of a search, from its summary.

    Args:
        summary: That of the search.
        resume: The command that continues it.
        search_again: The command that starts a new search from its best configurations.
    """
    comparison = summary["comparison"]
    lines = _result_lines(summary) if comparison is None else text_lines(comparison)
    if summary["state"] == "failed":
        lines.append(f"failed: {summary['error']}")
    missing = (summary["trials"]["requested"] or 0) - sum(summary["trials"][state] for state in ENDED)
    if summary["left_out"]:
        lines.append(f"left out for the time budget: {'; '.join(summary['left_out'])}")
    stopped = summary["state"] in ("interrupted", "failed") or bool(summary["left_out"])
    if summary["trials"]["unfinished"] or stopped or (comparison and missing > 0):
        lines.append(f"to resume: {resume}")
    elif comparison is not None:
        lines.append(
            f"a comparison saves no model; to search from its best configurations (for one choice only, add --set "
            f"{comparison['axis']}.name=…): {search_again}"
        )
    uri = summary["mlflow"]["tracking_uri"]
    is_server = scheme_of(uri) in ("http", "https")
    lines.append(f"compare: {uri if is_server else shlex.join(['mlflow', 'ui', '--backend-store-uri', uri])}")
    if comparison is not None:
        lines.append(f"table:   {Path(summary['report']).with_name('comparison.md')}")
    if summary["model"]:
        lines.append(f"model:   {summary['model']}")
    lines.append(f"report:  {summary['report']}")
    return lines


def _result_lines(summary: Mapping[str, Any]) -> list[str]:
    """The results of a search and its saved model."""
    lines = []
    for final in summary["final"]:
        accuracy = final["test_accuracy"]
        seeds = len(accuracy["values"])
        interval = "" if accuracy["ci95"] is None else " [{:.3f}, {:.3f}]".format(*accuracy["ci95"])
        lines.append(
            f"final {final['trial_id']}: sealed test {accuracy['mean']:.3f}{interval} over {seeds} "
            f"seed{'' if seeds == 1 else 's'}, validation {final['val_accuracy']:.3f}"
        )
    for name, baseline in summary["baselines"].items():
        if baseline["test"] is not None:
            lines.append(f"baseline {name}: sealed test {baseline['test']:.3f}, validation {baseline['val']:.3f}")
    if summary["noise"]:
        lines.append(f"noise: {summary['noise']}")
    if folds := summary["folds"]:
        lines += [f"class folds {_fold_line(row)}" for row in folds["rows"]]
        lines.append(f"class folds: ended after {folds['num_scored']} folds, because {folds['ending']}")
    shipped = summary["shipped"]
    if shipped:
        name = shipped["trial_id"] or f"{shipped['candidate']['baseline']} (no training)"
        lines.append(f"saved model: {name}, {shipped['reason']}; sealed test {shipped['accuracy']:.3f}")
        if summary["chances_sentence"]:
            lines.append(summary["chances_sentence"])
        if shipped["unknown_accepted"] is not None:
            lines.append(
                f"unknown above the ratio {shipped['threshold']:.3f}: on development classes, this rejects "
                f"{shipped['known_rejected']:.1%} of known and {1 - shipped['unknown_accepted']:.1%} of unknown actions"
            )
    if summary["against_sentence"]:
        lines.append(f"difference: {summary['against_sentence']}")
    if summary["latency"]:
        lines += latency_lines(Latency.model_validate(summary["latency"]))
    return lines


def _fold_line(row: Mapping[str, Any]) -> str:
    """A row of `FoldTable` as text."""
    name = f"{row['name']} (default)" if row["is_default"] else row["name"]
    if row["mean"] is None:
        return f"{name}: {row['error'] or 'not scored'}"
    spread = "" if row["std"] is None else f" ± {row['std']:.3f}"
    line = f"{name}: {row['mean']:.3f}{spread} over {len(row['accuracies'])} folds"
    if difference := row["difference"]:
        low, high = difference["ci95"]
        line += f", {difference['mean']:+.3f} [{low:+.3f}, {high:+.3f}] against the best baseline"
    if row["dropped"]:
        line += "; dropped"
    return f"{line}; {row['error']}" if row["error"] else line
