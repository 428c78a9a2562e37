"""Files are found behind links, each once, and loops end."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small import write_recording

from sldml.config.data import Ntu120Data
from sldml.recordings.given_files import RawFiles
from sldml.recordings.layout import Layout
from sldml.recordings.readers import ntu, simitate, utd_mhad
from sldml.recordings.walking import files_below


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A dataset with a loop; `linked` has links to it, to one of its files and to itself."""
    own, other = tmp_path / "linked", tmp_path / "elsewhere"
    (other / "deep").mkdir(parents=True)
    own.mkdir()
    for name in ("b", "a", "deep/c"):
        (other / name).touch()
    (own / "z").touch()
    (other / "deep/up").symlink_to(other, target_is_directory=True)
    (own / "first").symlink_to(other, target_is_directory=True)
    (own / "second").symlink_to(other / "deep", target_is_directory=True)
    (own / "again").symlink_to(own, target_is_directory=True)
    (own / "copy").symlink_to(other / "a")
    (own / "missing").symlink_to(tmp_path / "nowhere")
    return own


def test_links_are_followed_and_each_file_is_found_once(elsewhere: Path) -> None:
    found = [str(path.relative_to(elsewhere)) for path in files_below(elsewhere)]
    assert found == ["copy", "first/b", "first/deep/c", "missing", "z"]


def test_without_links_all_files_are_found(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/x/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == [tmp_path / "a/x/y", tmp_path / "b/1", tmp_path / "b/2"]


@pytest.mark.parametrize(
    ("find", "name"),
    [
        (ntu.find, "ntu/S001C001P001R001A001.skeleton"),
        (utd_mhad.find, "Skeleton/a1_s1_t1_skeleton.mat"),
        (simitate.find, "motions/wave/anna/sequence_1/hand.csv"),
    ],
)
def test_every_source_finds_what_is_behind_a_link(tmp_path: Path, find, name: str) -> None:
    file = tmp_path / "disk" / name
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "data").mkdir()
    top = Path(name).parts[0]
    (tmp_path / "data" / top).symlink_to(tmp_path / "disk" / top, target_is_directory=True)
    (tmp_path / "data" / top / "loop").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert find(tmp_path / "data") == [tmp_path / "data" / name]


def test_given_files_behind_a_link(tmp_path: Path) -> None:
    file = write_recording(tmp_path / "disk", "wave", 3)
    (tmp_path / "given").mkdir()
    (tmp_path / "given/wave").symlink_to(tmp_path / "disk", target_is_directory=True)
    raw = RawFiles(Ntu120Data(), ntu.LAYOUT)
    (found,) = raw.find(tmp_path / "given")
    assert (found.path, found.folder_label) == (tmp_path / "given/wave" / file.name, "wave")
    assert isinstance(raw.layout, Layout)
