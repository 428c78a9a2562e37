"""Handing over what happened in microseconds; one thread writes it, in batches.

A search neither waits for its tracking nor fails by it: while the store does not answer the thread tries again
and again, and what could not be written in the end is said in one line. The journal of the search holds
everything, so tracking may lag behind.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from time import time as unix_time
from typing import Any, Literal
from urllib.parse import urlsplit

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from sldml.tracking.runs import Runs, clean_name
from sldml.tracking.store import TrackingError, hide_password, one_line, quiet_mlflow

Status = Literal["FINISHED", "FAILED", "KILLED"]

_PERMANENT = frozenset(
    {
        "FEATURE_DISABLED", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "NOT_IMPLEMENTED",
        "PERMISSION_DENIED", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "UNAUTHENTICATED",
    }
)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass
class _Item:
    """Something to write: metrics, which are batched, or a call."""

    key: str | None
    metrics: list[Metric] = field(default_factory=list)
    call: Callable[[], None] | None = None


class NullTracker:
    """Takes what a `Tracker` takes and keeps nothing."""

    experiment_id: str = ""
    run_id: str = ""
    shown_uri: str = ""

    def start_run(
        self, key: str, *, name: str, params: Mapping[str, Any], tags: Mapping[str, str], started: float | None = None
    ) -> None:
        """Do nothing."""

    def log_metrics(
        self, key: str | None, metrics: Mapping[str, float], *, step: int = 0, time: float | None = None
    ) -> None:
        """Do nothing."""

    def log_params(self, key: str | None, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def set_tags(self, key: str | None, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def log_dict(self, key: str | None, value: Mapping[str, Any], file: str) -> None:
        """Do nothing."""

    def log_text(self, key: str | None, text: str, file: str) -> None:
        """Do nothing."""

    def log_artifact(self, key: str | None, path: Path, folder: str | None = None) -> None:
        """Do nothing."""

    def end_run(
        self, key: str, *, status: Status, tags: Mapping[str, str] | None = None, time: float | None = None
    ) -> None:
        """Do nothing."""

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Nothing is waiting."""
        return True

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> int:
        """Nothing is lost."""
        return 0


