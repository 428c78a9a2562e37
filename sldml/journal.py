"""The truth about a search: an append-only file of events, written before a result counts.

One JSON object a line, in `<results>/<search name>/journal.jsonl`. What a search is resumed from, and what its
report and tracking are made of, is the `History` read back from it. A line cut short by a kill is dropped.
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
    """The journal cannot be read as one; the message names the file and the line."""


@dataclass
class TrialRecord:
    """One configuration of a search and how far it came."""

    trial_id: str
    params: dict[str, Any]
    """What the searcher sampled: dotted name to value."""
    config: dict[str, Any]
    """The whole configuration, nested."""
    started: float
    state: TrialState = "running"
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """One mapping of metrics per reported epoch, `epoch` and `time` (seconds since 1970) among them."""
    checkpoint: str | None = None
    """Path or URI of the last checkpoint."""
    ended: float | None = None
    error: str | None = None

    @property
    def value(self) -> float | None:
        """The running best of the validation accuracy; None before the first epoch."""
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
    """One of the final trainings (auxiliary + validation classes) of one configuration with one seed."""

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
    """Everything a journal says."""

    search: dict[str, Any] = field(default_factory=dict)
    """Event `search`: name, space (name, hash, text), settings, prepared, split, environment, resolved config."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """One event `attempt` per call that worked on the search: when, with which settings."""
    baselines: dict[str, Any] = field(default_factory=dict)
    """By name, see `sldml.recognition.baselines`: {val, test, normalize, candidates …}; `test` is None before the
    sealed test."""
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    finals: dict[tuple[str, int], FinalRecord] = field(default_factory=dict)
    folds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By trial, a configuration's score on all class folds: `num_epochs`, `num_folds`, and `accuracies`, one a fold
    (None where one did not train to its end: then there is an `error`)."""
    baseline_folds: dict[str, Any] = field(default_factory=dict)
    """The same of the training-free ways: `num_folds`, and `candidates` of `BaselineScorer.validate_folds`."""
    test: dict[str, Any] | None = None
    """The sealed test, once: results per final model, confusion of the shipped one."""
    stages: list[dict[str, Any]] = field(default_factory=list)

    def choice_of(self, config: Mapping[str, Any]) -> str | None:
        """Which of the compared choices a configuration has; None where the search compares none."""
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
        """How many trials are in each state."""
        return Counter(record.state for record in self.trials.values())

    def comparable(self) -> list[TrialRecord]:
        """Trials whose values can be compared, in the order in which they started."""
        return [record for record in self.trials.values() if record.is_comparable]

    def ranked(self) -> list[TrialRecord]:
        """Trials whose values can be compared, the best by validation first.

        Ties go to the one that ran to its end, then to the earlier one.
        """
        return sorted(self.comparable(), key=lambda r: (-(r.value or 0.0), r.state != "completed", r.trial_id))

    def best_over_folds(self) -> dict[str, dict[str, Any]]:
        """Of each training-free way, by name, the candidate with the best mean over the class folds."""
        best: dict[str, dict[str, Any]] = {}
        for candidate in self.baseline_folds.get("candidates", []):
            name = candidate["baseline"]
            best[name] = max(best.get(name, candidate), candidate, key=lambda way: mean(way["accuracies"]))
        return best

    def has_folds(self, trial_id: str, num_epochs: int, num_folds: int) -> bool:
        """Whether a configuration was scored on so many class folds, trained for so many epochs."""
        record = self.folds.get(trial_id, {})
        known = record.get("num_epochs"), record.get("num_folds")
        return known == (num_epochs, num_folds) and record["accuracies"] is not None


class Journal:
    """Appends events; each is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._drop_cut_line()
        self._file = path.open("a", encoding="utf-8")

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one event, with the time now unless `time` is given, and return it.

        Raises:
            ValueError: a value is not finite, so that it would not be JSON.
        """
        record = {"event": event, "time": time.time(), **fields}
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return record

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _drop_cut_line(self) -> None:
        """Cut off what a killed writer left without a line end, or the next event would be glued to it."""
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
        InputError: there is none, or it has not begun.
    """
    folders = [storage / given, Path(given).expanduser().absolute()]
    folder = next((folder for folder in folders if (folder / FILE).is_file()), None)
    if folder is None:
        names = sorted(path.parent.name for path in storage.glob(f"*/{FILE}"))
        known = f"there are {', '.join(names)}" if names else "there is none yet"
        raise InputError(
            f"no search {given} in {storage}, and no folder {given} of one: {known} (other places: --storage)"
        )
    history = read_history(folder / FILE)
    if not history.search:
        raise not_begun(folder)
    return FoundSearch(str(history.search.get("name") or folder.name), folder, history)


def not_begun(folder: Path) -> InputError:
    """The error for a search of which nothing is known but its folder."""
    return InputError(
        f"no search {folder.name} in {folder.parent} has begun: it was stopped while its recordings were prepared, or "
        "its folder was removed; give the command that started it again"
    )


def read_history(path: Path) -> History:
    """Read a journal back.

    Raises:
        JournalError: a line other than a last one cut short is not an event.
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
    """Bring `history` up to date with one event.

    Raises:
        KeyError: the event lacks a field, or speaks of a trial that was never started.
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
            # A trial that went on from a checkpoint repeats the epochs after it: the later report counts.
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
