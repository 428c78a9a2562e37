"""A search as a submitted Ray job, on a cluster of two nodes with token authentication, started as a person would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.running import ROOT, TINY, wait_for
from support.servers import free_port

from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1200)]
RAY = Path(sys.executable).with_name("ray")


@dataclass(frozen=True)
class Cluster:
    """Two nodes of one core each; the second lies in another folder and has a cache of its own."""

    dashboard: str
    environment: dict[str, str]
    second_cache: Path

    def submit(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Submit `launch/tune.py` as a job and wait for its end."""
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
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if not RAY.is_file():
        pytest.skip("no `ray` command beside this Python")
    folder = tmp_path
    port, dashboard = free_port(), free_port()
    (folder / "token").write_text("0123456789abcdef" * 4)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "SLDML_CACHE"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }
    head = [
        *("--head", "--port", port, "--ray-client-server-port", free_port()),
        *("--include-dashboard", "true", "--dashboard-port", dashboard),
    ]
    second = ["--address", f"127.0.0.1:{port}"]
    second_cache = folder / "second" / "cache"
    with ExitStack() as nodes:
        log = nodes.enter_context(node(folder / "head", head, environment))
        wait_until_up(dashboard, *log)
        log = nodes.enter_context(node(folder / "second", second, {**environment, "SLDML_CACHE": str(second_cache)}))
        wait_for(lambda: "Ray runtime started" in log[1].read_text(), *log, timeout_s=120)
        yield Cluster(f"http://127.0.0.1:{dashboard}", environment, second_cache)


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


def test_a_search_on_two_nodes_as_a_job(cluster: Cluster, tmp_path: Path) -> None:
    storage, summary_file = tmp_path / "results", tmp_path / "summary.json"
    arguments = [*TINY, "--name", "job", "--storage", storage, "--summary", summary_file]
    ended = cluster.submit(*arguments, SLDML_COMMIT="c0ffee")
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    summary = json.loads(summary_file.read_text())
    assert summary["state"] == "completed"
    assert summary["timing"]["slots"] == 2
    assert summary["trials"]["failed"] == 0
    assert summary["environment"]["commit"] == "c0ffee"
    assert summary["mlflow"]["tracking_uri"] == f"sqlite:///{storage / 'mlflow.db'}"
    assert Path(summary["report"]).is_file()
    history = read_history(storage / "job" / "journal.jsonl")
    assert len(history.trials) == 4
    (copied,) = [folder for folder in cluster.second_cache.iterdir() if folder.is_dir()]
    (original,) = [folder for folder in (storage / "prepared").iterdir() if folder.is_dir()]
    assert copied.name == original.name, "the second node trained on something else"
    assert (copied / "signals.npy").read_bytes() == (original / "signals.npy").read_bytes()

    # A relative folder is refused in one line: the job's working folder is a temporary copy.
    refused = cluster.submit(*TINY)
    assert refused.returncode != 0
    assert "error: --storage" in refused.stdout + refused.stderr
