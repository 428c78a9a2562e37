"""Where a search ran, with and without a repository."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import pytest

from sldml.journal import EnvironmentRecord
from sldml.search import environment
from sldml.search.environment import describe_environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SLDML_COMMIT", raising=False)
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_comes_by_the_environment(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLDML_COMMIT", "0123abc")
    described = describe_environment()
    assert (described.commit, described.dirty) == ("0123abc", None)


def test_without_a_repository_there_is_no_commit(repository: Path):
    described = describe_environment()
    assert (described.commit, described.dirty) == (None, None)


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch):
    (repository / ".git").mkdir()
    assert describe_environment().commit is None  # git is there, but this is no repository
    monkeypatch.setenv("PATH", str(repository))
    described = describe_environment()
    assert (described.commit, described.dirty) == (None, None)


def test_a_repository_has_a_commit_and_may_be_dirty(repository: Path):
    git(repository, "init", "-q")
    (repository / "file").write_text("one")
    git(repository, "add", "file")
    git(repository, "commit", "-q", "-m", "one")
    head = git(repository, "rev-parse", "HEAD")
    (repository / "untracked").write_text("")
    described = describe_environment()
    assert (described.commit, described.dirty) == (head, False)
    (repository / "file").write_text("two")
    assert describe_environment().dirty is True


def test_versions_and_machine_are_told(repository: Path):
    described = describe_environment()
    assert described.python == platform.python_version()
    assert described.packages["torch"] == importlib.metadata.version("torch")
    assert {"ray", "optuna", "mlflow", "numpy", "faiss-cpu"} <= described.packages.keys()
    assert described.cores >= 1
    assert described.host
    assert EnvironmentRecord.model_validate_json(described.model_dump_json()) == described


def test_a_package_under_another_name_is_no_error(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "a-build-of-faiss"))
    assert describe_environment().packages == {
        "numpy": importlib.metadata.version("numpy"),
        "a-build-of-faiss": None,
    }
