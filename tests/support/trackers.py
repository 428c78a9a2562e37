"""Trackers that need no store: one that keeps nothing, and one that remembers each call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sldml.tracking import Status, Tracker


class NullTracker(Tracker):
    """Needs no store."""

    longest_s = longest_cpu_s = 0.0

    def __init__(self) -> None: ...

    def _put(self, do: str, key: str | None, **fields: Any) -> None: ...

    def _say(self, message: str, kind: str | None = None) -> None: ...

    def flush(self, timeout_s: float = 60.0) -> bool:
        return True

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> int:
        return 0


class FakeTracker(NullTracker):
    """Remembers each call, and the last line that the journal held when it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[tuple[str, str | None, dict[str, Any]]] = []
        self.last_events: list[str | None] = []

    def _note(self, method: str, key: str | None, **fields: Any) -> None:
        lines = self.path.read_text().splitlines()
        self.last_events.append(json.loads(lines[-1])["event"] if lines else None)
        self.calls.append((method, key, fields))

    def start_run(self, key: str, **fields: Any) -> None:
        self._note("start_run", key, **fields)

    def log_metrics(self, key: str | None, metrics: Any, **fields: Any) -> None:
        self._note("log_metrics", key, metrics=dict(metrics), **fields)

    def log_dict(self, key: str | None, value: Any, file: str) -> None:
        self._note("log_dict", key, value=value, file=file)

    def log_confusion(self, key: str | None, labels: Any, matrix: Any) -> None:
        self._note("log_confusion", key, labels=labels, matrix=matrix)

    def log_accuracies(self, key: str | None, labels: Any, right: Any, queries: Any, file: str) -> None:
        self._note("log_accuracies", key, labels=labels, right=right, queries=queries, file=file)

    def log_map(self, key: str | None, points: Any, title: str) -> None:
        self._note("log_map", key, points=points, title=title)

    def log_dataset(self, key: str | None, dataset: Any, context: str) -> None:
        self._note("log_dataset", key, dataset=dataset, context=context)

    def set_tags(self, key: str | None, tags: Any) -> None:
        self._note("set_tags", key, tags=dict(tags))

    def end_run(self, key: str, **fields: Any) -> None:
        self._note("end_run", key, **{k: v for k, v in fields.items() if v is not None})

    def told(self, method: str, key: str | None = None) -> list[dict[str, Any]]:
        return [fields for name, of, fields in self.calls if name == method and (key is None or of == key)]
