"""Logging a recogniser as an MLflow model of its run, and registering it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from sldml.errors import scheme_of
from sldml.tracking.serving import save


def log_model(
    client: MlflowClient, experiment_id: str, run_id: str, folder: Path, *, name: str, register: str | None
) -> None:
    """Log the recogniser saved in `folder` as a model of the run `run_id`; an identical model is not logged again.

    A resumed search may save another model, which then gets another version.

    Args:
        client: Client of the store.
        experiment_id: Experiment of the run.
        run_id: The search's parent run.
        folder: Folder written by `sldml.recognition.recognizer.Recognizer.save`.
        name: Name of the logged model.
        register: Name in the registry; None not to register it.
    """
    content = _digest(folder)
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    logged: LoggedModel | None = next((model for model in found if model.tags.get("content") == content), None)
    if logged is None:
        logged = client.create_logged_model(
            experiment_id, name, source_run_id=run_id, model_type="recogniser", tags={"content": content}
        )
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    if logged.status != LoggedModelStatus.READY:
        with tempfile.TemporaryDirectory(prefix="sldml-model-") as scratch:
            whole = Path(scratch) / "model"
            save(folder, None, whole)
            description = Model.load(str(whole))
            description.model_id = description.model_uuid = logged.model_id
            description.run_id, description.artifact_path = run_id, logged.artifact_location
            description.save(str(whole / "MLmodel"))
            client.log_model_artifacts(logged.model_id, str(whole))
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    if register is not None:
        _register(client, logged, run_id, register)


def _digest(folder: Path) -> str:
    """A hash of the files."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _register(client: MlflowClient, logged: LoggedModel, run_id: str, name: str) -> None:
    """Create a version of the registered model `name`, unless one is this model already."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # A database looks such a name up in the store of the process, which need not be this client's.
    served = scheme_of(client.tracking_uri) in ("http", "https")
    source = f"models:/{logged.model_id}" if served else logged.artifact_location
    versions = client.search_model_versions(f"name = '{name}'")
    if not any(version.source in (source, logged.artifact_location) for version in versions):
        client.create_model_version(name, source, run_id=run_id, model_id=logged.model_id)
