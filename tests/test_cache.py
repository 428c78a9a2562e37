from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sldml.cache import writing
from sldml.errors import InputError


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
    for name in (".set-dead", ".set-gone", ".other-busy"):
        (tmp_path / name / "half").mkdir(parents=True)
    with writing(tmp_path / "set"):
        pass
    assert folders(tmp_path) == [".other-busy", "set"]


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


def test_where_nothing_can_be_written_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with (
        pytest.raises(InputError, match=r"cannot write prepared sets to .*SLDML_CACHE"),
        writing(tmp_path / "taken/set"),
    ):
        pass
