"""Preparing that is killed again and again, by `launch/prepare.py` and by a search, ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.running import ROOT

from sldml.config.data import SyntheticData
from sldml.config.space_file import read_space
from sldml.prepared.prepared_set import open_prepared, prepare
from sldml.prepared.whole_folder import FILES
from sldml.recordings.sources import write_synthetic

pytestmark = [pytest.mark.verify, pytest.mark.timeout(900)]
NUM_LINKS = 8


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 4,000 `.skeleton` files, of which most are links: some seconds of reading for one core."""
    folder = tmp_path_factory.mktemp("many")
    write_synthetic(SyntheticData(num_auxiliary=30, recordings_per_class=10), folder)
    for path in list((folder / "ntu").iterdir()):
        for number in range(1, NUM_LINKS):
            (folder / "ntu" / f"S1{number:02d}{path.name[4:]}").hardlink_to(path)
    return folder


class Killed:
    """Preparing for a space, in a process of its own."""

    def __init__(self, space: str, storage: Path, data: Path) -> None:
        self.space, self.storage, self.data, self.cache = space, storage, data, storage / "prepared"

    def start(self, command: str) -> subprocess.Popen[bytes]:
        arguments = ["launch/prepare.py", "set"] if command == "prepare" else ["launch/tune.py", "--trials", "1"]
        places = ["--storage", str(self.storage), *(["--data", str(self.data)] if self.space != "demo" else [])]
        environment = {name: value for name, value in os.environ.items() if name != "SLDML_CACHE"}
        return subprocess.Popen(
            [sys.executable, *arguments, "--space", self.space, *places],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill_when(self, command: str, condition: Callable[[int], bool]) -> None:
        """Kill it when `condition(process id)` holds, or when a set is complete."""
        process = self.start(command)
        try:
            wait_until(lambda: process.poll() is not None or self.is_complete() or condition(process.pid))
        finally:
            if command == "tune":
                os.killpg(process.pid, signal.SIGKILL)  # it may have started a Ray by now
            else:
                process.kill()  # this process alone: its workers have to see it for themselves
            process.wait()

    def is_complete(self) -> bool:
        return any(path.is_dir() for path in self.cache.glob("[!.]*"))

    def num_noted(self) -> int:
        """Files that the notes know; more than there are once the set is complete."""
        if self.is_complete():
            return sys.maxsize
        found = 0
        for notes in self.cache.glob(".*.part/aside/notes.jsonl"):
            for line in notes.read_bytes().splitlines(keepends=True)[1:]:
                found = json.loads(line)["num_files"] if line.endswith(b"\n") else found
        return found

    def is_preparing(self, process: int) -> bool:
        """Whether the process has opened the notes."""
        try:
            return "notes.jsonl" in [path.readlink().name for path in Path(f"/proc/{process}/fd").iterdir()]
        except OSError:
            return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 300.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("space", ["ntu", "demo"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(space: str, many_files: Path, tmp_path: Path) -> None:
    config = read_space(space).default_config().data
    data = None if space == "demo" else many_files
    expected = bytes_of(prepare(config, data, tmp_path / "undisturbed", num_workers=1).folder)
    killed = Killed(space, tmp_path / "killed", many_files)
    num_further = 0
    for command, as_soon_as in (
        ("prepare", "it begins"),
        ("prepare", "it is further"),
        ("tune", "it begins"),
        ("prepare", "it is further"),
        ("tune", "it is further"),
    ):
        before = killed.num_noted()
        if as_soon_as == "it begins":
            killed.kill_when(command, killed.is_preparing)
        else:
            killed.kill_when(command, lambda _, before=before: killed.num_noted() > before)
        after = killed.num_noted()
        assert after >= before, "something that was done is lost"
        num_further += after > before
        if killed.is_complete():
            break
    assert num_further >= 1
    assert killed.start("prepare").wait(timeout=300) == 0
    (folder,) = (path for path in killed.cache.glob("[!.]*") if path.is_dir())
    assert bytes_of(folder) == expected
    assert open_prepared(folder).meta["refused"] == []
