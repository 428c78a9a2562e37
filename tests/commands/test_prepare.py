"""`launch/prepare.py`: what a person sees of a prepared set, and made recordings in NTU naming."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.small import write_recording

from sldml.commands.prepared_summary import prepared_summary_lines
from sldml.config.data import Ntu120Data, SyntheticData
from sldml.errors import InputError
from sldml.prepared.prepared_set import open_prepared, prepare
from sldml.protocols.classes import NTU_NOVEL
from sldml.protocols.exemplars import ntu_exemplar
from sldml.recordings.sources import write_synthetic


@pytest.fixture
def prepare_command(launched: Any):
    return partial(launched, "prepare.py")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four recordings of two classes and two subjects in NTU naming, and two files that are none."""
    folder = tmp_path / "raw" / "ntu"
    for name, frames in (("P001R001A002", 5), ("P001R002A002", 8), ("P001R001A010", 30), ("P003R001A002", 11)):
        write_recording(folder, f"S001C001{name}", frames)
    (folder / "S001C001P001R001A003.skeleton").write_text("")
    (folder / "S001C001P001R001A004.skeleton").write_text("7\n1\n")
    return tmp_path / "raw"


# ------------------------------------------------------------------------------------------------ set


def test_a_set_is_made_found_again_and_told(prepare_command, raw: Path, tmp_path: Path):
    arguments = ("set", "--space", "ntu", "--data", raw, "--storage", tmp_path / "results")
    status, lines, _ = prepare_command(*arguments)
    assert status == 0
    assert "NTU RGB+D 120: 4 recordings, 54 frames of 50 rows (2 x kinect_v2, 0 sensors)" in lines
    assert "length: 5 to 30 frames, median 9.5; 0.2 to 1.0 s, 0 min in all" in lines
    assert "2 classes: A002 3, A010 1" in lines
    assert "2 subjects: P001 3, P003 1" in lines
    at = lines.index("unreadable files left out: 2")
    assert lines[at + 1] == "  S001C001P001R001A003.skeleton: is empty"
    assert lines[at + 2].startswith("  S001C001P001R001A004.skeleton: ends ")
    assert any(line.startswith("note: the official list of recordings with missing skeletons") for line in lines)
    (folder,) = (tmp_path / "results" / "prepared").glob("ntu120-*[!k]")
    assert f"prepared set: {folder}" in lines
    assert open_prepared(folder).meta["num_recordings"] == 4
    assert any("recordings read" in line for line in lines)

    status, again, _ = prepare_command(*arguments)
    assert status == 0
    assert not any("recordings read" in line for line in again)
    assert again == [line for line in lines if "recordings read" not in line]


def test_the_last_line_is_the_command_of_the_search(prepare_command, raw: Path, tmp_path: Path):
    odd = tmp_path / "with space"
    _, lines, _ = prepare_command("set", "--space", "ntu", "--data", raw, "--storage", odd, "--set", "seed=3")
    said = shlex.split(lines[-1].removeprefix("to search: "))
    assert said[:4] == ["python", "launch/tune.py", "--space", "ntu"]
    assert said[4:] == ["--storage", str(odd), "--data", str(raw), "--set", "seed=3"]


def test_the_same_count_is_told_once_and_long_lists_are_folded(tmp_path: Path):
    write_synthetic(SyntheticData(num_auxiliary=80, recordings_per_class=2), tmp_path / "made")
    lines = prepared_summary_lines(
        prepare(Ntu120Data(), tmp_path / "made", tmp_path / "cache", num_workers=1), Ntu120Data()
    )
    first = next(i for i, line in enumerate(lines) if line.startswith("100 classes, 2 recordings each: A001, A002, "))
    assert lines[first + 1].startswith("  A0")
    assert max(len(line) for line in lines[first : first + 6]) <= 110


