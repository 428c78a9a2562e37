"""What keeps Ray from starting is told in one line before anything is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from sldml.errors import InputError
from sldml.search import cluster
from sldml.search.machine import LONGEST_SOCKET, check_machine


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a short path for temporary files."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    use(folder, monkeypatch)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)


def refused(reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        check_machine()
    assert "\n" not in str(caught.value)


def test_an_ordinary_machine_passes(short: Path) -> None:
    check_machine()


def test_a_folder_whose_name_is_not_ascii(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(short / "tmp dir ü", monkeypatch)
    refused("which must have ASCII characters only")


def test_a_folder_that_is_too_deep(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(short / ("d" * 100), monkeypatch)
    refused(r"too long for Ray's sockets \(at most \d\d characters\)")
    most = LONGEST_SOCKET - len(f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    use(short / ("d" * (most - len(str(short)) - 1)), monkeypatch)
    check_machine()


def test_a_file_where_rays_folder_should_be(short: Path) -> None:
    (short / "ray").write_text("")
    refused("is a file or another user's: set RAY_TMPDIR")


def test_a_full_disk(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10 * 2**20))
    refused("less than 100 MB are free")


def test_a_home_that_is_missing(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(short / "nohome"))
    refused(r"nohome \(HOME\) cannot be written to")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(short: Path) -> None:
    (short / "ray").mkdir(mode=0o500)
    refused("is a file or another user's")


@pytest.mark.parametrize("in_job", [False, True])
def test_the_address_of_the_environment_counts_in_a_job_only(in_job: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cluster, "_connect", lambda address, quiet: asked.append(address))
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6399")
    if in_job:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    else:
        monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    with cluster.connected(None):
        pass
    assert asked == ["127.0.0.1:6399" if in_job else None]
