import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sldml.errors import InputError
from sldml.prepared import whole_folder as cache
from sldml.prepared.whole_folder import continuing, disk_errors, writing


@pytest.fixture(autouse=True)
def _usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir())


def test_a_folder_takes_its_place_at_the_end_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "cache/set"
    with writing(target) as scratch:
        assert scratch is not None
        (scratch / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert folders(tmp_path / "cache") == ["set"]
    assert target.stat().st_mode & 0o777 == 0o755  # others on a shared disk read it too
    with writing(target) as scratch:
        assert scratch is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_goes_wrong_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with writing(tmp_path / "set") as scratch:
            assert scratch is not None
            (scratch / "file").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert folders(tmp_path) == []
    with writing(tmp_path / "set") as scratch:  # and the lock is free
        assert scratch is not None


def test_leftovers_of_this_folder_alone_are_removed(tmp_path: Path) -> None:
    for name in (".set.part", ".other.part"):
        (tmp_path / name / "whole/half").mkdir(parents=True)
    with writing(tmp_path / "set") as scratch:
        assert scratch is not None
        assert list(scratch.iterdir()) == []
    assert folders(tmp_path) == [".other.part", "set"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_who_goes_on_finds_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "set"

    def fail() -> None:
        with continuing(target) as scratch:
            assert scratch is not None
            (scratch.whole / "first").touch()
            (scratch.aside / "notes").write_text("one file")
            raise error

    with pytest.raises(error):
        fail()
    assert not target.exists()
    with continuing(target) as scratch:
        assert scratch is not None
        assert (scratch.aside / "notes").read_text() == "one file"
        (scratch.whole / "second").touch()
    assert sorted(path.name for path in target.iterdir()) == ["first", "second"]
    assert folders(tmp_path) == ["set"]


def test_who_discards_leaves_nothing(tmp_path: Path) -> None:
    def discard() -> None:
        with continuing(tmp_path / "set") as scratch:
            assert scratch is not None
            (scratch.whole / "file").touch()
            scratch.discard()
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        discard()
    assert folders(tmp_path) == []


def test_a_writer_that_was_killed_after_its_last_step_but_one_left_something_to_remove(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / ".set.part/aside").mkdir(parents=True)
    with continuing(tmp_path / "set") as scratch:
        assert scratch is None
    assert folders(tmp_path) == ["set"]


def test_everything_is_on_the_disk_before_the_folder_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, synced = tmp_path / "set", []
    sync = cache._sync

    def watched(path: Path) -> None:
        synced.append((path.name, target.exists()))
        sync(path)

    monkeypatch.setattr(cache, "_sync", watched)
    with writing(target) as scratch:
        assert scratch is not None
        for name in ("a", "b"):
            (scratch / name).touch()
    assert sorted(synced[:2]) == [("a", False), ("b", False)]
    assert synced[2:] == [("whole", False), (tmp_path.name, True)]


def test_one_writes_and_the_others_wait(tmp_path: Path) -> None:
    def write(number: int) -> bool:
        with writing(tmp_path / "set") as scratch:
            if scratch is not None:
                (scratch / str(number)).touch()
            return scratch is not None

    with ThreadPoolExecutor(4) as pool:
        wrote = list(pool.map(write, range(4)))
    assert sum(wrote) == 1
    assert [path.name for path in (tmp_path / "set").iterdir()] == [str(wrote.index(True))]


@pytest.mark.parametrize("place", [writing, continuing])
def test_where_nothing_can_be_written_it_is_one_line(tmp_path: Path, place: type) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"cannot write prepared sets to .*SLDML_CACHE"), place(tmp_path / "taken/set"):
        pass


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, disk_errors(tmp_path):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == (
        f"cannot write prepared sets to {tmp_path} (No space left on device): make room, or choose another folder by "
        "SLDML_CACHE; what is there already is used again"
    )
