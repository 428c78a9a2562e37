"""A search as a submitted Ray job and one on two nodes: a cluster with token authentication, started by `ray start`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.running import ROOT, TINY, tune, wait_for
from support.servers import free_port

from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1200)]
RAY = Path(sys.executable).with_name("ray")


@dataclass(frozen=True)
class Head:
    """A head node of one core, with token authentication."""

    address: str
    dashboard: str
    environment: dict[str, str]

    def num_nodes(self) -> int:
        """Number of nodes that the cluster counts as active."""
        command = [RAY, "status", "--address", self.address]
        shown = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout
        return len(re.findall(r"^ *1 node_", shown, re.MULTILINE))

    def submit(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Submit `launch/tune.py` as a job with this tree as its working folder, and wait for its end."""
        runtime = {"env_vars": variables, "excludes": ["/.venv", "/.git", "/results"]}
        return subprocess.run(
            [
                *(RAY, "job", "submit", "--address", self.dashboard, "--working-dir", ROOT),
                *("--runtime-env-json", json.dumps(runtime)),
                *("--", "python", "launch/tune.py", *map(str, arguments), "--address", "auto"),
            ],
            env=self.environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    if not RAY.is_file():
        pytest.skip("no `ray` command beside this Python")
    port, dashboard = free_port(), free_port()
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "SLDML_CACHE"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
    }
    arguments = [
        *("--head", "--port", port, "--ray-client-server-port", free_port()),
        *("--include-dashboard", "true", "--dashboard-port", dashboard),
    ]
    with node(tmp_path / "head", arguments, environment) as (process, log):
        wait_until_up(dashboard, process, log)
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", environment)


@contextmanager
def node(
    folder: Path, arguments: list[object], environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A node with its process and log. It is ended by its process: `ray stop` would end every Ray on the machine."""
    folder.mkdir()
    log = folder / "log"
    ports = ["--dashboard-agent-listen-port", free_port(), "--dashboard-agent-grpc-port", free_port()]
    command = [RAY, "start", "--block", "--num-cpus", "1", *arguments, *ports]
    with log.open("w") as file:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    wait_for(answers, process, log, timeout_s=120)


def test_a_search_as_a_job_and_one_on_two_nodes(head: Head, tmp_path: Path) -> None:
    storage, summary_file = tmp_path / "results", tmp_path / "summary.json"
    arguments = [*TINY, "--storage", storage, "--summary", summary_file]
    ended = head.submit(*arguments, "--name", "job", SLDML_COMMIT="c0ffee")
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    summary = json.loads(summary_file.read_text())
    assert summary["state"] == "completed"
    assert summary["trials"]["failed"] == 0
    assert summary["environment"]["commit"] == "c0ffee"
    assert summary["mlflow"]["tracking_uri"] == f"sqlite:///{storage / 'mlflow.db'}"
    assert Path(summary["report"]).is_file()

    # A relative folder is refused in one line: the job's working folder is a temporary copy.
    refused = head.submit(*TINY)
    assert refused.returncode != 0
    assert "error: --storage" in refused.stdout + refused.stderr

    # A second node joins, in another folder and with a cache of its own.
    cache = tmp_path / "second" / "cache"
    second = node(tmp_path / "second", ["--address", head.address], {**head.environment, "SLDML_CACHE": str(cache)})
    with second as (process, log):
        wait_for(lambda: head.num_nodes() == 2, process, log, timeout_s=120)
        # Long enough that the second node's worker has started before the first one has run all trials.
        long = ["--trials", "6", "--max-epochs", "30", "--set", "search.scheduler=none"]
        long += ["--set", "train.min_steps_per_epoch=20"]
        two = [*arguments, *long, "--name", "two", "--no-final", "--concurrent", "2", "--address", head.address]
        ended = tune(*two, **head.environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads(summary_file.read_text())
    assert summary["state"] == "completed"
    assert summary["timing"]["slots"] == 2
    assert summary["trials"]["failed"] == 0
    assert len(read_history(storage / "two" / "journal.jsonl").trials) == 6
    (copied,) = [folder for folder in cache.iterdir() if folder.is_dir()]
    (original,) = [folder for folder in (storage / "prepared").iterdir() if folder.is_dir()]
    assert copied.name == original.name, "the second node trained on something else"
    assert (copied / "signals.npy").read_bytes() == (original / "signals.npy").read_bytes()
