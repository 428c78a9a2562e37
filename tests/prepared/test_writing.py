"""Preparing that is killed goes on from where it was, and ends with the same bytes as if nothing had happened."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import tiny_recordings
from support.running import ROOT
from support.small import write_recording

from sldml.config.data import Ntu120Data, SyntheticData
from sldml.errors import InputError
from sldml.prepared import writing
from sldml.prepared.prepared_set import open_prepared, prepare
from sldml.prepared.whole_folder import FILES, continuing
from sldml.prepared.writing import GrowingArray, write_set
from sldml.recordings import Recording
from sldml.recordings.readers import ntu
from sldml.recordings.sources import RawSource
from sldml.recordings.synthetic import dataset as synthetic

LENGTHS = (3, 5, 2, 4, 0, 6, 3, 0, 2, 4)
"""Of ten recordings; those without frames are broken files."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the project catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, length in enumerate(LENGTHS):
        name = f"S001C001P{number + 1:03d}R001A001"
        if length:
            write_recording(folder / "ntu", name, length, seed=10 * number, dropped=(1,) if number % 3 == 0 else ())
        else:
            (folder / "ntu" / f"{name}.skeleton").write_text("")
    return folder


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return bytes_of(prepare(Ntu120Data(), data, tmp_path_factory.mktemp("undisturbed"), num_workers=1).folder)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, in order."""
    read, found = ntu.read, list[str]()

    def noted(path: Path) -> Recording:
        found.append(path.stem)
        return read(path)

    monkeypatch.setattr(ntu, "read", noted)
    return found


def bytes_of(folder: Path) -> dict[str, bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


def kill_after(num_files: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == num_files:
            raise Killed

    return progress


def scratch_of(cache: Path) -> Path:
    (scratch,) = cache.glob(".*.part")
    return scratch


def num_noted(cache: Path) -> int:
    """Files that the notes tell of, those in a finished set included."""
    if any(path.is_dir() for path in cache.glob("[!.]*")):
        return sys.maxsize
    found = 0
    for notes in cache.glob(".*.part/aside/notes.jsonl"):
        for line in notes.read_bytes().splitlines(keepends=True)[1:]:
            found = json.loads(line)["num_files"] if line.endswith(b"\n") else found
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    killed_after=st.integers(1, len(LENGTHS)),
    torn=st.integers(0, 10_000),
    signals=st.binary(max_size=700),
    held=st.binary(max_size=9),
)
def test_wherever_it_is_killed_the_bytes_are_the_same(
    data: Path,
    undisturbed: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    killed_after: int,
    torn: int,
    signals: bytes,
    held: bytes,
) -> None:
    """A kill leaves any part of the notes, and anything after the frames of which they tell."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_NOTE_EVERY_S", -1.0)
        with pytest.raises(Killed):
            prepare(Ntu120Data(), data, cache, num_workers=1, progress=kill_after(killed_after))
    scratch = scratch_of(cache)
    for name, appended in {"signals.npy": signals, "held.npy": held}.items():
        with (scratch / "whole" / name).open("ab") as file:
            file.write(appended)
    notes = scratch / "aside/notes.jsonl"
    notes.write_bytes(notes.read_bytes()[: max(0, notes.stat().st_size - torn)])

    noted, told = num_noted(cache), list[int]()
    whole = prepare(Ntu120Data(), data, cache, num_workers=1, progress=lambda done, _: told.append(done))
    assert bytes_of(whole.folder) == undisturbed
    assert told == list(range(noted or 1, len(LENGTHS) + 1))


def test_no_file_that_was_done_is_read_again_however_often_it_is_killed(
    data: Path,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[str],
) -> None:
    monkeypatch.setattr(writing, "_NOTE_EVERY_S", -1.0)
    for num_files in (2, 3, 4, 7, 8, 10):
        with pytest.raises(Killed):
            prepare(Ntu120Data(), data, tmp_path, num_workers=1, progress=kill_after(num_files))
    told: list[tuple[int, int]] = []
    whole = prepare(Ntu120Data(), data, tmp_path, num_workers=1, progress=lambda *counts: told.append(counts))
    assert bytes_of(whole.folder) == undisturbed
    assert reads == [f"S001C001P{number:03d}R001A001" for number in range(1, 11)]
    assert told == [(10, 10)]  # nothing was left but to finish


