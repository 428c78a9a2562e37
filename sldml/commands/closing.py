"""The last lines of a search: what came out, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sldml.journal import ENDED
from sldml.recognition.latency import latency_lines
from sldml.report.comparison import text_lines


def closing_lines(summary: Mapping[str, Any], *, resume: str) -> list[str]:
    """The last lines that a person sees: what came out, and what to do next."""
    comparison = summary["comparison"]
    lines = _result_lines(summary) if comparison is None else text_lines(comparison)
    if summary["state"] == "failed":
        lines.append(f"failed: {summary['error']}")
    missing = (summary["trials"]["requested"] or 0) - sum(summary["trials"][state] for state in ENDED)
    if summary["trials"]["unfinished"] or summary["state"] == "interrupted" or (comparison and missing > 0):
        lines.append(f"to go on: {resume}")
    elif comparison is not None:
        lines.append(
            "a comparison ships no model; to search on from the best of it: python launch/tune.py "
            f"--space {summary['space']} --warm-start {summary['name']} (for one choice alone: --set "
            f"{comparison['axis']}.name=…)"
        )
    uri = summary["mlflow"]["tracking_uri"]
    lines.append(f"compare: mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite") else f"compare: {uri}")
    if comparison is not None:
        lines.append(f"table:   {Path(summary['report']).with_name('comparison.md')}")
    if summary["model"]:
        lines.append(f"model:   {summary['model']}")
    lines.append(f"report:  {summary['report']}")
    return lines


def _result_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a search found, and what ships."""
    lines = []
    for final in summary["final"]:
        accuracy = final["test_accuracy"]
        low, high = accuracy["ci95"]
        lines.append(
            f"final {final['trial_id']}: sealed test {accuracy['mean']:.3f} [{low:.3f}, {high:.3f}] over "
            f"{len(accuracy['values'])} seeds, validation {final['val_accuracy']:.3f}"
        )
    for name, baseline in summary["baselines"].items():
        if baseline["test"] is not None:
            lines.append(f"baseline {name}: sealed test {baseline['test']:.3f}, validation {baseline['val']:.3f}")
    if summary["noise"]:
        lines.append(f"noise: {summary['noise']}")
    lines += [f"class folds {_fold_line(row)}" for row in (summary["folds"] or {}).get("rows", [])]
    shipped = summary["shipped"]
    if shipped:
        if shipped["kind"] == "training_free":
            lines.append(f"no trained model earned its place: what ships, {shipped['baseline']}, needs no training")
        what = shipped.get("trial_id") or shipped["baseline"]
        lines.append(f"ships: {what}, {shipped['reason']}; sealed test {shipped['accuracy']:.3f}")
    if summary["latency"]:
        lines += latency_lines(summary["latency"])
    return lines


def _fold_line(row: Mapping[str, Any]) -> str:
    """A row of `sldml.search.choice.fold_rows` for a person."""
    if row["mean"] is None:
        return f"{row['name']}: {row['error']}"
    line = f"{row['name']}: {row['mean']:.3f} ± {row['std']:.3f} over {len(row['accuracies'])} folds"
    if difference := row["difference"]:
        low, high = difference["ci95"]
        line += f", {difference['mean']:+.3f} [{low:+.3f}, {high:+.3f}] against the best without training"
    return line
