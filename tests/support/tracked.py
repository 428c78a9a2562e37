"""Trackers on a store of the tests' own, and what is in the store afterwards."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from sldml.tracking import Tracker, default_artifact_root, default_uri


def open_tracker(storage: Path, search: str = "demo-1", **kwargs: object) -> Tracker:
    return Tracker(
        default_uri(storage),
        experiment="demo",
        search=search,
        artifact_root=default_artifact_root(storage),
        **kwargs,  # type: ignore[arg-type]
    )


def children(storage: Path, tracker: Tracker) -> dict[str, Run]:
    found = MlflowClient(default_uri(storage)).search_runs(
        [tracker.experiment_id], f"tags.mlflow.parentRunId = '{tracker.run_id}'"
    )
    return {run.data.tags["key"]: run for run in found}


def steps(storage: Path, run_id: str, metric: str) -> list[int]:
    return [m.step for m in MlflowClient(default_uri(storage)).get_metric_history(run_id, metric)]
