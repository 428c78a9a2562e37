"""Searches tracked to a store of the tests' own, and what is in the store afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from sldml.journal import Event, Journal, SearchBegun
from sldml.tracking import Tracker, default_artifact_root, default_uri
from support.made_history import search_begun


class TrackedSearch:
    """A journal in `storage`, and what follows it."""

    def __init__(self, storage: Path, begun: SearchBegun | None = None, name: str = "demo-1") -> None:
        self.storage, self.folder = storage, storage / name
        self.begun = begun or search_begun(name=name)
        self.journal = Journal(self.folder / "journal.jsonl")

    def write(self, events: Iterable[Event]) -> None:
        for event in events:
            self.journal.append(event)

    def tracker(self, uri: str | None = None) -> Tracker:
        return Tracker(
            self.folder,
            uri or default_uri(self.storage),
            self.begun,
            artifact_root=default_artifact_root(self.storage),
        )

    def tracked(self, events: Iterable[Event] = ()) -> Tracker:
        """Write events and wait until they are in the store."""
        self.write(events)
        tracker = self.tracker()
        assert tracker.close(60) == 0
        return tracker

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(default_uri(self.storage))

    def runs(self, tracker: Tracker) -> dict[str, Run]:
        """All runs of the search by key; that of the search itself is `search`."""
        found = self.client.search_runs([tracker.experiment_id], max_results=1000)
        return {
            run.data.tags["key"]: run
            for run in found
            if tracker.run_id in (run.info.run_id, run.data.tags.get("mlflow.parentRunId"))
        }

    def steps(self, run: Run, metric: str) -> list[int]:
        return [m.step for m in self.client.get_metric_history(run.info.run_id, metric)]
