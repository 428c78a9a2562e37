"""The journal of a search: an append-only file of events, written before a result counts.

It has one JSON object per line, in `<results>/<search name>/journal.jsonl`. Resuming, the report and tracking use the
`History` that is read back from it. An incomplete last line, left by a killed process, is dropped.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from sldml.errors import InputError

TrialState = Literal["running", "completed", "pruned", "diverged", "failed"]
ENDED: tuple[TrialState, ...] = ("completed", "pruned", "diverged", "failed")
OBJECTIVE = "val/accuracy_best"
ALL = ""
"""Stands for the choice of a search that compares none."""
FILE = "journal.jsonl"
"""Its name in the folder of a search."""


class JournalError(InputError):
    """A journal cannot be read; the message gives the file and the line."""


@dataclass
class TrialRecord:
    """A trial: one configuration of a search and its progress."""

    trial_id: str
    params: dict[str, Any]
    """The sampled parameters: dotted path to value."""
    config: dict[str, Any]
    """The whole configuration, nested."""
    started: float
    state: TrialState = "running"
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """The metrics of each reported epoch, including `epoch` and `time` (seconds since 1970)."""
    checkpoint: str | None = None
    """Path or URI of the last checkpoint."""
    ended: float | None = None
    error: str | None = None

    @property
    def value(self) -> float | None:
        """The best validation accuracy so far; None before the first epoch."""
        return max((float(e[OBJECTIVE]) for e in self.epochs), default=None)

    @property
    def has_ended(self) -> bool:
        """Whether it needs no more training."""
        return self.state != "running"

    @property
    def is_comparable(self) -> bool:
        """Whether its value can be compared: it reported an epoch, and neither diverged nor failed."""
        return self.value is not None and self.state not in ("diverged", "failed")

    @property
    def best_epoch(self) -> int | None:
        """The first epoch that reached `value`."""
        value = self.value
        return next((int(e["epoch"]) for e in self.epochs if float(e[OBJECTIVE]) == value), None)


@dataclass
class FinalRecord:
    """A final training (on auxiliary and validation classes) of one configuration with one seed."""

    trial_id: str
    seed: int
    started: float
    config: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    ended: float | None = None
    state: TrialState = "running"
    checkpoint: str | None = None
    error: str | None = None


@dataclass
class History:
    """The content of a journal."""

    search: dict[str, Any] = field(default_factory=dict)
    """Event `search`: name, space (name, hash, text), settings, prepared, split, environment, resolved config."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """The event `attempt` of each call that worked on the search: its time and settings."""
    baselines: dict[str, Any] = field(default_factory=dict)
    """By name, see `sldml.recognition.baselines`: {val, test, normalize, candidates …}; `test` is None before the
    sealed test."""
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    finals: dict[tuple[str, int], FinalRecord] = field(default_factory=dict)
    folds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By trial, the score on all class folds: `num_epochs`, `num_folds`, and `accuracies`, one per fold (None with an
    `error` if one failed)."""
    baseline_folds: dict[str, Any] = field(default_factory=dict)
    """The same for the baselines: `num_folds`, and `candidates` of `BaselineScorer.validate_folds`."""
    test: dict[str, Any] | None = None
    """The sealed test: results of each final model, confusion matrix of the saved one."""
    stages: list[dict[str, Any]] = field(default_factory=list)

    def choice_of(self, config: Mapping[str, Any]) -> str | None:
        """The compared choice that a configuration has; None if the search is not a comparison."""
        compare = self.search.get("compare")
        if compare is None:
            return None
        part: Any = config
        for key in compare["axis"].split("."):
            part = part[key]
        return str(part["name"])

    def by_choice(self) -> dict[str, list[TrialRecord]]:
        """The trials of each compared choice, in the order of the comparison; without one, all under `ALL`."""
        if not self.search.get("compare"):
            return {ALL: list(self.trials.values())}
        trials: dict[str, list[TrialRecord]] = {choice: [] for choice in self.search["compare"]["choices"]}
        for record in self.trials.values():
            trials[str(self.choice_of(record.config))].append(record)
        return trials

    def counts(self) -> Counter[str]:
        """Number of trials in each state."""
        return Counter(record.state for record in self.trials.values())

    def comparable(self) -> list[TrialRecord]:
        """Trials whose values can be compared, in the order in which they started."""
        return [record for record in self.trials.values() if record.is_comparable]

    def ranked(self) -> list[TrialRecord]:
        """Trials whose values can be compared, best by validation first.

        Among equal ones, completed trials come first, then earlier ones.
        """
        return sorted(self.comparable(), key=lambda r: (-(r.value or 0.0), r.state != "completed", r.trial_id))

    def best_over_folds(self) -> dict[str, dict[str, Any]]:
        """The candidate of each baseline, by name, with the best mean over the class folds."""
        best: dict[str, dict[str, Any]] = {}
        for candidate in self.baseline_folds.get("candidates", []):
            name = candidate["baseline"]
            best[name] = max(best.get(name, candidate), candidate, key=lambda c: mean(c["accuracies"]))
        return best

    def has_folds(self, trial_id: str, num_epochs: int, num_folds: int) -> bool:
        """Whether a configuration has a score over this number of class folds, trained for this number of epochs."""
        record = self.folds.get(trial_id, {})
        known = record.get("num_epochs"), record.get("num_folds")
        return known == (num_epochs, num_folds) and record["accuracies"] is not None


