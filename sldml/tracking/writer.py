"""From events of a journal to MLflow: one parent run per search, and a run per trial, baseline and final model."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from mlflow.entities import Metric

from sldml.config.dotted import ConfigTree, flatten
from sldml.journal import (
    AttemptBegun,
    AttemptEnded,
    Baseline,
    BaselineScore,
    BaselinesScored,
    Candidate,
    Epoch,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    History,
    SearchBegun,
    Tested,
    TestResults,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
    TrialState,
)
from sldml.tracking.runs import Runs, clean_name

Call = Callable[[], None]
Status = Literal["FINISHED", "FAILED", "KILLED"]

_RUN_STATUS: dict[str, Status] = {
    "completed": "FINISHED",
    "pruned": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "running": "KILLED",
    "interrupted": "KILLED",
}


class RunWriter:
    """Turns events into calls of `Runs`. All calls can be repeated."""

    def __init__(self, runs: Runs, folder: Path) -> None:
        """`folder`: that of the search, with its report and model."""
        self._runs, self._folder = runs, folder
        self._closed: set[str] = set()
        """Runs of trainings that were interrupted or paused, until they resume."""

    def calls(self, events: Sequence[Event], history: History) -> Iterator[Call]:
        """The calls for events, in order; metrics of a run are batched.

        Args:
            events: The next events of the journal.
            history: The journal up to their end.
        """
        metrics: dict[str, list[Metric]] = {}
        num_tests = history.num_tests - sum(isinstance(event, Tested) for event in events)
        for event in events:
            if isinstance(event, TrialEpoch | FinalEpoch):
                key = _key(event)
                if key in self._closed:
                    self._closed.discard(key)
                    yield functools.partial(self._runs.reopen, key)
                metrics.setdefault(key, []).extend(_metrics(event))
                continue
            if isinstance(event, TrialEnded | FinalEnded) and (waiting := metrics.pop(_key(event), None)):
                yield functools.partial(self._runs.log_metrics, _key(event), waiting)
            if isinstance(event, Tested):
                yield from self._test(event.results, event.time, num_tests)
                yield from self._fold_means(event, num_tests)
                num_tests += 1
            yield from self._event_calls(event, history)
        for key, waiting in metrics.items():
            yield functools.partial(self._runs.log_metrics, key, waiting)
        scored = [score for event in events if isinstance(event, BaselinesScored) for score in event.scores]
        for name in dict.fromkeys(score.candidate.baseline for score in scored):
            yield from self._standing(history.baselines[name])

    def _event_calls(self, event: Event, history: History) -> Iterator[Call]:
        runs = self._runs
        match event:
            case SearchBegun():
                yield functools.partial(runs.set_tags, None, _tags(event))
                params = {"space.name": event.space.name, "space.hash": event.space.hash}
                yield functools.partial(runs.log_params, None, params)
                yield functools.partial(runs.log_text, None, event.space.text, "space.yaml")
                yield functools.partial(runs.log_dict, None, event.model_dump(mode="json"), "search.json")
            case AttemptBegun():
                self._closed.update(_unfinished(history))
                yield functools.partial(runs.reopen, None)
            case TrialStarted():
                yield from self._start(history, _key(event), event.trial_id, event, "search")
            case FinalStarted():
                name = f"final {event.trial_id} seed {event.seed}"
                yield from self._start(history, _key(event), name, event, "final")
            case TrialEnded():
                if (last := history.trials[event.trial_id].last) is not None and last.right_per_class:
                    yield self._validation(_key(event), last, history)
                yield self._end(_key(event), event.state, event.error, event.time)
            case TrialPaused():
                self._closed.add(_key(event))
                yield functools.partial(runs.set_tags, _key(event), {"state": "paused"})
            case TrialLost():
                self._closed.add(_key(event))
                yield self._end(_key(event), "running", event.error, event.time)
            case FinalEnded(state=state) if state != "completed":  # else its run stays open until the sealed test
                yield self._end(_key(event), state, event.error, event.time)
            case BaselinesScored():
                for score in event.scores:
                    yield from self._candidate(score, history, event.time)
            case FoldScored(accuracy=accuracy) if accuracy is not None:
                key = f"trial:{event.trial_id}" if event.candidate is None else _candidate_key(event.candidate)
                number = (event.repeat - 1) * event.num_folds + event.fold
                yield self._log(key, {"folds/accuracy_each": accuracy}, number, event.time)
            case AttemptEnded():
                yield from self._attempt_ended(event, history)

    def _start(
        self, history: History, key: str, name: str, event: TrialStarted | FinalStarted, stage: str
    ) -> Iterator[Call]:
        config = event.config
        choices = {
            part: str(config[part]["name"]) for part in ("loss", "miner", "encoder") if "name" in config.get(part, {})
        }
        if (compared := history.choice_of(config)) is not None:
            choices["choice"] = compared
        own = {"stage": stage, "state": "running", "trial_id": event.trial_id}
        tags = {**_tags(history.search), **choices, **own}
        yield functools.partial(self._runs.start, key, name, dict(flatten(config)), tags, _ms(event.time))
        yield functools.partial(self._runs.log_dict, key, config, "config.json")
        yield functools.partial(self._runs.log_dataset, key, dataset_of(history.search), "training")

    def _candidate(self, score: BaselineScore, history: History, time: float) -> Iterator[Call]:
        key, candidate = _candidate_key(score.candidate), score.candidate
        parts = candidate.model_dump(exclude_none=True)
        tags = {
            "stage": "baseline",
            "state": "completed",
            "baseline": candidate.baseline,
        }
        if candidate.encoder is not None:
            tags["encoder"] = candidate.encoder["name"]
        tags = {**_tags(history.search), **tags}
        name = f"{candidate.baseline} {score.place + 1}"
        yield functools.partial(self._runs.start, key, name, dict(flatten(parts)), tags, _ms(time))
        yield functools.partial(self._runs.log_dataset, key, dataset_of(history.search), "evaluation")
        values = {"val/accuracy": score.val, "val/accuracy_std": score.val_std, "test/accuracy": score.test}
        metrics = [Metric(name, value, _ms(time), 0) for name, value in values.items() if value is not None]
        yield functools.partial(self._runs.log_metrics, key, metrics)
        yield self._end(key, "completed", None, time)

    def _standing(self, baseline: Baseline) -> Iterator[Call]:
        """Which candidate stands for a baseline may change with each one that is scored."""
        for score in baseline.scores:
            tags = {"stands": str(score is baseline.best).lower()}
            yield functools.partial(self._runs.set_tags, _candidate_key(score.candidate), tags)

    def _validation(self, key: str, last: Epoch, history: History) -> Call:
        """The accuracy of each validation class after a trial's last epoch."""
        classes = history.search.split.validation_classes
        right, queries = last.right_per_class, last.queries_per_class
        return functools.partial(self._runs.log_accuracies, key, classes, right, queries, "validation_per_class.json")

    def _log(self, key: str | None, values: Mapping[str, float | None], step: int, time: float) -> Call:
        """Metrics of a run, as far as they are known."""
        metrics = [Metric(name, value, _ms(time), step) for name, value in values.items() if value is not None]
        return functools.partial(self._runs.log_metrics, key, metrics)

    def _test(self, results: TestResults, time: float, step: int) -> Iterator[Call]:
        """`step`: number of earlier sealed tests, so that a later one has the last value of its metric."""

        def accuracy(value: float) -> list[Metric]:
            return [Metric("test/accuracy", value, _ms(time), step)]

        runs = self._runs
        for place, final in enumerate(results.finals, start=1):
            scored = zip(final.seeds, final.test_accuracy.values, final.confusions, strict=True)
            for seed, value, confusion in scored:
                key = f"final:{final.trial_id}:{seed}"
                yield functools.partial(runs.log_metrics, key, accuracy(value))
                yield functools.partial(runs.set_tags, key, {"place": str(place)})
                yield functools.partial(runs.log_confusion, key, confusion.labels, confusion.matrix)
                yield self._end(key, "completed", None, time)
        shipped = results.shipped
        # What ships is the result of the search; a comparison ships nothing, its first final model stands for it.
        best = results.finals[0].test_accuracy.mean if shipped is None else shipped.accuracy
        yield functools.partial(runs.log_metrics, None, accuracy(best))
        if shipped is not None:
            tags = {"ships": shipped.name, "ships.kind": shipped.kind}
            yield functools.partial(runs.set_tags, None, tags)
            chances = {
                "ships/better_than_default": shipped.better_than_default,
                "ships/better_than_baseline": shipped.better_than_baseline,
            }
            if any(value is not None for value in chances.values()):
                yield self._log(None, chances, step, time)
            content = {"per_class": results.per_class, **shipped.model_dump(mode="json", exclude_none=True)}
            yield functools.partial(runs.log_dict, None, content, "shipped.json")
        if results.confusion is not None:
            yield functools.partial(runs.log_confusion, None, results.confusion.labels, results.confusion.matrix)
        if (found := results.embedding_map) is not None:
            points = [point.model_dump() for point in found.points]
            yield functools.partial(runs.log_map, None, points, f"Recordings of new classes ({found.method})")

    def _fold_means(self, event: Tested, step: int) -> Iterator[Call]:
        """What the class folds said of each finalist, in the run of its trial or candidate."""
        for row in () if event.results.folds is None else event.results.folds.rows:
            if row.mean is None:
                continue
            key = f"trial:{row.name}" if row.candidate is None else _candidate_key(row.candidate)
            yield self._log(key, {"folds/accuracy": row.mean, "folds/accuracy_std": row.std}, step, event.time)

    def _attempt_ended(self, event: AttemptEnded, history: History) -> Iterator[Call]:
        for artifact in event.artifacts:
            key = None if artifact.trial_id is None else f"trial:{artifact.trial_id}"
            yield functools.partial(self._runs.log_artifact, key, str(self._folder / artifact.path), artifact.folder)
        if history.shipped is not None:
            register = next((a.register_as for a in reversed(history.attempts) if a.register_as), None)
            model, name = str(self._folder / "model"), history.search.space.name
            yield functools.partial(self._runs.log_model, None, model, name, register)
        yield from self.stop(event.state, event.time, history)

    def stop(self, state: str, time: float, history: History) -> Iterator[Call]:
        """Close the parent and the runs of all trainings that have not ended."""
        for key in _unfinished(history):
            self._closed.add(key)
            yield self._end(key, "running", None, time)
        tested = () if history.test is None else history.test.finals
        are_closed = {(final.trial_id, seed) for final in tested for seed in final.seeds}
        for (trial_id, seed), final in history.finals.items():
            if final.state == "completed" and (trial_id, seed) not in are_closed:  # open for the sealed test
                yield self._end(f"final:{trial_id}:{seed}", "completed", None, final.ended or time)
        yield functools.partial(self._runs.end, None, _RUN_STATUS[state], {"state": state}, _ms(time))

    def _end(self, key: str, state: TrialState, error: str | None, time: float) -> Call:
        tags: dict[str, str] = {"state": "interrupted" if state == "running" else state}
        if error:
            tags["error"] = error
        return functools.partial(self._runs.end, key, _RUN_STATUS[state], tags, _ms(time))