def test_an_interrupted_preparation_goes_on(data: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Ntu120Data(), data, tmp_path, num_workers=1, progress=interrupt)
    assert bytes_of(prepare(Ntu120Data(), data, tmp_path, num_workers=1).folder) == undisturbed


def test_killed_while_it_finishes(
    data: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    def die(*_: object) -> None:
        raise Killed

    for dies in (
        "sldml.prepared.writing._catalog",
        "sldml.prepared.writing._content_hash",
        "sldml.prepared.whole_folder._move_into_place",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(dies, die)
            with pytest.raises(Killed):
                prepare(Ntu120Data(), data, tmp_path, num_workers=1)
    assert bytes_of(prepare(Ntu120Data(), data, tmp_path, num_workers=1).folder) == undisturbed
    assert len(reads) == len(LENGTHS)


def test_what_another_version_or_key_left_is_not_gone_on_from(
    data: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    monkeypatch.setattr(writing, "_NOTE_EVERY_S", -1.0)
    with pytest.raises(Killed):
        prepare(Ntu120Data(), data, tmp_path, num_workers=1, progress=kill_after(9))
    notes = scratch_of(tmp_path) / "aside/notes.jsonl"
    notes.write_bytes(notes.read_bytes().replace(b'"key":"', b'"key":"0', 1))
    assert bytes_of(prepare(Ntu120Data(), data, tmp_path, num_workers=1).folder) == undisturbed
    assert len(reads) == 9 + len(LENGTHS)


def test_notes_of_frames_that_never_reached_the_disk_are_not_believed(
    data: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    monkeypatch.setattr(writing, "_NOTE_EVERY_S", -1.0)
    with pytest.raises(Killed):
        prepare(Ntu120Data(), data, tmp_path, num_workers=1, progress=kill_after(6))
    held = scratch_of(tmp_path) / "whole/held.npy"
    os.truncate(held, held.stat().st_size - 1)  # the last frame of the sixth file
    assert bytes_of(prepare(Ntu120Data(), data, tmp_path, num_workers=1).folder) == undisturbed
    assert [name[9:12] for name in reads] == [f"{number:03d}" for number in (1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10)]


def test_made_recordings_go_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SyntheticData(num_auxiliary=4, recordings_per_class=2)
    expected = bytes_of(prepare(config, None, tmp_path / "undisturbed", num_workers=1).folder)
    monkeypatch.setattr(writing, "_NOTE_EVERY_S", -1.0)
    with pytest.raises(Killed):
        prepare(config, None, tmp_path / "cache", num_workers=1, progress=kill_after(40))
    write, written = synthetic.skeleton_writer.write, list[str]()

    def noted(path: Path, frames: list[list[tuple[int, np.ndarray]]]) -> None:
        written.append(path.stem)
        write(path, frames)

    monkeypatch.setattr(synthetic.skeleton_writer, "write", noted)
    assert bytes_of(prepare(config, None, tmp_path / "cache", num_workers=1).folder) == expected
    assert len(written) == len(set(written)) == 48 - 40


LIMITED = """
import resource, sys
from pathlib import Path
from sldml.config.data import Ntu120Data
from sldml.errors import InputError
from sldml.prepared import writing as preparing
from sldml.prepared.prepared_set import prepare

preparing._NOTE_EVERY_S = -1.0
limit = 2 * 1024 * 6  # bytes of a file, in place of a full disk: not even ten of the 29 frames fit
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    prepare(Ntu120Data(), Path(sys.argv[1]), Path(sys.argv[2]), num_workers=1)
except InputError as error:
    print(error)
"""


def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    data: Path, undisturbed: dict[str, bytes], tmp_path: Path, reads: list[str]
) -> None:
    command = [sys.executable, "-c", LIMITED, str(data), str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"cannot write prepared sets to {tmp_path} (File too large): make room, or choose")
    noted = num_noted(tmp_path)
    assert noted > 0
    assert bytes_of(prepare(Ntu120Data(), data, tmp_path, num_workers=1).folder) == undisturbed
    assert len(reads) == len(LENGTHS) - noted


def test_a_growing_array_is_an_npy_file_whenever_it_is_synced(tmp_path: Path) -> None:
    array = GrowingArray(tmp_path / "a.npy", "|u1", (2, 3))
    array.cut(0)
    for number in (1, 2, 3):
        array.append(np.full((number, 2, 3), number, np.uint8))
        array.sync()
    read = np.load(tmp_path / "a.npy")
    assert (read.shape, read.dtype) == ((6, 2, 3), np.uint8)
    assert read[:, 0, 0].tolist() == [1, 2, 2, 3, 3, 3]
    array.cut(2)
    assert np.load(tmp_path / "a.npy")[:, 1, 2].tolist() == [1, 2]
    array.append(np.full((1, 2, 3), 9, np.uint8))
    array.sync()
    array.close()
    assert np.load(tmp_path / "a.npy", mmap_mode="r")[:, 0, 0].tolist() == [1, 2, 9]


def test_a_broken_source_is_told_as_before_when_it_was_begun_already(tmp_path: Path) -> None:
    (tmp_path / "data/ntu").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"data/ntu/S001C001P00{number}R001A001.skeleton").touch()
    for _ in range(2):
        with pytest.raises(InputError, match=r"none of 3 files can be read; S001C001P000R001A001\.skeleton: is empty"):
            prepare(Ntu120Data(), tmp_path / "data", tmp_path / "cache", num_workers=1)
        assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def catalog_of(tmp_path: Path, details: list[dict[str, int | str]]) -> pd.DataFrame:
    """What becomes of recordings that have these details."""
    files = tuple(tmp_path / str(number) for number in range(len(details)))
    make = functools.partial(with_details, details)
    with continuing(tmp_path / "cache/set") as scratch:
        assert scratch is not None
        write_set(RawSource("any", {}, tmp_path, files, tiny_recordings.LAYOUT, make), "key", scratch, 1, None)
    return open_prepared(tmp_path / "cache/set").catalog


def with_details(details: list[dict[str, int | str]], path: Path) -> Recording:
    return dataclasses.replace(tiny_recordings.read(path), details=details[int(path.name)])


def test_details_may_differ_between_recordings(tmp_path: Path) -> None:
    catalog = catalog_of(
        tmp_path,
        [
            {"trial": 3, "whole": 1, "role": "train"},
            {"whole": 2, "mixed": 5},
            {"trial": 1, "whole": -(2**40), "mixed": "five"},
        ],
    )
    assert list(catalog.columns) == [
        *("name", "label", "subject", "offset", "length", "rate_hz", "digest"),
        *("mixed", "role", "trial", "whole"),
    ]
    assert catalog["whole"].dtype == np.int64
    assert catalog["whole"].tolist() == [1, 2, -(2**40)]
    assert str(catalog["trial"].dtype) == "Int64"
    assert catalog["trial"].tolist() == [3, pd.NA, 1]
    for column, expected in {"mixed": [None, "5", "five"], "role": ["train", None, None]}.items():
        assert [None if pd.isna(value) else value for value in catalog[column]] == expected


def test_a_table_says_of_each_file_what_the_reader_is_given(tmp_path: Path) -> None:
    source = dataclasses.replace(tiny_recordings.source_of(tmp_path, 3), facts=(2, 3, 5))
    with continuing(tmp_path / "cache/set") as scratch:
        assert scratch is not None
        write_set(source, "key", scratch, 1, None)
    assert open_prepared(tmp_path / "cache/set").catalog["length"].tolist() == [2, 3, 5]