class Journal:
    """Appends events; each is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._drop_incomplete_line()
        self._file = path.open("a", encoding="utf-8")

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write an event, with the current time unless `time` is given, and return it.

        Raises:
            ValueError: a value is not finite, which JSON cannot express.
        """
        record = {"event": event, "time": time.time(), **fields}
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return record

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _drop_incomplete_line(self) -> None:
        """Remove a line without its end, left by a killed process, to which the next event would be appended."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        keep = content.rfind(b"\n") + 1
        if keep < len(content):
            with self.path.open("rb+") as file:
                file.truncate(keep)


@dataclass(frozen=True)
class FoundSearch:
    """A search and its folder."""

    name: str
    folder: Path
    history: History


def find_search(given: str, storage: Path) -> FoundSearch:
    """The search with a name in `storage`, or in a folder.

    Raises:
        InputError: there is none, or it has not started.
    """
    folders = [storage / given, Path(given).expanduser().absolute()]
    folder = next((folder for folder in folders if (folder / FILE).is_file()), None)
    if folder is None:
        names = sorted(path.parent.name for path in storage.glob(f"*/{FILE}"))
        known = f"found {', '.join(names)}" if names else "there are no searches"
        raise InputError(
            f"{given} is neither a search in {storage} nor the folder of one: {known} (other folders: --storage)"
        )
    history = read_history(folder / FILE)
    if not history.search:
        raise not_begun(folder)
    return FoundSearch(str(history.search.get("name") or folder.name), folder, history)


def not_begun(folder: Path) -> InputError:
    """The error for a search that stopped before its journal had a first event."""
    return InputError(
        f"search {folder.name} in {folder.parent} has not started: it was stopped while its recordings were prepared, "
        "or its folder was removed; run the command that started it again"
    )


def read_history(path: Path) -> History:
    """Read a journal back.

    Raises:
        JournalError: a line (other than an incomplete last one) is not an event.
    """
    history = History()
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            apply_event(history, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"{path}, line {number}: not an event of a search ({error!r})") from error
    return history


def apply_event(history: History, event: dict[str, Any]) -> None:
    """Apply an event to `history`.

    Raises:
        KeyError: a field is missing, or the trial was never started.
    """
    fields = {key: value for key, value in event.items() if key != "event"}
    match event["event"]:
        case "search":
            history.search = fields
        case "attempt":
            history.attempts.append(fields)
        case "baselines":
            history.baselines = fields["results"]
        case "trial_started":
            history.trials[fields["trial_id"]] = TrialRecord(
                fields["trial_id"], fields["params"], fields["config"], fields["time"]
            )
        case "epoch":
            trial = history.trials[fields["trial_id"]]
            # A trial resumed from a checkpoint repeats the epochs after it: the later report counts.
            trial.epochs = [e for e in trial.epochs if e["epoch"] < fields["metrics"]["epoch"]]
            trial.epochs.append({**fields["metrics"], "time": fields["time"]})
            trial.checkpoint = fields.get("checkpoint") or trial.checkpoint
        case "trial_ended":
            trial = history.trials[fields["trial_id"]]
            trial.state, trial.ended, trial.error = fields["state"], fields["time"], fields.get("error")
        case "final_started":
            key = (fields["trial_id"], fields["seed"])
            history.finals[key] = FinalRecord(*key, started=fields["time"], config=fields["config"])
        case "final_epoch":
            final = history.finals[fields["trial_id"], fields["seed"]]
            final.epochs = [e for e in final.epochs if e["epoch"] < fields["metrics"]["epoch"]]
            final.epochs.append({**fields["metrics"], "time": fields["time"]})
            final.checkpoint = fields.get("checkpoint") or final.checkpoint
        case "final_ended":
            final = history.finals[fields["trial_id"], fields["seed"]]
            final.state, final.ended, final.error = fields["state"], fields["time"], fields.get("error")
        case "folds":
            history.folds[fields["trial_id"]] = fields
        case "baseline_folds":
            history.baseline_folds = fields
        case "test":
            history.test = fields["results"]
        case "stage":
            history.stages.append(fields)
        case unknown:
            raise KeyError(f"unknown event {unknown!r}")