def test_many_refused_files_are_shortened(made_set, monkeypatch: pytest.MonkeyPatch):
    refused = [{"file": f"{i}.skeleton", "reason": "is empty"} for i in range(23)]
    monkeypatch.setitem(made_set.meta, "refused", refused)
    lines = prepared_summary_lines(made_set, SyntheticData())
    assert "unreadable files left out: 23" in lines
    assert "  19.skeleton: is empty" in lines
    assert f"  3 more, see {made_set.folder / 'meta.json'}" in lines
    assert not any("20.skeleton" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "--space", "ntu"], "no data folder: set --data or DATASET_FOLDER"),
        (["set", "--space", "ntoo"], "there is no search space 'ntoo'"),
        (["set", "--space", "demo", "--set", "data.num_auxiliary=1000"], "data.num_auxiliary"),
        (["set", "--space", "demo", "--set", "data.recordings_per_class=91"], "data.recordings_per_class"),
        (["set"], "--space"),
        ([], "Missing command"),
        (["sets"], "No such command 'sets'"),
    ],
)
def test_bad_input_is_one_line(prepare_command, tmp_path: Path, monkeypatch, arguments: list[str], said: str):
    monkeypatch.chdir(tmp_path)
    status, lines, err = prepare_command(*arguments)
    assert (status, lines) == (2, [])
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_strict_makes_a_broken_file_fatal(prepare_command, raw: Path, tmp_path: Path):
    status, _, err = prepare_command("set", "--space", "ntu", "--data", raw, "--storage", tmp_path, "--strict")
    assert status == 2
    assert "2 broken recordings (--strict): S001C001P001R001A003.skeleton: is empty" in err


# ------------------------------------------------------------------------------------------------ inspect


def test_inspect_says_more_and_draws_a_sheet(prepare_command, raw: Path, tmp_path: Path):
    storage = tmp_path / "results"
    status, lines, _ = prepare_command("inspect", "--space", "ntu", "--data", raw, "--storage", storage)
    assert status == 0
    assert "2 classes: A002 3, A010 1" in lines
    assert "rate: 30 Hz" in lines
    assert any(line.startswith("extent of a body in a frame: ") for line in lines)
    assert any(line.startswith("protocol: not applicable: ") for line in lines)
    assert lines[-2] == f"images: {storage / 'inspect' / 'ntu.png'}"
    assert lines[-1].startswith("to search: python launch/tune.py --space ntu ")
    with Image.open(storage / "inspect" / "ntu.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 100


def test_a_sheet_that_cannot_be_written_is_one_line(prepare_command, raw: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    sheet = tmp_path / "file" / "sheet.png"
    arguments = ("inspect", "--space", "ntu", "--data", raw, "--storage", tmp_path / "results", "--sheet", sheet)
    status, _, err = prepare_command(*arguments)
    assert status == 2
    assert err.startswith(f"error: --sheet {sheet}: cannot be written (")
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------------------------ synthetic


def test_made_files_are_what_the_ntu_way_reads(prepare_command, tmp_path: Path):
    out = tmp_path / "made here"
    arguments = ("synthetic", "--out", out, "--seed", 5, "--num-auxiliary", 4, "--recordings-per-class", 2)
    status, lines, _ = prepare_command(*arguments)
    assert status == 0
    assert lines[-2] == f"48 files of 24 classes in {out / 'ntu'}"
    assert lines[-1] == (f"to search: python launch/tune.py --space ntu --data '{out}' --set protocol.num_auxiliary=4")
    assert [path.name for path in out.iterdir()] == ["ntu"]
    # Read from there, the recordings are those that the generator's own set has.
    read = prepare(Ntu120Data(), out, tmp_path / "cache", num_workers=1)
    made = prepare(
        SyntheticData(seed=5, num_auxiliary=4, recordings_per_class=2), None, tmp_path / "cache", num_workers=1
    )
    assert read.hash == made.hash
    assert {ntu_exemplar(label) for label in NTU_NOVEL} <= set(read.catalog["name"])


def test_made_files_never_go_among_others(prepare_command, tmp_path: Path):
    (tmp_path / "something").touch()
    status, _, err = prepare_command("synthetic", "--out", tmp_path)
    assert (status, err) == (2, f"error: --out {tmp_path}: is not empty; give a new folder\n")
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


@pytest.mark.parametrize("below", ["file", "file/made"])
def test_an_unwritable_folder_is_one_line(prepare_command, tmp_path: Path, below: str):
    (tmp_path / "file").touch()
    status, _, err = prepare_command("synthetic", "--out", tmp_path / below)
    assert status == 2
    assert err.startswith(f"error: --out {tmp_path / below}: cannot be written (")
    assert err.count("\n") == 1


def test_made_files_are_all_there_or_none(tmp_path: Path):
    def interrupted(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(SyntheticData(num_auxiliary=4, recordings_per_class=2), tmp_path, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_is_there_is_taken(tmp_path: Path):
    assert write_synthetic(SyntheticData(num_auxiliary=4, recordings_per_class=2), tmp_path) == 48
    with pytest.raises(InputError, match="is not empty"):
        write_synthetic(SyntheticData(num_auxiliary=4, recordings_per_class=2), tmp_path)
