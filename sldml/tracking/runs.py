"""How a search lies in an MLflow store: one experiment, one parent run, child runs found again by their key.

All calls here wait for the store and raise what MLflow raises; `tracker` calls them from its thread.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from sldml.tracking.store import TrackingError, hide_password

T = TypeVar("T")

MAX_METRICS_PER_CALL = 1000
MAX_PARAMS_PER_CALL = 100
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
MAX_NAME_CHARACTERS = 250

_log = logging.getLogger(__name__)


class Runs:
    """The runs of one search. A run is known by its key; None is the parent."""

    def __init__(self, uri: str, experiment: str, artifact_root: Path | None, search: str, search_id: str) -> None:
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = self._find_experiment(experiment, artifact_root, hide_password(uri))
        self._params: dict[str, dict[str, str]] = {}
        self._last_steps: dict[str, dict[str, int]] = {}
        self._children: dict[str, str] | None = {}
        self.parent_id = self._find_parent(search, search_id)
        self._ids: dict[str | None, str] = {None: self.parent_id}

    def id(self, key: str | None) -> str:
        """The run's id.

        Raises:
            KeyError: the run was not started.
        """
        return self._ids[key]

    def forget_children(self) -> None:
        """Look the children up again at the next start: a call that failed may have made one all the same."""
        self._children = None

    def answers(self) -> bool:
        """Whether the store answers at all."""
        try:
            self.client.get_run(self.parent_id)
        except Exception as error:  # the answer to the question is no, for whatever reason
            _log.debug("%r", error)
            return False
        return True

    def start(self, key: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], started_ms: int) -> None:
        """Create the child `key`, or go on with the one that is there."""
        tags = {"mlflow.parentRunId": self.parent_id, "key": key, **tags}
        if self._children is None:
            runs = self._search(f"tags.mlflow.parentRunId = '{self.parent_id}'")
            self._children = {run.data.tags["key"]: run.info.run_id for run in runs if "key" in run.data.tags}
        run_id = self._children.get(key)
        if run_id is None:
            run = self.client.create_run(self.experiment_id, started_ms, _cut_tags(tags), name)
            run_id = self._children[key] = str(run.info.run_id)
            self._ids[key] = run_id
        else:
            self._ids[key] = run_id
            self._go_on(self.client.get_run(run_id))
            self.set_tags(key, tags)
        self.log_params(key, params)

    def log_metrics(self, key: str | None, metrics: Sequence[Metric]) -> None:
        """Write metrics, each only after its last step that was there when the run was taken up again."""
        run_id = self._ids[key]
        last_steps = self._last_steps.get(run_id, {})
        new = [metric for metric in metrics if metric.step > last_steps.get(metric.key, -1)]
        for chunk in _chunks(new, MAX_METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=chunk)

    def log_params(self, key: str | None, params: Mapping[str, Any]) -> None:
        """Write parameters; MLflow allows no change, so one that is there with another value stays."""
        run_id = self._ids[key]
        known = self._params.setdefault(run_id, {})
        new = []
        for name, value in params.items():
            clean, text = clean_name(name), _cut(value, MAX_PARAM_CHARACTERS)
            if known.get(clean, text) != text:
                _log.warning("run %s: parameter %s stays %r, MLflow lets no value change (now %r)",
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
            self.client.log_batch(self._ids[key], tags=chunk)

    def _find_experiment(self, name: str, artifact_root: Path | None, shown_uri: str) -> str:
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
            raise TrackingError(
                f"tracking store {shown_uri}: experiment {name!r} was deleted; bring it back with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or name the space otherwise"
            )
        return str(found.experiment_id)

    def _find_parent(self, search: str, search_id: str) -> str:
        for run in self._search("tags.key = 'search'"):
            if run.data.tags.get("search_id") == search_id:
                self._children = None
                self._go_on(run)
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

    def _go_on(self, run: Run) -> None:
        """Set a run that exists RUNNING again, and learn what it already has."""
        run_id = str(run.info.run_id)
        self._params[run_id] = dict(run.data.params)
        self._last_steps[run_id] = {
            name: max(metric.step for metric in self.client.get_metric_history(run_id, name))
            for name in run.data.metrics
        }
        self.client.update_run(run_id, status="RUNNING")


def clean_name(name: str) -> str:
    """A name that MLflow takes: for one odd character it would refuse the whole batch."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:MAX_NAME_CHARACTERS]


def _cut_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {clean_name(name): _cut(value, MAX_TAG_CHARACTERS) for name, value in tags.items()}


def _cut(value: object, limit: int) -> str:
    """`value` as text of at most `limit` characters; where it was cut, its end says so."""
    text = json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)
    if len(text) <= limit:
        return text
    note = f" … (cut, {len(text)} characters)"
    return text[: limit - len(note)] + note


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
