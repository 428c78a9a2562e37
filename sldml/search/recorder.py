"""Records the events of a search: first in the journal, then in its history and on the progress display."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sldml.journal import Event, History, Journal
from sldml.search.watcher import Watcher


class Recorder:
    """Keeps journal, history and progress of a search in sync."""

    def __init__(self, journal: Journal, history: History, watcher: Watcher) -> None:
        self._journal, self.history, self._watcher = journal, history, watcher

    @property
    def has_journal(self) -> bool:
        """Whether the journal is still where it was."""
        return self._journal.is_there

    def say(self, message: str) -> None:
        """Show a line."""
        self._watcher.say(message)

    def record(self, event: Event) -> None:
        """Write an event to the journal, add it to the history and show it."""
        self._journal.append(event)
        self.history.apply(event)
        self._watcher.happened(event, self.history)


def epoch_fields(result: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an epoch's event from a worker's report; metrics that are not finite are left out."""
    names = [name for name in result if "/" in name or name == "images_per_s"]
    return {
        "epoch": result["epoch"],
        "worker": result.get("worker"),
        "right_per_class": tuple(result.get("val/right_per_class", ())),
        "queries_per_class": tuple(result.get("val/queries_per_class", ())),
        "metrics": {
            name: float(result[name])
            for name in names
            if isinstance(result[name], int | float) and math.isfinite(result[name])
        },
    }
