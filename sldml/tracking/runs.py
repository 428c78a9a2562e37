"""The runs of a search in an MLflow store: one experiment, one parent run, and child runs identified by keys.

All calls wait for the store and raise MLflow's errors; `tracker` makes them in its thread. They are idempotent, because
calls that failed half-way are repeated, as are those of a killed driver.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from sldml.errors import hide_secrets
from sldml.tracking.moved import follow_moved_results
from sldml.tracking.store import TrackingError, one_line

T = TypeVar("T")

_PERMANENT = frozenset(
    {
        "FEATURE_DISABLED", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "NOT_IMPLEMENTED",
        "PERMISSION_DENIED", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "UNAUTHENTICATED",
    }
)  # fmt: skip

MAX_METRICS_PER_CALL = 1000
MAX_PARAMS_PER_CALL = 100
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
MAX_NAME_CHARACTERS = 250

_log = logging.getLogger(__name__)


class Runs:
    """The runs of one search. A run is identified by its key; None is the parent."""

    def __init__(self, uri: str, experiment: str, artifact_root: Path | None, search: str, search_id: str) -> None:
        self._uri = uri
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = self._find_experiment(experiment, artifact_root)
        self._params: dict[str, dict[str, str]] = {}
        self._last_steps: dict[str, dict[str, int]] = {}
        self._children: dict[str, str] | None = None
        self.parent_id = self._find_parent(search, search_id)
        self._ids: dict[str | None, str] = {None: self.parent_id}

    def id(self, key: str | None) -> str:
        """The ID of a run, also of one that another process started.

        Raises:
            KeyError: the run was never started.
        """
        if key not in self._ids:
            run_id = self._ids[key] = self._known_children()[str(key)]
            self._learn(self.client.get_run(run_id))
        return self._ids[key]

    def forget_children(self) -> None:
        """Query the children again at the next start, because a failed call may have created one."""
        self._children = None

    def answers(self) -> bool:
        """Whether the store answers at all."""
        try:
            self.client.get_run(self.parent_id)
        except Exception as error:  # any error means that it does not
            _log.debug("%s", one_line(error, self._uri))
            return False
        return True

    def start(self, key: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], started_ms: int) -> None:
        """Create the child `key`, or reopen it."""
        tags = {"mlflow.parentRunId": self.parent_id, "key": key, **tags}
        children = self._known_children()
        if key in children:
            self._ids[key] = children[key]
            self._learn(self.client.get_run(children[key]))
            self.client.update_run(children[key], status="RUNNING")
            self.set_tags(key, tags)
        else:
            run = self.client.create_run(self.experiment_id, started_ms, _cut_tags(tags), name)
            self._ids[key] = children[key] = str(run.info.run_id)
        self.log_params(key, params)

    def end(self, key: str | None, status: str, tags: Mapping[str, str], ended_ms: int) -> None:
        """Close a run, after setting `tags`."""
        self.set_tags(key, tags)
        self.client.set_terminated(self.id(key), status, ended_ms)

    def reopen(self, key: str | None) -> None:
        """Mark a run that was closed as running again."""
        self.client.update_run(self.id(key), status="RUNNING")
        self.set_tags(key, {"state": "running"})

    def log_metrics(self, key: str | None, metrics: Sequence[Metric]) -> None:
        """Write metrics, without steps that the run had when it was reopened."""
        run_id = self.id(key)
        last_steps = self._last_steps.get(run_id, {})
        new = [metric for metric in metrics if metric.step > last_steps.get(metric.key, -1)]
        for chunk in _chunks(new, MAX_METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=chunk)

    def log_params(self, key: str | None, params: Mapping[str, Any]) -> None:
        """Write parameters; existing ones keep their values, because MLflow allows no change."""
        run_id = self.id(key)
        known = self._params.setdefault(run_id, {})
        new = []
        for name, value in params.items():
            clean, text = clean_name(name), _cut(value, MAX_PARAM_CHARACTERS)
            if known.get(clean, text) != text:
                _log.warning("run %s: parameter %s stays %r, because MLflow allows no change (now %r)",
                             key or "(parent)", clean, known[clean], text)  # fmt: skip
            elif clean not in known:
                new.append(Param(clean, text))
        for chunk in _chunks(new, MAX_PARAMS_PER_CALL):
            self.client.log_batch(run_id, params=chunk)
            known.update({param.key: param.value for param in chunk})

    def set_tags(self, key: str | None, tags: Mapping[str, str]) -> None:
        """Set tags; old values are replaced."""
        entities = [RunTag(name, value) for name, value in _cut_tags(tags).items()]
        for chunk in _chunks(entities, MAX_PARAMS_PER_CALL):
            self.client.log_batch(self.id(key), tags=chunk)

    def log_dict(self, key: str | None, value: Mapping[str, Any], file: str) -> None:
        """Store `value` as the artifact `file` (JSON or YAML, by its ending)."""
        self.client.log_dict(self.id(key), value, file)

    def log_text(self, key: str | None, text: str, file: str) -> None:
        """Store `text` as the artifact `file`."""
        self.client.log_text(self.id(key), text, file)

    def log_artifact(self, key: str | None, path: str, folder: str | None) -> None:
        """Store a file as an artifact in `folder`."""
        self.client.log_artifact(self.id(key), path, folder)

    def log_table(self, key: str | None, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Store a table as the artifact `file` (`.json`), which MLflow's UI displays; an old one is replaced."""
        # The client's `log_table` appends to an existing table, and a repeated call would duplicate rows.
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        run_id = self.id(key)
        self.client.log_dict(run_id, {"columns": list(columns), "data": rows}, file)
        known = json.loads(self.client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
        if (entry := {"path": file, "type": "table"}) not in known:
            self.client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*known, entry]))

    def log_confusion(self, key: str | None, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
        """Store a confusion matrix (rows are true classes) as a figure and as tables."""
        from sldml.tracking.figures import confusion_figure

        run_id = self.id(key)
        self.client.log_figure(run_id, confusion_figure(labels, matrix), "confusion.png")
        self.client.log_dict(
            run_id, {"labels": list(labels), "matrix": [list(row) for row in matrix]}, "confusion.json"
        )
        counted = [
            (true, named, matrix[i][j])
            for i, true in enumerate(labels)
            for j, named in enumerate(labels)
            if matrix[i][j]
        ]
        columns: dict[str, list[Any]] = {
            "true class": [c[0] for c in counted],
            "recognised as": [c[1] for c in counted],
        }
        self.log_table(key, {**columns, "queries": [c[2] for c in counted]}, "confusion_table.json")
        right, queries = [row[i] for i, row in enumerate(matrix)], [sum(row) for row in matrix]
        self.log_accuracies(key, labels, right, queries, "per_class.json")

    def log_accuracies(
        self, key: str | None, labels: Sequence[str], right: Sequence[float], queries: Sequence[float], file: str
    ) -> None:
        """Store the number of correct queries of each class, as the table `file`."""
        shares = [r / q if q else None for r, q in zip(right, queries, strict=True)]
        columns: dict[str, Sequence[Any]] = {"class": labels, "accuracy": shares, "right": right, "queries": queries}
        self.log_table(key, columns, file)

    def log_map(self, key: str | None, points: Sequence[Mapping[str, Any]], title: str) -> None:
        """Store the map of a model's embeddings as a figure and as a table."""
        from sldml.tracking.figures import map_figure

        self.client.log_figure(self.id(key), map_figure(points, title), "embedding_map.png")
        names = list(points[0])
        columns = {name: [point[name] for point in points] for name in names}
        self.log_table(key, columns, "embedding_map.json")

    def log_dataset(self, key: str | None, dataset: Mapping[str, str], context: str) -> None:
        """Log the recordings of a run as an MLflow dataset input; `dataset` has the fields of its entity."""
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.id(key), [DatasetInput(Dataset(**dataset), tags)])

    def log_model(self, key: str | None, folder: str, name: str, register: str | None) -> None:
        """Log a saved recogniser as an MLflow model of the run, and register it if a name is given."""
        from sldml.tracking.models import log_model

        log_model(self.client, self.experiment_id, self.id(key), Path(folder), name=name, register=register)

    def _find_experiment(self, name: str, artifact_root: Path | None) -> str:
        location = None if artifact_root is None else str(artifact_root.absolute())
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)  # another search created it meanwhile
        if found.lifecycle_stage != "active":
            shown = hide_secrets(self._uri)
            raise TrackingError(
                f"tracking store {shown}: experiment {name!r} was deleted; restore it with `MLFLOW_TRACKING_URI="
                f"{shlex.quote(shown)} mlflow experiments restore -x {found.experiment_id}`, or rename the space"
            )
        if artifact_root is not None:
            follow_moved_results(self._uri, found, artifact_root)
        return str(found.experiment_id)

    def _find_parent(self, search: str, search_id: str) -> str:
        for run in self._search("tags.key = 'search'"):
            if run.data.tags.get("search_id") == search_id:
                self._learn(run)
                return str(run.info.run_id)
        tags = _cut_tags({"key": "search", "search": search, "search_id": search_id})
        return str(self.client.create_run(self.experiment_id, tags=tags, run_name=search).info.run_id)

    def _search(self, filter_string: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], filter_string, max_results=500, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _known_children(self) -> dict[str, str]:
        """Run IDs of the children, by key."""
        if self._children is None:
            runs = self._search(f"tags.mlflow.parentRunId = '{self.parent_id}'")
            self._children = {run.data.tags["key"]: str(run.info.run_id) for run in runs if "key" in run.data.tags}
        return self._children

    def _learn(self, run: Run) -> None:
        """Read the parameters and last steps of an existing run."""
        run_id = str(run.info.run_id)
        self._params[run_id] = dict(run.data.params)
        self._last_steps[run_id] = {
            name: max(metric.step for metric in self.client.get_metric_history(run_id, name))
            for name in run.data.metrics
        }


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, MlflowException):
        return error.error_code not in _PERMANENT
    if isinstance(error, OSError):  # the disk or the network, but not a missing artifact
        return not isinstance(error, (FileNotFoundError, IsADirectoryError))
    return not isinstance(error, (KeyError, TypeError, ValueError))


def clean_name(name: str) -> str:
    """A name that MLflow accepts; it refuses a whole batch because of one invalid character."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:MAX_NAME_CHARACTERS]


def _cut_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {clean_name(name): _cut(value, MAX_TAG_CHARACTERS) for name, value in tags.items()}


def _cut(value: object, limit: int) -> str:
    """`value` as text of at most `limit` characters, with a note if it was cut."""
    text = json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)
    if len(text) <= limit:
        return text
    note = f" … (cut, {len(text)} characters)"
    return text[: limit - len(note)] + note


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
