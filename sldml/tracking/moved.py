"""Artifacts of results that were moved or copied.

MLflow keeps the place of an experiment's artifacts as an absolute path and has no call to change it, so that runs after
a move would write to the old place. `mlflow db move-resources --artifact-policy retarget` changes the same columns.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy
from mlflow.entities import Experiment
from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy import column, select, table, update
from sqlalchemy.exc import SQLAlchemyError

from sldml.errors import scheme_of
from sldml.tracking.store import default_uri

_PLACES = (("runs", "run_uuid", "artifact_uri", "."), ("logged_models", "model_id", "artifact_location", "models"))
"""Table, its key, its column of places, and the folder of the artifacts below the root."""
_log = logging.getLogger(__name__)


def follow_moved_results(uri: str, experiment: Experiment, artifact_root: Path) -> None:
    """Let an experiment write its artifacts to `artifact_root`, if the store's file lies beside that folder.

    Earlier runs are changed as well, if their artifacts are there. Another store keeps its places, which is told.
    """
    kept = str(experiment.artifact_location)
    if scheme_of(kept) not in ("", "file"):
        return
    kept_root, root = Path(local_file_uri_to_path(kept)), artifact_root.absolute()
    if kept_root.resolve() == root.resolve():
        return
    name = experiment.name
    if uri != default_uri(root.parent):
        _log.warning("tracking: artifacts go to %s, the folder of experiment %s in this store", kept_root, name)
        return
    engine = sqlalchemy.create_engine(uri)
    try:
        _move(engine, int(experiment.experiment_id), root)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        _log.warning("tracking: artifacts of %s go to %s, which cannot be changed: %s", name, kept_root, reason)
    else:
        _log.warning("tracking: these results were in %s: their artifacts are now in %s", kept_root.parent, root)
    finally:
        engine.dispose()


def _move(engine: sqlalchemy.Engine, experiment_id: int, root: Path) -> None:
    with engine.begin() as connection:
        experiments = table("experiments", column("experiment_id"), column("artifact_location"))
        this = experiments.c.experiment_id == experiment_id
        connection.execute(update(experiments).where(this).values(artifact_location=str(root)))
        for name, key, place, below in _PLACES:
            rows = table(name, column("experiment_id"), column(key), column(place))
            for (entry,) in connection.execute(select(rows.c[key]).where(rows.c.experiment_id == experiment_id)).all():
                if (folder := root / below / entry / "artifacts").is_dir():
                    connection.execute(update(rows).where(rows.c[key] == entry).values({place: str(folder)}))
