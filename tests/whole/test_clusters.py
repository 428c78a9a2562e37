"""The same search on a Ray cluster of two nodes, and as a submitted Ray job."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.running import ROOT, SMALL, tune, wait_for

from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.alone]
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """(address, cache of the second node): two raylets of one core each, the second elsewhere, with its own cache."""
    from ray.cluster_utils import Cluster

    elsewhere, cache = tmp_path / "elsewhere", tmp_path / "second-cache"
    elsewhere.mkdir()
    monkeypatch.delenv("SLDML_CACHE", raising=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    monkeypatch.chdir(elsewhere)
    cluster.add_node(num_cpus=1, env_vars={"SLDML_CACHE": str(cache)})
    cluster.wait_for_nodes()
    yield cluster.address, cache
    cluster.shutdown()


@pytest.mark.timeout(1800)
def test_a_search_on_two_nodes(two_nodes, tmp_path):
    address, cache = two_nodes
    storage = tmp_path / "results"
    arguments = [*SMALL, "--name", "two", "--storage", storage, "--address", address]
    ended = tune(*arguments, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "completed"
    assert summary["timing"]["slots"] == 2
    assert summary["trials"]["failed"] == 0
    (copied,) = [folder for folder in cache.iterdir() if folder.is_dir()]
    (original,) = [folder for folder in (storage / "prepared").iterdir() if folder.is_dir()]
    assert copied.name == original.name, "the second node trained on something else"
    assert (copied / "signals.npy").read_bytes() == (original / "signals.npy").read_bytes()
    assert len(read_history(storage / "two" / "journal.jsonl").trials) == 4


@pytest.fixture
def head(tmp_path, monkeypatch):
    """The environment of a client of a head node with token authentication, started as a person would."""
    if shutil.which("ray", path=str(Path(RAY).parent)) is None:
        pytest.skip("no `ray` command beside this Python")
    token_file = tmp_path / "token"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
    }
    token_file.write_text("0123456789abcdef" * 4)
    ports = ["--port", "6391", "--dashboard-port", "8291", "--dashboard-agent-listen-port", "52391"]
    command = [RAY, "start", "--head", "--block", "--num-cpus", "2", "--include-dashboard", "true", *ports]
    # Ended by its process, not by `ray stop`, which would end every Ray on the machine.
    with (tmp_path / "head.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: _answers("127.0.0.1", 8291), process, tmp_path / "head.log", timeout_s=120)
        yield environment
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(1800)
def test_a_search_as_a_ray_job(head, tmp_path):
    storage, summary_file = tmp_path / "results", tmp_path / "summary.json"
    submit = [
        *(RAY, "job", "submit", "--address", "http://127.0.0.1:8291", "--working-dir", str(ROOT)),
        *("--runtime-env-json", json.dumps({"env_vars": {"SLDML_COMMIT": "c0ffee"}, "excludes": ["/.venv", "/.git"]})),
        *("--", "python", "launch/tune.py", *SMALL, "--address", "auto", "--name", "job"),
        *("--storage", str(storage), "--summary", str(summary_file)),
    ]
    ended = subprocess.run(submit, env=head, capture_output=True, text=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    summary = json.loads(summary_file.read_text())
    assert summary["state"] == "completed"
    assert summary["environment"]["commit"] == "c0ffee"
    assert summary["mlflow"]["tracking_uri"] == f"sqlite:///{storage / 'mlflow.db'}"
    assert Path(summary["report"]).is_file()


@pytest.mark.timeout(900)
def test_a_job_with_relative_storage_is_refused_in_one_line(head):
    submit = [
        *(RAY, "job", "submit", "--address", "http://127.0.0.1:8291", "--working-dir", str(ROOT)),
        *("--runtime-env-json", json.dumps({"excludes": ["/.venv", "/.git"]})),
        *("--", "python", "launch/tune.py", *SMALL, "--address", "auto"),
    ]
    ended = subprocess.run(submit, env=head, capture_output=True, text=True, timeout=250, check=False)
    assert ended.returncode != 0
    assert "error: --storage" in ended.stdout + ended.stderr
