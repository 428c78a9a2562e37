"""Records the events of a search: first in the journal, then in tracking and the progress display."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Literal

from sldml.config.dotted import flatten
from sldml.journal import OBJECTIVE, FinalRecord, History, Journal, TrialRecord, TrialState, apply_event
from sldml.search.watcher import Watcher

if TYPE_CHECKING:
    from sldml.tracking import Tracker

_RUN_STATUS: dict[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "completed": "FINISHED",
    "pruned": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "running": "KILLED",
}

_CANDIDATE_METRICS = {OBJECTIVE: "val", "val/accuracy_std": "val_std", "test/accuracy": "test"}
"""Metric names of a baseline candidate."""


class Recorder:
    """Keeps journal, history, tracking and progress of a search in sync."""

    def __init__(
        self,
        journal: Journal,
        history: History,
        tracker: Tracker,
        watcher: Watcher,
        tags: Mapping[str, str],
    ) -> None:
        """`tags`: tags of all runs of the search (dataset, protocol, commit …)."""
        self._journal, self.history, self._tracker, self._watcher = journal, history, tracker, watcher
        self._tags = dict(tags)

    def record(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write an event to the journal, apply it to the history and show it."""
        written = self._journal.append(event, **fields)
        apply_event(self.history, written)
        self._watcher.happened(written, self.history)
        return written

    def replay(self) -> None:
        """Send the history of earlier calls to tracking again, in case a killed driver did not.

        Tracking skips what it has.
        """
        history = self.history
        self._track_baselines(history.baselines)
        for record in history.trials.values():
            self._start_trial_run(record)
            for epoch in record.epochs:
                self._log_epoch(f"trial:{record.trial_id}", epoch, epoch["time"])
            if record.has_ended:
                self._log_validation(record)
                self._end_run(f"trial:{record.trial_id}", record.state, record.error, record.ended)
        for final in history.finals.values():
            key = f"final:{final.trial_id}:{final.seed}"
            self._start_final_run(final)
            for epoch in final.epochs:
                self._log_epoch(key, epoch, epoch["time"])
            if final.state not in ("running", "completed"):
                self._end_run(key, final.state, final.error, final.ended)
        for trial_id in history.folds:
            self._track_folds(trial_id)
        self._track_baseline_folds()
        if history.test is not None:
            self._track_test(history.test)

    # ------------------------------------------------------------------------------------------------ trials

    def trial_started(self, trial_id: str, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """A trial starts, or resumes after an interruption (then it is in the journal already)."""
        if trial_id not in self.history.trials:
            self.record("trial_started", trial_id=trial_id, params=dict(params), config=dict(config))
        self._start_trial_run(self.history.trials[trial_id])

    def epoch(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A trial reported."""
        event = self.record("epoch", trial_id=trial_id, metrics=_metrics(result))
        self._log_epoch(f"trial:{trial_id}", event["metrics"], event["time"])

    def trial_ended(self, trial_id: str, state: TrialState, error: str | None = None) -> None:
        """A trial ended; `running` means that it was interrupted and can be resumed."""
        if state != "running":
            self.record("trial_ended", trial_id=trial_id, state=state, error=error)
            self._log_validation(self.history.trials[trial_id])
        self._end_run(f"trial:{trial_id}", state, error)

    def _log_validation(self, record: TrialRecord) -> None:
        """Log the accuracy of each validation class at a trial's best epoch, if it was reported."""
        best = next((e for e in record.epochs if e["epoch"] == record.best_epoch), {})
        if right := best.get("val/right_per_class"):
            classes = self.history.search["split"]["validation_classes"]
            queries = best["val/queries_per_class"]
            self._tracker.log_accuracies(
                f"trial:{record.trial_id}", classes, right, queries, "validation_per_class.json"
            )

    # ------------------------------------------------------------------------------------------------ final

    def final_started(self, trial_id: str, seed: int, config: Mapping[str, Any]) -> None:
        """A final training starts or resumes; one that starts again after its end is a new one."""
        known = self.history.finals.get((trial_id, seed))
        if known is None or known.state != "running":
            self.record("final_started", trial_id=trial_id, seed=seed, config=dict(config))
        self._start_final_run(self.history.finals[trial_id, seed])

    def final_epoch(self, trial_id: str, seed: int, result: Mapping[str, Any]) -> None:
        """A final training reported."""
        event = self.record("final_epoch", trial_id=trial_id, seed=seed, metrics=_metrics(result))
        self._log_epoch(f"final:{trial_id}:{seed}", event["metrics"], event["time"])

    def final_ended(self, trial_id: str, seed: int, state: TrialState, error: str | None = None) -> None:
        """A final training ended. Its run stays open until the sealed test."""
        if state != "running":
            self.record("final_ended", trial_id=trial_id, seed=seed, state=state, error=error)
        if state != "completed":
            self._end_run(f"final:{trial_id}:{seed}", state, error)

    # ------------------------------------------------------------------------------------------------ baselines

    def baselines(self, results: dict[str, dict[str, Any]]) -> None:
        """The baselines were scored on validation, or (again, with `test`) on the sealed test."""
        self.record("baselines", results=results)
        self._track_baselines(results)

    def _track_baselines(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Each candidate is a run; the best one of its baseline has the tag `stands`."""
        for name, result in results.items():
            place_of_best = max(range(len(result["candidates"])), key=lambda i: float(result["candidates"][i]["val"]))
            for place, candidate in enumerate(result["candidates"]):
                stands = place == place_of_best
                key = f"baseline:{name}" if stands else f"baseline:{name}:{place}"
                tags = {"stage": "baseline", "state": "completed", "baseline": name, "stands": str(stands).lower()}
                self._track_candidate(key, name, candidate, tags)

    def _track_candidate(self, key: str, name: str, candidate: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        parts = ("normalize", "encoder", "representation")
        config = {part: candidate[part] for part in parts if candidate.get(part) is not None}
        if "encoder" in config:
            tags = {**tags, "encoder": config["encoder"]["name"]}
        params = {"baseline": name, **dict(flatten(config))}
        self._tracker.start_run(key, name=key.removeprefix("baseline:"), params=params, tags={**self._tags, **tags})
        self._tracker.log_dataset(key, dataset_of(self.history), "evaluation")
        scores = {name: candidate.get(k) for name, k in _CANDIDATE_METRICS.items()}
        self._tracker.log_metrics(key, {k: v for k, v in scores.items() if v is not None})
        self._tracker.end_run(key, status="FINISHED")

    # ------------------------------------------------------------------------------------------------ folds

    def folds(
        self,
        trial_id: str,
        *,
        num_epochs: int,
        num_folds: int,
        accuracies: list[float] | None,
        error: str | None = None,
    ) -> None:
        """A configuration was scored on all class folds (`accuracies`, one per fold), or failed on one."""
        fields = {"num_epochs": num_epochs, "num_folds": num_folds, "accuracies": accuracies, "error": error}
        self.record("folds", trial_id=trial_id, **fields)
        self._track_folds(trial_id)

    def baseline_folds(self, num_folds: int, candidates: list[dict[str, Any]]) -> None:
        """The baselines were scored on all class folds."""
        self.record("baseline_folds", num_folds=num_folds, candidates=candidates)
        self._track_baseline_folds()

    def _track_folds(self, trial_id: str) -> None:
        record = self.history.folds[trial_id]
        if record["accuracies"] is not None:
            self._log_folds(f"trial:{trial_id}", record["accuracies"], record["num_epochs"])

    def _track_baseline_folds(self) -> None:
        for name, candidate in self.history.best_over_folds().items():
            self._log_folds(f"baseline:{name}", candidate["accuracies"], 0)

    def _log_folds(self, key: str, accuracies: list[float], step: int) -> None:
        scores = {"folds/accuracy": mean(accuracies), "folds/accuracy_std": stdev(accuracies)}
        self._tracker.log_metrics(key, scores, step=step)

    # ------------------------------------------------------------------------------------------------ test

    def test(self, results: dict[str, Any]) -> None:
        """The sealed test was run."""
        self.record("test", results=results)
        self._track_test(results)

    def _track_test(self, results: Mapping[str, Any]) -> None:
        for place, final in enumerate(results["finals"], start=1):
            values = final["test_accuracy"]["values"]
            for seed, accuracy, confusion in zip(final["seeds"], values, final["confusions"], strict=True):
                key = f"final:{final['trial_id']}:{seed}"
                self._tracker.log_metrics(key, {"test/accuracy": accuracy})
                self._tracker.set_tags(key, {"place": str(place)})
                self._tracker.log_confusion(key, confusion["labels"], confusion["matrix"])
                self._end_run(key, "completed", None)
        self._tracker.log_metrics(None, {"test/accuracy": results["finals"][0]["test_accuracy"]["mean"]})
        if "shipped" in results:  # a comparison saves no model
            self._tracker.log_confusion(None, results["confusion"]["labels"], results["confusion"]["matrix"])
            self._tracker.log_dict(None, {"per_class": results["per_class"], **results["shipped"]}, "shipped.json")
        if found := results.get("embedding_map"):
            self._tracker.log_map(None, found["points"], f"Recordings of new classes ({found['method']})")

    # ------------------------------------------------------------------------------------------------ tracking

    def _start_run(
        self, key: str, name: str, config: Mapping[str, Any], started: float, *, stage: str, trial_id: str
    ) -> None:
        choices = {
            part: str(config[part]["name"]) for part in ("loss", "miner", "encoder") if "name" in config.get(part, {})
        }
        if (compared := self.history.choice_of(config)) is not None:
            choices["choice"] = compared
        self._tracker.start_run(
            key,
            name=name,
            params=dict(flatten(config)),
            tags={**self._tags, **choices, "stage": stage, "state": "running", "trial_id": trial_id},
            started=started,
        )
        self._tracker.log_dict(key, dict(config), "config.json")
        self._tracker.log_dataset(key, dataset_of(self.history), "training")

    def _start_trial_run(self, record: TrialRecord) -> None:
        name = record.trial_id
        self._start_run(f"trial:{name}", name, record.config, record.started, stage="search", trial_id=name)

    def _start_final_run(self, final: FinalRecord) -> None:
        name = f"final {final.trial_id} seed {final.seed}"
        key = f"final:{final.trial_id}:{final.seed}"
        self._start_run(key, name, final.config, final.started, stage="final", trial_id=final.trial_id)

    def _log_epoch(self, key: str, epoch: Mapping[str, Any], time: float) -> None:
        numbers = {k: v for k, v in epoch.items() if isinstance(v, int | float) and k not in ("epoch", "time")}
        self._tracker.log_metrics(key, numbers, step=epoch["epoch"], time=time)

    def _end_run(self, key: str, state: TrialState, error: str | None, time: float | None = None) -> None:
        tags: dict[str, str] = {"state": "interrupted" if state == "running" else state}
        if error:
            tags["error"] = error
        self._tracker.end_run(key, status=_RUN_STATUS[state], tags=tags, time=time)


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """The finite metrics of a report (names with a slash), with its epoch, speed and worker."""
    own = {k: v for k, v in result.items() if "/" in k or k in ("epoch", "images_per_s", "worker")}
    return {k: v for k, v in own.items() if not isinstance(v, float) or math.isfinite(v)}


def dataset_of(history: History) -> dict[str, str]:
    """The recordings of a search as an MLflow dataset."""
    prepared, split = history.search.get("prepared", {}), history.search.get("split", {})
    data = history.search.get("data")
    source_type, source = ("local", {"uri": data}) if data else ("code", {"tags": {"source": prepared.get("source")}})
    shape = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, prepared.get("num_rows", -1), 3]}}
    profile = {
        "recordings": prepared.get("num_recordings"),
        "frames": prepared.get("num_frames"),
        "training classes": split.get("train_classes"),
        "validation classes": split.get("validation_classes"),
        "novel classes": split.get("num_novel_classes"),
    }
    return {
        "name": str(prepared.get("source", "recordings"))[:500],
        "digest": str(prepared.get("hash", "unknown"))[:36],
        "source_type": source_type,
        "source": json.dumps(source),
        "schema": json.dumps({"mlflow_tensorspec": {"features": json.dumps([shape]), "targets": None}}),
        "profile": json.dumps(profile),
    }
