"""Checksums of a prepared set: what they notice, when they are due."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.small import write_recording

from sldml.config.data import Ntu120Data
from sldml.errors import InputError
from sldml.prepared import checksums
from sldml.prepared.checksums import check_is_due, mark_checked, mismatch, write_checksums
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.prepared.whole_folder import CHECKSUMS, CONTENTS

DAY_S = 24 * 60 * 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(CONTENTS):
        (tmp_path / name).write_bytes(bytes(range(256)) * (10 + number))
    write_checksums(tmp_path)
    return tmp_path


def checked_ago(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / CHECKSUMS, (then, then))


def test_what_was_written_matches(folder: Path) -> None:
    assert mismatch(folder) is None


@pytest.mark.parametrize("name", CONTENTS)
def test_one_changed_bit_is_noticed_in_every_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[1234] ^= 1
    (folder / name).write_bytes(content)
    assert mismatch(folder) == f"{name} does not match its checksum"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe" * 40, b"\n" * 4])
def test_damaged_checksums_are_noticed(folder: Path, content: bytes) -> None:
    (folder / CHECKSUMS).write_bytes(content)
    assert mismatch(folder) is not None


def test_a_file_that_cannot_be_read_is_damage(folder: Path) -> None:
    (folder / "held.npy").unlink()
    assert "held.npy" in str(mismatch(folder))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_understands_them(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0


@pytest.mark.parametrize(("ago", "due"), [(0, False), (DAY_S - 60, False), (DAY_S + 60, True), (-2 * DAY_S, True)])
def test_a_check_is_due_once_a_day(folder: Path, ago: int, due: bool) -> None:
    checked_ago(folder, ago)
    assert check_is_due(folder) == due
    mark_checked(folder)
    assert not check_is_due(folder)


def test_a_large_set_shows_its_progress_and_a_small_one_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    assert mismatch(folder, lambda done, total: told.append((done, total))) is None
    assert told == []
    monkeypatch.setattr(checksums, "_WORTH_TELLING_BYTES", 1000)
    monkeypatch.setattr(checksums, "_MB", 256)
    assert mismatch(folder, lambda done, total: told.append((done, total))) is None
    assert told == [(10, 46), (21, 46), (33, 46), (46, 46)]


# ------------------------------------------------------------------------------------------- where a set is prepared


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two small recordings."""
    for seed, name in enumerate(("S001C001P001R001A001", "S001C002P003R001A002")):
        write_recording(tmp_path / "data/ntu", name, 4, seed=seed)
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def ready(data: Path, cache: Path, *, strict: bool = False) -> PreparedSet:
    return prepare(Ntu120Data(), data, cache, strict=strict, num_workers=1)


def zero_frames(prepared: PreparedSet) -> bytes:
    """Overwrite the frames, as a disk does that loses a block: the size stays. Returns what was there."""
    path = prepared.folder / "signals.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-600] + bytes(600))
    return whole


@pytest.mark.parametrize(("strict", "hours_ago"), [(True, 0.0), (False, 25.0)])
def test_zeroed_frames_are_noticed_with_strict_and_once_a_day(
    data: Path, cache: Path, caplog: pytest.LogCaptureFixture, strict: bool, hours_ago: float
) -> None:
    first = ready(data, cache)
    whole = zero_frames(first)
    checked_ago(first.folder, hours_ago * 3600)
    again = ready(data, cache, strict=strict)
    assert (again.folder, again.hash) == (first.folder, first.hash)
    assert (again.folder / "signals.npy").read_bytes() == whole
    (line,) = [record.getMessage() for record in caplog.records]
    reason = "signals.npy does not match its checksum"
    assert line == f"prepared set {first.folder} is damaged ({reason}): prepared again"
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [first.folder.name]


def test_a_set_is_read_once_a_day_and_not_at_each_start(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = ready(data, cache)
    read: list[Path] = []
    monkeypatch.setattr("sldml.prepared.prepared_set.mismatch", lambda folder, _: read.append(folder))
    ready(data, cache)
    assert read == []
    checked_ago(prepared.folder, DAY_S + 60)
    ready(data, cache)
    ready(data, cache)
    assert read == [prepared.folder]


def test_where_nothing_can_be_written_a_set_is_checked_and_used(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    prepared = ready(data, cache)
    checked_ago(prepared.folder, DAY_S + 60)
    monkeypatch.setattr("os.utime", read_only)
    monkeypatch.setattr("filelock.FileLock", read_only)
    for _ in range(2):
        assert ready(data, cache).hash == prepared.hash
    zero_frames(prepared)
    with pytest.raises(
        InputError, match=r"signals\.npy does not match its checksum\): cannot write .*SLDML_CACHE"
    ) as e:
        ready(data, cache)
    assert "\n" not in str(e.value)
    assert caplog.records == []


def test_where_the_raw_recordings_are_gone_one_line_says_what_to_do(data: Path, cache: Path) -> None:
    prepared = ready(data, cache)
    checked_ago(prepared.folder, DAY_S + 60)
    zero_frames(prepared)
    for path in (data / "ntu").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=str(data)) as caught:
        ready(data, cache)
    assert "\n" not in str(caught.value)


def test_two_that_find_damage_at_once_do_not_remove_the_new_set(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = ready(data, cache)
    whole = zero_frames(first)
    both = threading.Barrier(2)
    local = threading.local()

    def together(folder: Path, progress: Any) -> str | None:
        found = mismatch(folder, progress)
        if not getattr(local, "met", False):
            local.met = True
            both.wait(60)
        return found

    monkeypatch.setattr("sldml.prepared.prepared_set.mismatch", together)
    with ThreadPoolExecutor(2) as pool:
        assert {set_.hash for set_ in pool.map(lambda _: ready(data, cache, strict=True), range(2))} == {first.hash}
    assert (first.folder / "signals.npy").read_bytes() == whole
    assert len(caplog.records) == 1
