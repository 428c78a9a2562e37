"""The tracker: calls return within microseconds; one thread writes items to disk, another sends them in batches.

A search neither waits for its tracking nor fails because of it. While the store does not answer, items are kept in the
search's folder (`spool`) and retried; unsent items are reported in one line and sent when the search is resumed.
"""

from __future__ import annotations

import functools
import logging
import math
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec
from urllib.parse import urlsplit

from mlflow.entities import Metric

from sldml.tracking.runs import Runs, clean_name, is_transient
from sldml.tracking.spool import Item, Spool
from sldml.tracking.store import TrackingError, hide_password, one_line, quiet_mlflow

Status = Literal["FINISHED", "FAILED", "KILLED"]

_SWITCH_S = 0.0002
_MOST_AT_ONCE = 500
"""Number of items that are read from disk at a time."""
_log = logging.getLogger(__name__)
P = ParamSpec("P")


def _handing_over(method: Callable[Concatenate[Tracker, P], None]) -> Callable[Concatenate[Tracker, P], None]:
    """Measure the duration of a call, which is all that a search waits for its tracking."""

    @functools.wraps(method)
    def measured(self: Tracker, /, *args: P.args, **kwargs: P.kwargs) -> None:
        began, began_cpu = time.perf_counter(), time.thread_time()
        method(self, *args, **kwargs)
        self.longest_s = max(self.longest_s, time.perf_counter() - began)
        self.longest_cpu_s = max(self.longest_cpu_s, time.thread_time() - began_cpu)

    return measured


