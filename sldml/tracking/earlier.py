"""Runs of earlier searches in an MLflow store, with everything needed to repeat them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from sldml.config.dotted import ConfigTree
from sldml.errors import InputError, hide_secrets

_VALIDATION, _TEST = "val/accuracy", "test/accuracy"


@dataclass(frozen=True)
class EarlierRun:
    """A trial, or a final model of one."""

    run_id: str
    experiment: str
    """The name of its search space."""
    config: ConfigTree
    """Configuration of the trial, nested."""
    validation: float | None
    """The trial's value: the best validation accuracy."""
    seed: int | None = None
    """Seed of a final model."""
    test: float | None = None
    """Accuracy of a final model on the sealed test."""
    prepared: str | None = None
    """The hash of the prepared set."""
    commit: str | None = None
    data: Path | None = None
    """Folder of its recordings."""


def find_run(uri: str, run_id: str) -> EarlierRun:
    """Look a run up; the store was checked before (`check`).

    Raises:
        InputError: there is no such run, or it is not a training.
    """
    client = MlflowClient(uri)
    option = f"--from-run {run_id}"
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        raise InputError(f"{option}: is not an MLflow run ID (32 characters 0-9a-f, shown on the run's page)")
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise InputError(f"{option}: no such run in {hide_secrets(uri)} (other stores: --tracking-uri)") from error
    experiment = str(client.get_experiment(run.info.experiment_id).name)
    tags = run.data.tags
    match tags.get("stage"):
        case "search":
            return EarlierRun(**_common(client, run, experiment, option))
        case "final":
            trial = _trial_of(client, run, option)
            common = _common(client, trial, experiment, option)
            seed = int(tags["key"].rpartition(":")[2])
            return EarlierRun(**{**common, "run_id": run_id, "seed": seed, "test": run.data.metrics.get(_TEST)})
        case "baseline":
            raise InputError(f"{option}: is a baseline, which needs no training; give a trial or a final model")
        case _:
            parent = f"tags.mlflow.parentRunId = '{run_id}' and tags.stage = 'search'"
            found = client.search_runs([run.info.experiment_id], parent, order_by=[f"metrics.`{_VALIDATION}` DESC"])
            hint = f"; the best trial of it is {found[0].info.run_id}" if found else ""
            raise InputError(f"{option}: is neither a trial nor a final model{hint}")


def _common(client: MlflowClient, trial: Run, experiment: str, option: str) -> dict[str, Any]:
    """The fields of `EarlierRun` that trials and final models share."""
    dataset = next((entry.dataset for entry in trial.inputs.dataset_inputs), None) if trial.inputs else None
    source = json.loads(dataset.source) if dataset is not None else {}
    return {
        "run_id": trial.info.run_id,
        "experiment": experiment,
        "config": _config(client, trial, option),
        "validation": trial.data.metrics.get(_VALIDATION),
        "prepared": None if dataset is None else dataset.digest,
        "commit": trial.data.tags.get("commit"),
        "data": Path(source["uri"]) if source.get("uri") else None,
    }


def _config(client: MlflowClient, trial: Run, option: str) -> ConfigTree:
    with TemporaryDirectory(prefix="sldml-run-") as folder:
        try:
            path = client.download_artifacts(trial.info.run_id, "config.json", folder)
            found: ConfigTree = json.loads(Path(path).read_text(encoding="utf-8"))
        except (MlflowException, OSError, ValueError) as error:
            raise InputError(f"{option}: its artifact config.json cannot be read ({error})") from error
    return found


def _trial_of(client: MlflowClient, final: Run, option: str) -> Run:
    """The run of a final model's trial."""
    parent, trial_id = final.data.tags.get("mlflow.parentRunId"), final.data.tags.get("trial_id")
    key = f"tags.mlflow.parentRunId = '{parent}' and tags.key = 'trial:{trial_id}'"
    found = client.search_runs([final.info.experiment_id], key)
    if not found:
        raise InputError(f"{option}: the run of its trial {trial_id} is missing")
    # The list leaves out the inputs.
    return client.get_run(found[0].info.run_id)
