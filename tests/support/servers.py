"""Servers that tests start and kill: PostgreSQL (Debian's), and `mlflow server` with proxied artifacts on any store."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sldml.tracking import TrackingError, check


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def postgresql() -> Iterator[str]:
    """A cluster of its own on loopback, with a password; gives its URI, and ends with everything in it removed."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("no PostgreSQL: `apt-get install postgresql`")
    folder = Path(tempfile.mkdtemp(prefix="sldml-postgresql-", dir="/tmp"))
    user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        user = ["runuser", "-u", "postgres", "--"]
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    secret = folder / "password"
    secret.write_text("s3cret-w0rd")
    secret.chmod(0o644)
    port, data, bin_folder = free_port(), folder / "data", binaries[-1].parent
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/tmp"}
    try:
        made = [str(bin_folder / "initdb"), "-D", str(data), "-U", "runs", "--auth=scram-sha-256"]
        subprocess.run([*user, *made, f"--pwfile={secret}"], check=True, timeout=120, **quiet)  # type: ignore[call-overload]
        settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
        control = [*user, str(bin_folder / "pg_ctl"), "-D", str(data), "-w"]
        subprocess.run([*control, "-o", settings, "start"], check=True, timeout=120, **quiet)  # type: ignore[call-overload]
        try:
            yield f"postgresql+psycopg://runs:s3cret-w0rd@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=False, timeout=60, **quiet)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class MlflowServer:
    """`mlflow server` on loopback, that can be killed and started again at the same place."""

    def __init__(self, store: str, artifacts: Path) -> None:
        self._store, self._artifacts, self._port = store, artifacts, free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port),
             "--workers", "1", "--backend-store-uri", self._store, "--artifacts-destination", str(self._artifacts)],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # its job workers import MLflow again
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        for _ in range(600):
            try:
                check(self.uri, timeout_s=30)  # what is set for it holds for all calls of this process
            except TrackingError:
                time.sleep(0.5)
            else:
                return
        raise AssertionError("mlflow server did not start")

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
