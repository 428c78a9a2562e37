"""MLflow stores: default locations, and checks before anything else starts."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from filelock import FileLock

from sldml.errors import InputError, hide_secrets, is_clear, scheme_of

# Disables MLflow's usage statistics; must be set before the import.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.tracking import MlflowClient

_DATABASES = ("postgresql", "mysql", "mssql")


class TrackingError(InputError):
    """The store cannot be used; the message is one line without passwords."""


def default_uri(storage: Path) -> str:
    """The SQLite store of the searches below `storage`: `sqlite:////…/mlflow.db`, always absolute."""
    return f"sqlite:///{storage.absolute() / 'mlflow.db'}"


def default_artifact_root(storage: Path) -> Path:
    """The folder of artifacts next to the file of `default_uri`, absolute."""
    return storage.absolute() / "mlflow-artifacts"


def check(uri: str, timeout_s: float = 5.0) -> None:
    """Check that runs can be stored at `uri`; create an SQLite file with its tables.

    Call it once before anything else of the search starts, so that no two processes create the tables together.

    Raises:
        TrackingError: no server answers within about `timeout_s`, the SQLite file cannot be opened, created or
            is something else, or MLflow has no such store.
    """
    quiet_mlflow()
    scheme, shown = scheme_of(uri), hide_secrets(uri)
    if not is_clear(uri):
        raise TrackingError(
            f"tracking URI {shown}: where user name, password and host end is unclear; write @ in them as %40, / as "
            "%2F, ? as %3F, # as %23, and the port as a number"
        )
    try:
        if scheme == "sqlite":
            _check_sqlite(uri)
        elif scheme in ("http", "https"):
            if not re.match(r"\w+://([^/?#]*@)?[^/?#:]", uri):
                raise TrackingError(f"tracking URI {shown}: it has no host")
            with _environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT=f"{timeout_s:.0f}"):
                MlflowClient(uri).search_experiments(max_results=1)
        elif scheme in _DATABASES:
            _check_database(uri, scheme, timeout_s)
        else:
            raise TrackingError(
                f"tracking URI {shown}: not an MLflow store; give sqlite:////<absolute path>/mlflow.db, "
                "http(s)://<server>, or the URI of a PostgreSQL, MySQL or SQL Server database"
            )
    except TrackingError:
        raise
    except Exception as error:  # whatever MLflow, SQLAlchemy, their drivers and requests raise: one clear line
        raise TrackingError(f"tracking store {shown} does not answer: {one_line(error, uri)}") from error


def _check_sqlite(uri: str) -> None:
    file = Path(uri.partition(":///")[2].partition("?")[0])
    if not file.name or not file.is_absolute():
        raise TrackingError(
            f"tracking URI {hide_secrets(uri)}: an SQLite store needs an absolute path, sqlite:////folder/mlflow.db"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=60):
            connection = sqlite3.connect(file)
            try:
                connection.execute("BEGIN IMMEDIATE")  # asks for the right to write, and reads the header
                connection.rollback()
            finally:
                connection.close()
            MlflowClient(uri).search_experiments(max_results=1)
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(f"tracking store {file} cannot be opened or created: {error}") from error


def _check_database(uri: str, scheme: str, timeout_s: float) -> None:
    # MLflow itself retries ten times with growing pauses (a minute and a half) before it reports an error.
    argument = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "mssql": "timeout"}[scheme]
    try:
        engine = sqlalchemy.create_engine(uri, connect_args={argument: max(1, int(timeout_s))})
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"tracking store {hide_secrets(uri)}: its driver {error.name} is not installed; for PostgreSQL "
            "`pip install 'psycopg[binary]'`, or psycopg2-binary for a postgresql+psycopg2 URI"
        ) from error
    try:
        engine.connect().close()
    finally:
        engine.dispose()
    MlflowClient(uri).search_experiments(max_results=1)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def quiet_mlflow() -> None:
    """Suppress MLflow's output on the terminal, and shorten its retries; the tracker has its own."""
    for name, value in {
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Its errors come as exceptions too; the log has tracebacks.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def one_line(error: BaseException, uri: str) -> str:
    """The innermost reason of `error` in one line without the secrets of `uri`."""
    text = hide_secrets(uri, str(error) or type(error).__name__)
    if inner := re.search(r"Caused by \w+\((.*)\)\)?$", text, re.DOTALL):
        text = inner[1].strip("\"'")
    text = re.sub(r"^\(raised as a result of Query-invoked autoflush;[^)]*\)\s*", "", text)
    text = re.split(r"\n?\(Background on this error|\n\[SQL:", text)[0]
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:300]}…"
