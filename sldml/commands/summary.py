"""The outcome of a search as one JSON object, for programs: `--summary FILE`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sldml.errors import InputError
from sldml.journal import ENDED, History
from sldml.recognition.baselines import BASELINES
from sldml.recognition.latency import latency_lines
from sldml.report.comparison import comparison_of, text_lines
from sldml.report.noise import against_best, noise_in_words, trial_score, within_noise


@dataclass
class Timing:
    """How long this call took, and how much of it was training."""

    started: float
    """Seconds since 1970."""
    slots: int = 1
    """How many trials could run at once."""
    stages: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage, seconds."""

    def to_json(self, history: History) -> dict[str, Any]:
        """`wall_s`: this call; `trial_s`: from start to end of its trials, summed; `bare_s`: what they spent in data,
        step and evaluation; `efficiency`: bare time over the search's wall time in all slots."""
        bare = trial = 0.0
        for record in history.trials.values():
            epochs = [e for e in record.epochs if e["time"] >= self.started]
            bare += sum(e.get(f"time/{part}_s", 0.0) for e in epochs for part in ("data", "step", "evaluation"))
            if epochs:
                trial += max(e["time"] for e in epochs) - max(record.started, self.started)
        search_s = self.stages.get("search", 0.0)
        return {
            "wall_s": time.time() - self.started,
            "trial_s": trial,
            "bare_s": bare,
            "slots": self.slots,
            "search_s": search_s,
            "efficiency": bare / (self.slots * search_s) if search_s > 0 and bare > 0 else None,
            "stages_s": dict(self.stages),
        }


def summarize(
    history: History, state: str, timing: Timing, places: Mapping[str, Any], error: str | None = None
) -> dict[str, Any]:
    """The summary of a search. Accuracies are fractions; what there is not (yet) is null.

    `within_noise` are the trials that validation cannot tell from the best one (`sldml.report.noise`; null where
    nothing is known of the noise), and `noise` says it in words.

    Args:
        history: What the journal says.
        state: `completed`, `interrupted` or `failed`.
        timing: Of this call.
        places: `mlflow`, `report` and `model`: where things lie.
        error: Why it failed.
    """
    counts, ranked = history.counts(), history.ranked()
    test = history.test or {}
    others = against_best(history)
    alike = within_noise(others) if others else []
    return {
        "name": history.search.get("name"),
        "space": (history.search.get("space") or {}).get("name"),
        "state": state,
        "error": error,
        "trials": {
            "requested": _requested(history),
            **{name: counts[name] for name in ("completed", "pruned", "diverged", "failed")},
            "unfinished": counts["running"],
        },
        "best": None
        if not ranked
        else {
            "trial_id": ranked[0].trial_id,
            "val_accuracy": ranked[0].value,
            **_spread(history),
            "config": ranked[0].config,
        },
        "within_noise": alike,
        "noise": noise_in_words(ranked[0], len(others), alike) if ranked else None,
        "baselines": {name: _baseline(history, name) for name in BASELINES},
        "final": [
            {key: final[key] for key in ("trial_id", "config", "test_accuracy", "val_accuracy", "num_epochs", "seeds")}
            for final in test.get("finals", [])
        ],
        "comparison": comparison_of(history),
        "folds": test.get("folds"),
        "shipped": test.get("shipped"),
        "latency": test.get("latency"),
        "timing": timing.to_json(history),
        "environment": history.search.get("environment"),
        "prepared": history.search.get("prepared"),
        **places,
    }


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def require_writable(path: Path, option: str = "--summary") -> None:
    """Make sure, before hours of work, that the file that `option` names can be written.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; give a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from error


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


def _spread(history: History) -> dict[str, float | None]:
    """How far the best trial's validation at its best epoch is spread: over the exemplar draws (null where there are
    none), and over its class folds (null where it had one set of validation classes)."""
    score = trial_score(history.ranked()[0])
    assert score is not None
    return {"val_accuracy_std": score.draw_std, "val_accuracy_fold_std": score.fold_std}


def _baseline(history: History, name: str) -> dict[str, Any]:
    result = history.baselines.get(name, {})
    return {key: result.get(key) for key in ("val", "test", "normalize", "encoder", "candidates")}


def _requested(history: History) -> int | None:
    settings = history.attempts[-1].get("settings") if history.attempts else None
    requested = (settings or history.search.get("settings") or {}).get("trials")
    num_choices = len((history.search.get("compare") or {}).get("choices", [None]))
    return None if requested is None else int(requested) * num_choices