class Tracker:
    """Writes the runs of one search, in the background and in order.

    A run is identified by its `key` (`trial:t0003`, `final:t0003:1`, `baseline:dtw_1nn`); None is the parent. All
    methods but `flush` and `close` return within microseconds and raise no errors of the store. A resumed search
    finds its parent and children by their tags, and does not write existing values again: of each metric, only steps
    after the last stored one are written.
    """

    RETRY_S = (0.5, 15.0)
    """First and longest pause before a failed write is retried; pauses double."""
    ATTEMPTS = 6
    """An item is dropped after this many failures in a row, if the store answered other requests each time."""
    GATHER_S = 0.25
    """What was handed over goes to the disk so often, and then in one batch to the store: epochs of several trials
    share a call."""

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        search: str,
        artifact_root: Path | None = None,
        search_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        spool: Path | None = None,
    ) -> None:
        """Find or create the experiment and the parent run; `check(uri)` should have passed before.

        `artifact_root`: folder of the artifacts of a new experiment; not used with a server, which has its own.
        `search_id` tells searches of one name apart where several people share a server; the name by default.
        `tags`: more tags for the parent run.
        `spool`: the file in which everything waits for the store, and where what an earlier driver could not send
        still lies; a temporary one by default.

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
        path = spool or Path(tempfile.mkdtemp(prefix="sldml-tracking-")) / "tracking.spool"
        self._spool = Spool(path, f"{self.shown_uri} {self.run_id}")
        if self._spool.left_over:
            _log.info("tracking: %d items of an earlier call are sent to %s", self._spool.left_over, self.shown_uri)
        self._handed: deque[Item] = deque()
        self.num_handed_over = 0
        self.longest_s = 0.0
        """The longest time that handing something over has taken, seconds; and of the processor, without the time in
        which other processes had it."""
        self.longest_cpu_s = 0.0
        self._dropped = 0
        self._warned: set[str] = set()
        self._failing: str | None = None
        self._answered = time.monotonic()
        self._closed = False
        self._ended = threading.Event()
        self._urgent = threading.Event()
        self._draining = threading.Lock()
        self._added = threading.Condition()
        # A thread that wants the interpreter waits so long for another one to let go of it: the writer's 5 ms, which is
        # the default, are more than anyone who hands something over should ever wait.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._threads = [
            threading.Thread(target=self._spool_all, name="mlflow-spool", daemon=True),
            threading.Thread(target=self._write_all, name="mlflow-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------------------------------------ handing over

    @_handing_over
    def start_run(
        self, key: str, *, name: str, params: Mapping[str, Any], tags: Mapping[str, str], started: float | None = None
    ) -> None:
        """Open the child run `key`, or go on with it where this search already has it.

        `started` is in seconds since 1970. Values longer than MLflow takes are cut, and say so at their end.
        """
        self._put("start", key, name=name, params=dict(params), tags=dict(tags), started_ms=_milliseconds(started))

    @_handing_over
    def log_metrics(
        self, key: str | None, metrics: Mapping[str, float], *, step: int = 0, time: float | None = None
    ) -> None:
        """Add one value to each metric. `time` in seconds since 1970; values that are not finite are left out."""
        finite: dict[str, float] = {}
        for name, value in metrics.items():
            if isinstance(value, Real) and math.isfinite(value):
                finite[clean_name(name)] = float(value)
            else:
                self._warn(f"metric {name} is not a finite number in run {key} (step {step}): left out", f"nan {name}")
        if finite:
            self._put("metrics", key, metrics=finite, step=step, time_ms=_milliseconds(time))

    @_handing_over
    def log_params(self, key: str | None, params: Mapping[str, Any]) -> None:
        """Add parameters. One that the run already has with another value keeps the old one, with a warning."""
        self._put("params", key, params=dict(params))

    @_handing_over
    def set_tags(self, key: str | None, tags: Mapping[str, str]) -> None:
        """Set tags; an old value is replaced."""
        self._put("tags", key, tags=dict(tags))

    @_handing_over
    def log_dict(self, key: str | None, value: Mapping[str, Any], file: str) -> None:
        """Store `value` as the artifact `file` (`name.json` or `name.yaml`)."""
        self._put("dict", key, value=dict(value), file=file)

    @_handing_over
    def log_text(self, key: str | None, text: str, file: str) -> None:
        """Store `text` as the artifact `file`, such as a page with a figure."""
        self._put("text", key, text=text, file=file)

    @_handing_over
    def log_artifact(self, key: str | None, path: Path, folder: str | None = None) -> None:
        """Store the file `path` as an artifact in `folder`. It is read later, so it must exist until `flush`."""
        self._put("artifact", key, path=str(path), folder=folder)

    @_handing_over
    def log_accuracies(
        self, key: str | None, labels: Sequence[str], right: Sequence[float], queries: Sequence[float], file: str
    ) -> None:
        """Store the number of correct queries of each class, as the table `file`."""
        self._put("accuracies", key, labels=list(labels), right=list(right), queries=list(queries), file=file)

    @_handing_over
    def log_confusion(self, key: str | None, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
        """Store a confusion matrix (rows are true classes) as a figure and tables, and the accuracy of each class."""
        self._put("confusion", key, labels=list(labels), matrix=[list(row) for row in matrix])

    @_handing_over
    def log_map(self, key: str | None, points: Sequence[Mapping[str, Any]], title: str) -> None:
        """Store a map of embeddings (each `name`, `label`, `x`, `y`, `exemplar`, `named`) as a figure and a table."""
        self._put("map", key, points=[dict(point) for point in points], title=title)

    @_handing_over
    def log_dataset(self, key: str | None, dataset: Mapping[str, str], context: str) -> None:
        """Log the recordings of a run: `name`, `digest`, `source_type`, `source`, `schema`, `profile`."""
        self._put("dataset", key, dataset=dict(dataset), context=context)

    @_handing_over
    def log_model(self, key: str | None, folder: Path, name: str, register: str | None = None) -> None:
        """Log the recogniser in `folder` as an MLflow model `name`, registered as `register` if given."""
        self._put("model", key, folder=str(folder), name=name, register=register)

    @_handing_over
    def end_run(
        self, key: str, *, status: Status, tags: Mapping[str, str] | None = None, time: float | None = None
    ) -> None:
        """Close the child run `key` after setting `tags`; `time` in seconds since 1970."""
        self._put("end", key, status=status, tags=dict(tags or {}), ended_ms=_milliseconds(time))

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything handed over is written (or dropped).

        Returns False if the store did not answer for `timeout_s`.
        """
        self._urgent.set()
        began = time.monotonic()
        with self._added:
            while self.num_unsent:
                if time.monotonic() - max(began, self._answered) > timeout_s:
                    return False
                self._added.wait(min(0.1, timeout_s))
        return True

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> int:
        """Close the parent run, write what is left, and return how many items were not written.

        They are reported in one line. Calling it again does nothing.
        """
        if not self._closed:
            self._put("end", None, status=status, tags={}, ended_ms=_milliseconds(None))
            self._closed = True
            self.flush(timeout_s)
            self._ended.set()
            self._urgent.set()
            with self._added:
                self._added.notify_all()
            for thread in self._threads:
                thread.join(2.0)  # the writer may sit in a call of MLflow's, which nothing can end
            self._drain()
            if self.num_unsent:
                _log.warning(
                    "tracking: %d items wait in %s for %s (%s): resume the search to send them; the journal has them",
                    self.num_unsent, self._spool.path, self.shown_uri, self._failing or "it was too slow",
                )  # fmt: skip
            if self._dropped:
                _log.warning(
                    "tracking: %s refused %d items, see above; the journal has them", self.shown_uri, self._dropped
                )
            if not self._threads[1].is_alive():
                self._spool.close()
        return self.num_unsent + self._dropped

    @property
    def num_unsent(self) -> int:
        """Number of items that are not in the store yet."""
        return len(self._handed) + self._spool.pending

    def to_json(self) -> dict[str, Any]:
        """For a summary: number of items handed over, longest duration of a call, and number of missing items."""
        return {
            "handed_over": self.num_handed_over,
            "longest_handover_ms": round(1000 * self.longest_s, 4),
            "longest_handover_cpu_ms": round(1000 * self.longest_cpu_s, 4),
            "waiting": self.num_unsent,
            "refused": self._dropped,
        }

    def _put(self, do: str, key: str | None, **fields: Any) -> None:
        if self._closed:
            self._warn("a call after the end was ignored", "closed")
            return
        self._handed.append({"do": do, "key": key, **fields})  # no lock, no file: another thread may hold either
        self.num_handed_over += 1

    def _warn(self, message: str, kind: str | None = None) -> None:
        """Warn once for each `kind`."""
        if (kind or message) not in self._warned:
            self._warned.add(kind or message)
            _log.warning("tracking: %s", message)

    # ----------------------------------------------------------------------------------------------- writing

    def _spool_all(self) -> None:
        while not self._ended.is_set():
            self._urgent.wait(self.GATHER_S)
            if not self._drain():
                self._urgent.clear()

    def _drain(self) -> bool:
        """Write items that were handed over to disk; False if there were none."""
        with self._draining:
            items = [self._handed[i] for i in range(len(self._handed))]
            if items:
                self._spool.add(items)
            for _ in items:  # only now: between the two, nothing may look as if it were all sent
                self._handed.popleft()
        if items:
            with self._added:
                self._added.notify_all()
        return bool(items)

    def _write_all(self) -> None:
        while not self._ended.is_set():
            with self._added:
                self._added.wait_for(lambda: self._spool.pending or self._ended.is_set())
            items = self._spool.take(_MOST_AT_ONCE)
            for call, num_items in self._batched(items):
                if not self._attempt(call):
                    if self._ended.is_set():
                        return
                    self._dropped += num_items
            self._spool.sent(len(items))
            with self._added:
                self._added.notify_all()

    def _batched(self, items: Iterable[Item]) -> Iterator[tuple[Callable[[], None], int]]:
        """Calls and the number of items of each; metrics of a run are batched, in order with its other calls."""
        waiting: dict[str | None, list[Item]] = {}
        for item in items:
            if item["do"] == "metrics":
                waiting.setdefault(item["key"], []).append(item)
                continue
            yield from self._metric_calls(item["key"], waiting.pop(item["key"], []))
            yield functools.partial(self._runs.perform, item), 1
        for key, left in waiting.items():
            yield from self._metric_calls(key, left)

    def _metric_calls(self, key: str | None, items: list[Item]) -> Iterator[tuple[Callable[[], None], int]]:
        if items:
            metrics = [
                Metric(name, value, item["time_ms"], item["step"])
                for item in items
                for name, value in item["metrics"].items()
            ]
            yield (lambda: self._runs.log_metrics(key, metrics)), len(items)

    def _attempt(self, call: Callable[[], None]) -> bool:
        """Call until it succeeds; False if it cannot succeed, or after `close` gave up."""
        pause_s, longest_s = self.RETRY_S
        attempts = 0
        while True:
            try:
                call()
            except Exception as error:  # a search must not end because of whatever MLflow raises
                reason = one_line(error, self.uri)
                self._runs.forget_children()
                # While the store does not answer at all, that is no fault of the item's.
                attempts = attempts + 1 if is_transient(error) and self._runs.answers() else 0
                if not is_transient(error) or attempts >= self.ATTEMPTS:
                    self._warn(f"{self.shown_uri} refused an item, which is left out: {reason}", reason)
                    return False
                if self._failing is None:
                    self._warn(
                        f"{self.shown_uri} does not answer: the search goes on, its results wait in {self._spool.path} "
                        f"and are retried ({reason})"
                    )
                self._failing = reason
                if self._ended.wait(pause_s):
                    return False
                pause_s = min(2 * pause_s, longest_s)
            else:
                self._answered = time.monotonic()
                if self._failing is not None:
                    _log.warning("tracking: %s answers again, %d items are sent now", self.shown_uri, self.num_unsent)
                self._failing = None
                return True


def _milliseconds(seconds: float | None) -> int:
    return int(1000 * (time.time() if seconds is None else seconds))
