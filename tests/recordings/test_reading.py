"""Reading in order: alone or by worker processes, few recordings at a time, and no process is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from support.running import ROOT
from support.tiny_recordings import LAYOUT, read, source_of

from sldml.errors import InputError
from sldml.recordings import Layout, Recording, RecordingError, reading
from sldml.recordings.reading import Entry, Reader, held_steps, read_all

READER = Reader(read, LAYOUT)


def jobs_of(num_files: int, **others: str) -> list[tuple[Path, ...]]:
    """`others`: what stands in place of a number, as `_17="17-broken"`."""
    return [(Path(others.get(f"_{number}", str(number))),) for number in range(num_files)]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes read from the first file on."""
    monkeypatch.setattr(reading, "_TRIED_S", 0.0)
    monkeypatch.setattr(reading, "_WORTH_PROCESSES_S", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.verify)])
def test_results_come_in_the_order_of_the_files_and_few_are_held(num_workers: int) -> None:
    found, processes, most = [], set(), 0
    for number, result in enumerate(read_all(READER, jobs_of(1_500, _700="700-broken"), num_workers)):
        if isinstance(result, Entry):
            found.append(result.facts["name"])
            processes.add(result.facts["details"]["process"])
        else:
            found.append(result.reason)
        if number % 150 == 100:
            time.sleep(0.03)  # the workers run ahead
            most = max(most, sum(type(thing) is Entry for thing in gc.get_objects()))
    assert found == [str(number) if number != 700 else "is broken" for number in range(1_500)]
    if num_workers == 1:
        assert processes == {os.getpid()}
        assert most <= 2
    else:
        assert 1 <= len(processes - {os.getpid()}) == len(processes) <= 2
        assert 16 < most <= reading._MOST_AHEAD


class Parallel:
    """Reads when the results are taken, in this process; notes what it was given."""

    batch_sizes: ClassVar[list[int]] = []
    windows: ClassVar[list[int]] = []

    def __init__(self, *, batch_size: int, **_: Any) -> None:
        self.batch_sizes.append(batch_size)

    def __call__(self, calls: Iterator[Any]) -> Iterator[Any]:
        window = list(calls)
        self.windows.append(len(window))
        return (function(*arguments) for function, arguments, _ in window)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("num_workers", "file_bytes", "per_task", "most"),
    [(2, 1_000, 16, 256), (16, 1_000, 4, 256), (200, 1_000, 1, 256), (2, 8 * 2**20, 16, 64), (2, 2**30, 16, 2)],
)
def test_however_many_cores_and_however_large_the_files_few_are_read_ahead(
    monkeypatch: pytest.MonkeyPatch, num_workers: int, file_bytes: int, per_task: int, most: int
) -> None:
    windows: list[int] = []
    monkeypatch.setattr(Parallel, "windows", windows)
    monkeypatch.setattr(Parallel, "batch_sizes", [])
    monkeypatch.setattr("joblib.Parallel", Parallel)
    monkeypatch.setattr(reading, "_num_bytes", lambda _: file_bytes)
    ahead = [sum(windows) - taken for taken, _ in enumerate(read_all(READER, jobs_of(1_000), num_workers))]
    assert set(Parallel.batch_sizes) == {per_task}
    assert max(ahead) == most
    assert sum(windows) == 1_000


@pytest.mark.parametrize(
    ("num_files", "file_s", "first_s", "read_alone"),
    [
        (100, 0.01, 0.01, 100),  # done in a second
        (1_000, 0.01, 0.01, 21),  # the first does not count, the next 20 take the time of the trial
        (1_000, 0.001, 5.0, 1_000),  # imports and compilation on the first say nothing
        (50, 1.0, 1.0, 2),
        (2, 100.0, 100.0, 2),  # nothing left to share
    ],
)
def test_processes_start_where_what_is_left_is_worth_it(
    monkeypatch: pytest.MonkeyPatch, num_files: int, file_s: float, first_s: float, read_alone: int
) -> None:
    now = [0.0]
    monkeypatch.setattr(reading.time, "perf_counter", lambda: now[0])
    handed_on: list[int] = []

    def in_processes(reader: Reader, jobs: Any, num_workers: int) -> Iterator[Any]:
        handed_on.append(len(jobs))
        return iter([None] * len(jobs))

    monkeypatch.setattr(reading, "_read_in_processes", in_processes)

    def timed(path: Path) -> Recording:
        now[0] += file_s if path.name != "0" else first_s
        return read(path)

    for num_workers in (2, 1):
        handed_on.clear()
        assert len(list(read_all(Reader(timed, LAYOUT), jobs_of(num_files), num_workers))) == num_files
        assert sum(handed_on) == (num_files - read_alone if num_workers > 1 else 0)


@pytest.mark.verify
@pytest.mark.usefixtures("at_once")
def test_a_worker_that_is_ended_from_outside_is_one_line() -> None:
    with pytest.raises(InputError, match=r"was killed .* repeat the command to continue") as caught:
        list(read_all(READER, jobs_of(64, _40="40-fatal"), 2))
    assert "\n" not in str(caught.value)


@pytest.mark.verify
@pytest.mark.usefixtures("at_once")
def test_a_reader_that_is_left_early_leaves_no_process() -> None:
    with closing(read_all(READER, jobs_of(300), 2)) as results:
        first = next(results)
    assert isinstance(first, Entry)
    assert not is_running(first.facts["details"]["process"])


