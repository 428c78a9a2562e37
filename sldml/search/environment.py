"""The environment of a search, for reproducing it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path

import torch

from sldml.journal import EnvironmentRecord

_PACKAGES = ("ray", "torch", "torchvision", "pytorch-metric-learning", "optuna", "mlflow", "numpy", "faiss-cpu")
_ROOT = Path(__file__).resolve().parents[2]


def describe_environment(threads: int | None = None) -> EnvironmentRecord:
    """Python, packages, machine and commit, and the threads of a trial. The commit can be set by `SLDML_COMMIT`."""
    commit, dirty = _commit()
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=platform.platform(),
        host=socket.gethostname(),
        cores=os.cpu_count(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        commit=commit,
        dirty=dirty,
        packages={name: _version(name) for name in _PACKAGES},
        threads=threads,
    )


def _version(name: str) -> str | None:
    """None if a package has another name (such as a custom build of faiss)."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    if given := os.environ.get("SLDML_COMMIT"):
        return given, None
    if not (_ROOT / ".git").exists():
        return None, None
    try:
        head = _git("rev-parse", "HEAD")
        return head, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(_ROOT), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