def _key(
    event: TrialStarted | TrialEpoch | TrialPaused | TrialEnded | TrialLost | FinalStarted | FinalEpoch | FinalEnded,
) -> str:
    """What identifies the run of a training."""
    if isinstance(event, TrialStarted | TrialEpoch | TrialPaused | TrialEnded | TrialLost):
        return f"trial:{event.trial_id}"
    return f"final:{event.trial_id}:{event.seed}"


def _candidate_key(candidate: Candidate) -> str:
    """What identifies the run of a candidate."""
    digest = hashlib.blake2b(candidate.key.encode(), digest_size=4).hexdigest()
    return f"baseline:{candidate.baseline}:{digest}"


def _unfinished(history: History) -> list[str]:
    trials = [f"trial:{trial.trial_id}" for trial in history.trials.values() if not trial.has_ended]
    return trials + [f"final:{f.trial_id}:{f.seed}" for f in history.finals.values() if not f.has_ended]


def _metrics(epoch: Epoch) -> list[Metric]:
    return [Metric(clean_name(name), value, _ms(epoch.time), epoch.epoch) for name, value in epoch.metrics.items()]


def _ms(seconds: float) -> int:
    return int(1000 * seconds)


def _tags(search: SearchBegun) -> dict[str, str]:
    """Tags of all runs: dataset, protocol, commit, and the axis of a comparison."""
    found = {"dataset": search.dataset, "protocol": search.protocol}
    if search.compare is not None:
        found["compare"] = search.compare.axis
    if search.environment.commit is not None:
        found["commit"] = search.environment.commit
    return found


def dataset_of(search: SearchBegun) -> dict[str, str]:
    """The recordings of a search as an MLflow dataset."""
    prepared, split = search.prepared, search.split
    source_type, source = (
        ("local", {"uri": search.data}) if search.data else ("code", {"tags": {"source": prepared.source}})
    )
    shape = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, prepared.num_rows, 3]}}
    profile: ConfigTree = {
        "recordings": prepared.num_recordings,
        "frames": prepared.num_frames,
        "training classes": split.train_classes,
        "validation classes": split.validation_classes,
        "novel classes": split.num_novel_classes,
    }
    return {
        "name": prepared.source[:500],
        "digest": prepared.hash[:36],
        "source_type": source_type,
        "source": json.dumps(source),
        "schema": json.dumps({"mlflow_tensorspec": {"features": json.dumps([shape]), "targets": None}}),
        "profile": json.dumps(profile),
    }
