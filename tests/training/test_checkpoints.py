import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pyarrow import fs

from sldml.training import checkpoints
from sldml.training.checkpoints import CheckpointFile, open_folder

CPU = torch.device("cpu")


def state(value: float) -> dict[str, object]:
    return {"weights": torch.full((100,), value), "history": [{"epoch": 1, "state": "running"}], "none": None}


@pytest.fixture(params=["path", "uri"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / "a search" / "trials" / "t1"
    return str(path) if request.param == "path" else path.as_uri()


def test_what_is_saved_is_loaded_on_a_path_and_on_a_uri(folder: str) -> None:
    file = CheckpointFile(folder)
    assert file.load(CPU) is None
    assert file.save(state(1.5), must=True)
    loaded = CheckpointFile(folder).load(CPU)  # found by its place alone
    assert loaded is not None
    assert torch.equal(loaded["weights"], torch.full((100,), 1.5))
    assert loaded["history"] == [{"epoch": 1, "state": "running"}]
    assert file.save(state(2.5), must=True)
    again = CheckpointFile(folder).load(CPU)
    assert again is not None
    assert again["weights"][0] == 2.5
    filesystem, where = open_folder(folder)
    assert [info.base_name for info in filesystem.get_file_info(fs.FileSelector(where))] == ["last.pt"]


@pytest.mark.parametrize("cut_to", [0, 1, 100, -1])
def test_a_damaged_checkpoint_is_as_none_with_a_line(
    tmp_path: Path, cut_to: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = CheckpointFile(str(tmp_path))
    file.save(state(1.5), must=True)
    file.save_weights(state(1.5))
    for name in ("last.pt", "weights.pt"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:cut_to])
    assert file.load(CPU) is None
    assert file.load_weights(CPU) is None
    lines = [record.getMessage() for record in caplog.records]
    assert [line.startswith("checkpoint ") and "is damaged and is not used" in line for line in lines] == [True, True]
    assert not any("\n" in line for line in lines)
    file.save(state(2.5), must=True)
    assert file.load(CPU) is not None


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="URI has empty scheme"):
        open_folder("results/search")


class CutShort:
    """A file system whose machine dies while a checkpoint is written, or just before it is renamed."""

    def __init__(self, real: object, before_rename: bool) -> None:
        self._real, self._before_rename = real, before_rename

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def open_output_stream(self, path: str) -> object:
        if self._before_rename:
            return self._real.open_output_stream(path)  # type: ignore[attr-defined]
        Path(path).write_bytes(b"half of it")
        raise KeyboardInterrupt

    def move(self, source: str, target: str) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("before_rename", [True, False])
def test_a_write_cut_short_leaves_the_last_checkpoint(folder: str, before_rename: bool) -> None:
    file = CheckpointFile(folder)
    file.save(state(1.0), must=True)
    whole = file._filesystem
    file._filesystem = CutShort(whole, before_rename)
    with pytest.raises(KeyboardInterrupt):
        file.save(state(2.0), must=True)
    loaded = CheckpointFile(folder).load(CPU)
    assert loaded is not None
    assert loaded["weights"][0] == 1.0
    file._filesystem = whole
    file.save(state(3.0), must=True)
    loaded = CheckpointFile(folder).load(CPU)
    assert loaded is not None
    assert loaded["weights"][0] == 3.0


WRITER = """
import sys, torch
from sldml.training.checkpoints import CheckpointFile
file = CheckpointFile(sys.argv[1])
for i in range(10**6):
    file.save({"first": torch.full((50_000,), i), "second": torch.full((50_000,), i)}, must=True)
    if i == 3:
        print("begun", flush=True)
"""


@pytest.mark.verify
def test_a_killed_writer_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            writer.kill()
        loaded = CheckpointFile(str(tmp_path)).load(CPU)
        assert loaded is not None
        assert len({*loaded["first"].tolist(), *loaded["second"].tolist()}) == 1


def test_a_checkpoint_executes_no_pickle(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "harm",)  # type: ignore[return-value]

    torch.save({"training": Harm()}, tmp_path / "last.pt")
    assert CheckpointFile(str(tmp_path)).load(CPU) is None
    assert not (tmp_path / "harm").exists()


class Clock:
    """Time that goes on by what the test says, and by `cost` whenever something is written."""

    def __init__(self) -> None:
        self.now, self.cost = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now


def test_saving_takes_at_most_a_twentieth_of_the_time_unless_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, write = Clock(), torch.save

    def slow_save(*arguments: object) -> None:
        clock.now += clock.cost
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints, "time", clock)
    monkeypatch.setattr(torch, "save", slow_save)
    file = CheckpointFile(str(tmp_path))
    clock.cost = 2.0
    assert file.save(state(1), must=False)  # the first is always written
    clock.now += 39.0
    assert not file.save(state(2), must=False)  # 2 s after 39 s would be more than a twentieth
    assert file.load(CPU)["weights"][0] == 1  # type: ignore[index]
    clock.now += 2.0
    assert file.save(state(3), must=False)
    assert file.load(CPU)["weights"][0] == 3  # type: ignore[index]
    assert file.save(state(4), must=True)
    assert file.load(CPU)["weights"][0] == 4  # type: ignore[index]
    clock.now += 1.0
    assert not file.save(state(5), must=False)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "trials").touch()
    folder = tmp_path / "trials" / "t1"
    with pytest.raises(NotADirectoryError) as raised:
        CheckpointFile(str(folder)).save(state(1.5), must=True)
    assert str(raised.value) == f"[Errno 20] Not a directory: '{folder}/last.pt'"