UNGUARDED = """
from pathlib import Path
from sldml.recordings import reading
from support.tiny_recordings import LAYOUT, read

print("begins")
reading._TRIED_S = reading._WORTH_PROCESSES_S = 0.0
jobs = [(Path(str(number)),) for number in range(40)]
results = list(reading.read_all(reading.Reader(read, LAYOUT), jobs, 2))
print([result.facts["name"] for result in results] == [str(number) for number in range(40)])
"""


@pytest.mark.verify
def test_a_script_need_not_guard_its_main_part(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(tmp_path / "script.py")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (run.stdout, run.stderr) == ("begins\nTrue\n", "")


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")  # where nobody collects orphans, they stay as zombies
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


PARENT = """
import sys
from pathlib import Path
from sldml.recordings import reading
from support.tiny_recordings import LAYOUT, read

if __name__ == "__main__":
    reading._TRIED_S = reading._WORTH_PROCESSES_S = 0.0
    names = [f"{n}-slow" if n >= 16 else str(n) for n in range(64)]  # the first task is done, then nothing for long
    try:
        for result in reading.read_all(reading.Reader(read, LAYOUT), [(Path(name),) for name in names], 2):
            print(result.facts["details"]["process"], flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.verify
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for children in /proc")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_a_killed_parent_and_say_nothing_at_ctrl_c(tmp_path: Path, signum: int) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        worker = int(parent.stdout.readline())
        workers = [process for process in children(parent.pid) if "popen_loky" in command_of(process)]
        assert worker in workers
        if signum == signal.SIGKILL:
            parent.kill()
            parent.wait()
            end = time.monotonic() + 60.0
            while any(is_running(process) for process in workers):
                assert time.monotonic() < end, "a worker outlives its parent"
                time.sleep(0.02)
        else:
            for process in workers:
                os.kill(process, signum)
            time.sleep(0.3)
            assert all(is_running(process) for process in workers)
            os.killpg(parent.pid, signum)  # as a terminal does
            assert parent.wait(timeout=30.0) == 130
            assert not any(is_running(process) for process in workers)
            assert parent.stderr.read() == ""


def children(process: int) -> list[int]:
    """Of one process, by their parents in /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if parent == process:
            found.append(int(path.parent.name))
    return found


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


# ------------------------------------------------------------------------------------------------------ entries


def test_an_entry_is_what_is_stored(tmp_path: Path) -> None:
    source = source_of(tmp_path, 1, num_frames=3)
    assert source.facts is not None
    entry = Reader(source.read, source.layout)((source.files[0], source.facts[0]))
    assert isinstance(entry, Entry)
    assert entry.values.dtype == np.dtype("<f4")
    assert entry.values.shape == (3, 2, 3)
    assert entry.facts == {
        "name": "0",
        "label": "a1",
        "subject": "s1",
        "length": 3,
        "rate_hz": 50.0,
        "details": {"process": os.getpid()},
        "digest": entry.facts["digest"],
    }


def test_equal_values_alone_have_equal_digests() -> None:
    digests = [READER((Path(name), 4)).facts["digest"] for name in ("1", "1", "2")]  # type: ignore[union-attr]
    assert digests[0] == digests[1] != digests[2]


def test_pixels_are_stored_as_bytes_and_black_ones_are_no_gap() -> None:
    picture = Layout(None, 0, image_rows=2)
    values = np.array([[[0, 0, 0], [0, 0, 0]], [[255, 1, 2], [3, 4, 5]]], np.float32)
    made = Recording(values, 1.0, picture.row_names, "train/a/1", "a", "", {"role": "train"})
    entry = Reader(lambda _: made, picture)((Path("1.png"),))
    assert isinstance(entry, Entry)
    assert entry.values.dtype == np.uint8
    assert entry.values.tolist() == values.astype(int).tolist()
    assert entry.held.tolist() == [0, 0]
    assert held_steps(values).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"details": {"length": 3}}, "length is a column of the catalogue and cannot be a detail"),
        ({"name": "a\udc80"}, "the name of the file or of a folder is not UTF-8"),
        ({"details": {"role": "a\udc80"}}, "the name of the file or of a folder is not UTF-8"),
        ({"values": np.ones((2, 1, 3), np.float32), "row_names": ("acceleration",)}, "has 1 rows instead of 2"),
    ],
)
def test_what_cannot_be_stored_is_refused(changes: dict[str, Any], reason: str) -> None:
    parts: dict[str, Any] = {
        "values": np.ones((2, 2, 3), np.float32),
        "rate_hz": 50.0,
        "row_names": LAYOUT.row_names,
        "name": "1",
        "label": "a",
        "subject": "s",
        "details": {},
    }
    made = Recording(**{**parts, **changes})
    refused = Reader(lambda _: made, LAYOUT)((Path("some/file"),))
    assert isinstance(refused, RecordingError)
    assert str(refused) == f"some/file: {reason}"


@pytest.mark.parametrize(
    ("present", "steps"),
    [
        ([1, 1, 1], [0, 0, 0]),
        ([1, 0, 0, 1], [0, -1, -2, 0]),
        ([0, 0, 1, 0], [2, 1, 0, -1]),
        ([0, 1, 0, 1, 0], [1, 0, -1, 0, -1]),
        ([0, 0], [0, 0]),
    ],
)
def test_held_steps(present: list[int], steps: list[int]) -> None:
    values = np.zeros((len(present), 2, 3), np.float32)
    values[np.array(present, bool), 1, 2] = -0.5
    result = held_steps(values)
    assert result.dtype == np.int32
    assert result.tolist() == steps
