"""The wheel, installed in an environment of its own outside the checkout: the command and the Python interface."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.running import ROOT, TINY

pytestmark = pytest.mark.verify

SOURCES = ("sldml", "search_spaces", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def run(*command: object, cwd: Path) -> str:
    """Run a program that does not see the checkout; what it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SLDML_CACHE")}
    ended = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel; what it depends on is that of this environment."""
    source, out, place = (tmp_path_factory.mktemp(name) for name in ("source", "wheel", "environment"))
    for name in SOURCES:  # a build leaves files beside them
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    venv.create(place, with_pip=False)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = out.glob("*.whl")
    python = place / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=out)
    return place / "bin"


def test_the_installed_command_searches(programs: Path, tmp_path: Path) -> None:
    printed = run(programs / "sldml", "tune", *TINY, "--name", "small", cwd=tmp_path)
    assert f"report:  {tmp_path / 'results' / 'small' / 'report.html'}" in printed
    code = "import sldml; result = sldml.load('small'); print(sldml.__file__); print(result, result.report())"
    file, result = run(programs / "python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(programs.parent)
    assert result.startswith("<SearchResult small: 4 trials; best t000")
    listed = run(programs / "sldml", "report", "small", cwd=tmp_path)
    assert "sldml report small OTHER" in listed


def test_a_search_space_in_the_current_folder_is_found(programs: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "search_spaces" / "demo.yaml", tmp_path / "mine.yaml")
    planned = run(programs / "sldml", "tune", "--space", "mine.yaml", "--trials", "7", "--dry-run", cwd=tmp_path)
    assert "search mine-" in planned
    assert "7 trials" in planned