class Tracker:
    """Writes the runs of one search, in the background and in the order in which they are handed over.

    A run is known by its `key` (`trial:t0003`, `final:t0003:1`, `baseline:dtw_1nn`); None is the parent. All
    methods but `flush` and `close` return within microseconds and raise nothing that has to do with the store.
    A search that is resumed finds its parent and its children again by their tags. What a run then already has
    is not written twice: of each metric, only steps after the last one stored.
    """

    RETRY_S = (0.5, 15.0)
    """First and longest pause before a failed write is tried again; the pauses double."""
    ATTEMPTS = 6
    """After so many failures an item is dropped if the store answers to something else."""
    GATHER_S = 0.25
    """The writer waits so long after the first item, so that epochs of several trials share a call."""

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        search: str,
        artifact_root: Path | None = None,
        search_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Find or create the experiment and the parent run; `check(uri)` should have passed before.

        `artifact_root`: folder of the artifacts of a new experiment; not used with a server, which has its own.
        `search_id` tells searches of one name apart where several people share a server; the name by default.
        `tags`: more tags for the parent run.

        Raises:
            TrackingError: the store does not answer, or the experiment was deleted in it.
        """
        quiet_mlflow()
        self.uri = uri
        self.shown_uri = hide_password(uri)
        root = None if urlsplit(uri).scheme in ("http", "https") else artifact_root
        try:
            self._runs = Runs(uri, experiment, root, search, search_id or search)
            self._runs.set_tags(None, tags or {})
        except TrackingError:
            raise
        except Exception as error:  # as in `check`
            raise TrackingError(f"tracking store {self.shown_uri} failed: {one_line(error, uri)}") from error
        self._client = self._runs.client
        self.experiment_id = self._runs.experiment_id
        self.run_id = self._runs.parent_id
        self._queue: deque[_Item] = deque()
        self._unsent = 0
        self._dropped = 0
        self._said: set[str] = set()
        self._failing: str | None = None
        self._urgent = False
        self._closed = False
        self._give_up = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="mlflow-writer", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------ handing over

    def start_run(
        self, key: str, *, name: str, params: Mapping[str, Any], tags: Mapping[str, str], started: float | None = None
    ) -> None:
        """Open the child run `key`, or go on with it where this search already has it.

        `started` is in seconds since 1970. Values longer than MLflow takes are cut, and say so at their end.
        """
        own_params, own_tags, started_ms = dict(params), dict(tags), _milliseconds(started)
        self._put(_Item(key, call=lambda: self._runs.start(key, name, own_params, own_tags, started_ms)))

    def log_metrics(
        self, key: str | None, metrics: Mapping[str, float], *, step: int = 0, time: float | None = None
    ) -> None:
        """Add one value to each metric. `time` in seconds since 1970; values that are not finite are left out."""
        milliseconds = _milliseconds(time)
        entities: list[Metric] = []
        for name, value in metrics.items():
            if isinstance(value, Real) and math.isfinite(value):
                entities.append(Metric(clean_name(name), float(value), milliseconds, step))
            else:
                self._say(f"metric {name} is not a finite number in run {key} (step {step}): left out", f"nan {name}")
        if entities:
            self._put(_Item(key, metrics=entities))

    def log_params(self, key: str | None, params: Mapping[str, Any]) -> None:
        """Add parameters. One that the run already has with another value keeps the old one, with a warning."""
        copy = dict(params)
        self._put(_Item(key, call=lambda: self._runs.log_params(key, copy)))

    def set_tags(self, key: str | None, tags: Mapping[str, str]) -> None:
        """Set tags; an old value is replaced."""
        copy = dict(tags)
        self._put(_Item(key, call=lambda: self._runs.set_tags(key, copy)))

    def log_dict(self, key: str | None, value: Mapping[str, Any], file: str) -> None:
        """Store `value` as the artifact `file` (`name.json` or `name.yaml`)."""
        copy = dict(value)
        self._put(_Item(key, call=lambda: self._client.log_dict(self._runs.id(key), copy, file)))

    def log_text(self, key: str | None, text: str, file: str) -> None:
        """Store `text` as the artifact `file`, say a page with a figure."""
        self._put(_Item(key, call=lambda: self._client.log_text(self._runs.id(key), text, file)))

    def log_artifact(self, key: str | None, path: Path, folder: str | None = None) -> None:
        """Store the file `path` as an artifact in `folder`. It is read later, so it has to stay until `flush`."""
        self._put(_Item(key, call=lambda: self._client.log_artifact(self._runs.id(key), str(path), folder)))

    def end_run(
        self, key: str, *, status: Status, tags: Mapping[str, str] | None = None, time: float | None = None
    ) -> None:
        """Close the child run `key` after setting `tags`; `time` in seconds since 1970."""
        milliseconds, copy = _milliseconds(time), dict(tags or {})

        def end() -> None:
            self._runs.set_tags(key, copy)
            self._client.set_terminated(self._runs.id(key), status, milliseconds)

        self._put(_Item(key, call=end))

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything handed over is written (or dropped); False if `timeout_s` was not enough."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._unsent == 0, timeout_s)

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> int:
        """Close the parent run, write what is left, and return how many items were not written.

        They are said in one line. Calling it again does nothing.
        """
        if not self._closed:
            self._put(_Item(None, call=lambda: self._client.set_terminated(self.run_id, status, _milliseconds(None))))
            self._closed = True
            self.flush(timeout_s)
            self._give_up.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join(1.0)  # it may sit in a call of MLflow's, which nothing can end
            if lost := self._unsent + self._dropped:
                _log.warning(
                    "%d items were not written to %s (%s); the search's journal holds them all",
                    lost, self.shown_uri, self._failing or "refused, see above",
                )  # fmt: skip
        return self._unsent + self._dropped

    def _put(self, item: _Item) -> None:
        with self._changed:
            if self._closed:
                self._say("something was handed over after the end, it is not written", "closed")
                return
            self._queue.append(item)
            self._unsent += 1
            self._changed.notify_all()

    def _say(self, message: str, kind: str | None = None) -> None:
        """Warn, but once for each `kind`."""
        if (kind or message) not in self._said:
            self._said.add(kind or message)
            _log.warning("tracking: %s", message)

    # ----------------------------------------------------------------------------------------------- writing

    def _write_all(self) -> None:
        while not self._give_up.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._give_up.is_set())
                if not self._urgent:
                    self._changed.wait_for(lambda: self._urgent or self._give_up.is_set(), self.GATHER_S)
                items = list(self._queue)
                self._queue.clear()
                self._urgent = False
            for call, num_items in self._batched(items):
                if not self._attempt(call):
                    if self._give_up.is_set():
                        return
                    self._dropped += num_items
                with self._changed:
                    self._unsent -= num_items
                    self._changed.notify_all()

    def _batched(self, items: Iterable[_Item]) -> Iterator[tuple[Callable[[], None], int]]:
        """Calls and how many items each stands for; metrics of a run go together, in order with its calls."""
        waiting: dict[str | None, list[_Item]] = {}
        for item in items:
            if item.call is None:
                waiting.setdefault(item.key, []).append(item)
                continue
            yield from self._metric_calls(item.key, waiting.pop(item.key, []))
            yield item.call, 1
        for key, left in waiting.items():
            yield from self._metric_calls(key, left)

    def _metric_calls(self, key: str | None, items: list[_Item]) -> Iterator[tuple[Callable[[], None], int]]:
        if items:
            metrics = [metric for item in items for metric in item.metrics]
            yield (lambda: self._runs.log_metrics(key, metrics)), len(items)

    def _attempt(self, call: Callable[[], None]) -> bool:
        """Call until it succeeds; False if it never can, or `close` has given up."""
        pause_s, longest_s = self.RETRY_S
        attempts = 0
        while True:
            try:
                call()
            except Exception as error:  # a search must not end because of whatever MLflow raises
                attempts += 1
                reason = one_line(error, self.uri)
                self._runs.forget_children()
                if not _is_transient(error) or (attempts >= self.ATTEMPTS and self._runs.answers()):
                    self._say(f"{self.shown_uri} refused something, it is left out: {reason}", reason)
                    return False
                if self._failing is None:
                    self._say(f"{self.shown_uri} does not answer, the search goes on and I try again: {reason}")
                self._failing = reason
                if self._give_up.wait(pause_s):
                    return False
                pause_s = min(2 * pause_s, longest_s)
            else:
                if self._failing is not None:
                    _log.info("tracking: %s answers again, %d items are to be sent", self.shown_uri, self._unsent)
                self._failing = None
                return True


def _is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later. A mistake in what is written stays one."""
    if isinstance(error, MlflowException):
        return error.error_code not in _PERMANENT
    if isinstance(error, OSError):  # the disk or the network; but an artifact that is gone stays gone
        return not isinstance(error, (FileNotFoundError, IsADirectoryError))
    return not isinstance(error, (KeyError, TypeError, ValueError))


def _milliseconds(seconds: float | None) -> int:
    return int(1000 * (unix_time() if seconds is None else seconds))
