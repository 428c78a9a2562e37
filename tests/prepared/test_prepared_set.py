import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from support.small import joints, write_recording

from sldml.config.data import Ntu120Data, SyntheticData, UtdMhadData
from sldml.errors import InputError
from sldml.prepared.prepared_set import PreparedSet, open_prepared, prepare, prepared_key
from sldml.prepared.whole_folder import FILES
from sldml.recordings import Recording, RecordingError
from sldml.recordings.readers import ntu

PARALLEL = joblib.Parallel
LENGTHS = {"S001C001P001R001A001": 3, "S001C002P003R001A002": 5, "S002C003P008R002A001": 2, "S018C001P002R001A070": 4}
BROKEN = {
    "S003C001P001R001A005": ("", "is empty"),
    "S003C001P001R001A006": ("2\n1\n", "ends within frame 0 of 2"),
    "S003C001P001R001A007": ("2\n0\n0\n", "has no body in any of its 2 frames"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with four small recordings; the second has no body in its frames 0 and 3."""
    for seed, (name, length) in enumerate(LENGTHS.items()):
        dropped = (0, 3) if seed == 1 else ()
        write_recording(tmp_path / "data/ntu", name, length, seed=100 * seed, dropped=dropped)
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def add_broken(data: Path) -> None:
    for name, (text, _) in BROKEN.items():
        (data / "ntu" / f"{name}.skeleton").write_text(text)


def ready(data: Path, cache: Path, *, strict: bool = False, num_workers: int = 1) -> PreparedSet:
    return prepare(Ntu120Data(), data, cache, strict=strict, num_workers=num_workers)


def folders(cache: Path) -> list[str]:
    """All folders in a cache, scratch ones among them."""
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def refuse_to_read(path: Path) -> Recording:
    raise AssertionError(f"{path} is read a second time")


def test_frames_lie_end_to_end_as_they_were_recorded(data: Path, cache: Path) -> None:
    prepared = ready(data, cache)
    frames = []
    for seed, (_, length) in enumerate(sorted(LENGTHS.items())):
        first = {0: 0, 1: 100, 2: 200, 3: 300}[seed]
        frames += [np.zeros((25, 3)) if seed == 1 and t in (0, 3) else joints(first + t) for t in range(length)]
    expected = np.concatenate([np.stack(frames), np.zeros((14, 25, 3))], axis=1).astype(np.float32)
    stored = np.load(prepared.folder / "signals.npy")
    assert stored.dtype == np.float32
    assert np.array_equal(stored, expected)
    assert np.load(prepared.folder / "held.npy").tolist() == [0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0]

    catalog = prepared.catalog
    assert catalog["name"].tolist() == sorted(LENGTHS)
    assert catalog["label"].tolist() == ["A001", "A002", "A001", "A070"]
    assert catalog["subject"].tolist() == ["P001", "P003", "P008", "P002"]
    assert catalog["offset"].tolist() == [0, 3, 8, 10]
    assert catalog["length"].tolist() == [3, 5, 2, 4]
    assert catalog["rate_hz"].tolist() == [30.0] * 4
    assert catalog[["setup", "camera", "replication"]].to_numpy().tolist() == [
        [1, 1, 1],
        [1, 2, 1],
        [2, 3, 2],
        [18, 1, 1],
    ]
    assert (prepared.meta["num_recordings"], prepared.meta["num_frames"], prepared.meta["refused"]) == (4, 14, [])
    assert prepared.layout == ntu.LAYOUT


def test_the_same_source_finds_the_same_set_and_reads_nothing(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ready(data, cache)
    monkeypatch.setattr(ntu, "read", refuse_to_read)
    second = ready(data, cache)
    assert (second.folder, second.hash, second.meta) == (first.folder, first.hash, first.meta)
    pd.testing.assert_frame_equal(second.catalog, first.catalog)
    shutil.rmtree(first.folder)
    with pytest.raises(AssertionError, match="read a second time"):
        ready(data, cache)


def test_a_changed_an_added_and_a_touched_file_each_make_another_set(data: Path, cache: Path) -> None:
    found = [ready(data, cache)]
    write_recording(data / "ntu", "S001C001P001R001A001", 4, seed=7)
    found.append(ready(data, cache))
    write_recording(data / "ntu", "S001C001P001R001A003", 3)
    found.append(ready(data, cache))
    touched = data / "ntu/S001C001P001R001A003.skeleton"
    os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1))
    found.append(ready(data, cache))
    assert len({prepared.folder for prepared in found}) == 4
    assert found[0].hash != found[1].hash != found[2].hash
    assert found[2].hash == found[3].hash  # the same recordings, wherever they were prepared
    assert folders(cache) == sorted(prepared.folder.name for prepared in found)


def test_the_hash_is_the_same_wherever_the_recordings_lie(data: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "elsewhere")
    assert ready(tmp_path / "elsewhere", tmp_path / "other").hash == ready(data, cache).hash


def test_made_recordings_are_made_once_by_their_settings(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SyntheticData(num_auxiliary=4, recordings_per_class=2)
    first = prepare(config, None, cache, num_workers=1)
    assert len(first.catalog) == 24 * 2
    other = prepare(SyntheticData(num_auxiliary=4, recordings_per_class=2, seed=1), None, cache, num_workers=1)
    assert other.folder != first.folder
    assert other.hash != first.hash
    monkeypatch.setattr("sldml.prepared.prepared_set.make_source", refuse_to_read)
    assert prepare(config, None, cache).hash == first.hash
    assert folders(cache) == sorted([first.folder.name, other.folder.name])  # the raw files are gone


def test_what_a_killed_writer_left_is_never_found_and_made_whole(data: Path, cache: Path) -> None:
    whole = ready(data, cache)
    leftover = cache / f".{whole.folder.name}.part"
    someone_elses = cache / ".ntu120-0123456789abcdef.part"
    someone_elses.mkdir()
    signals = (whole.folder / "signals.npy").read_bytes()
    leftover.mkdir()
    whole.folder.rename(leftover / "whole")
    (leftover / "whole/signals.npy").write_bytes(signals[:-100])

    again = ready(data, cache)
    assert again.folder == whole.folder
    assert (again.folder / "signals.npy").read_bytes() == signals
    assert folders(cache) == [someone_elses.name, whole.folder.name]


WRITER = """
import sys, time
from pathlib import Path
from sldml.config.data import Ntu120Data
from sldml.prepared.prepared_set import prepare

def wait_in_the_middle(done, total):
    if done == 3:
        print("three of", total, flush=True)
        time.sleep(120)

prepare(Ntu120Data(), Path(sys.argv[1]), Path(sys.argv[2]), num_workers=1, progress=wait_in_the_middle)
"""


@pytest.mark.verify
def test_a_writer_killed_half_way_leaves_nothing_that_is_taken_for_good(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WRITER, str(data), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "three of 4\n"
        writer.send_signal(signal.SIGKILL)
    (left,) = folders(cache)
    assert left.startswith(".ntu120-")
    assert list((cache / left).rglob("signals.npy"))

    whole = ready(data, cache)
    assert folders(cache) == [whole.folder.name]
    assert whole.hash == ready(data, tmp_path / "fresh").hash


def test_a_set_comes_to_its_place_whole_and_in_one_step(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        assert not target.exists()
        seen.append(sorted(path.name for path in self.iterdir()))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    ready(data, cache)
    assert seen == [sorted(FILES)]


def test_broken_files_are_listed_with_their_reasons_and_left_out(data: Path, cache: Path, tmp_path: Path) -> None:
    whole = ready(data, tmp_path / "without")
    add_broken(data)
    prepared = ready(data, cache)
    assert prepared.meta["refused"] == [
        {"file": f"{name}.skeleton", "reason": reason} for name, (_, reason) in BROKEN.items()
    ]
    assert prepared.hash == whole.hash
    assert prepared.catalog["offset"].tolist() == [0, 3, 8, 10]


def test_strict_makes_a_broken_file_fatal_also_in_a_set_that_is_there(data: Path, cache: Path, tmp_path: Path) -> None:
    ready(data, cache, strict=True)
    add_broken(data)
    for place in (cache, tmp_path / "fresh"):
        ready(data, cache)
        with pytest.raises(InputError) as caught:
            ready(data, place, strict=True)
        message = str(caught.value)
        assert message == "3 broken recordings (--strict): S003C001P001R001A005.skeleton: is empty"


def test_where_no_file_can_be_read_nothing_is_left_behind(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "data/ntu").mkdir(parents=True)
    add_broken(tmp_path / "data")
    with pytest.raises(InputError, match=r"none of 3 files can be read; S003C001P001R001A005\.skeleton: is empty") as e:
        ready(tmp_path / "data", cache)
    assert "\n" not in str(e.value)
    assert folders(cache) == []


def test_where_the_official_list_leaves_nothing_out_of_nothing(data: Path, cache: Path) -> None:
    (data / "ntu" / ntu.MISSING_LIST).write_text("\n\n\n" + "\n".join(LENGTHS))
    with pytest.raises(InputError, match="holds no recording"):
        ready(data, cache)
    assert folders(cache) == []


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_an_unwritable_cache_is_one_line(data: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").touch()  # a file where a folder should be: not even root can write there
    with pytest.raises(InputError, match=r"cannot write prepared sets to .*SLDML_CACHE") as caught:
        ready(data, tmp_path / place)
    assert "\n" not in str(caught.value)


def test_recordings_that_appear_twice_are_refused(data: Path, cache: Path) -> None:
    write_recording(data / "ntu/copy", "S001C001P001R001A001", 3)
    with pytest.raises(InputError, match=r"1 recordings appear twice .*S001C001P001R001A001"):
        ready(data, cache)
    assert folders(cache) == []


def test_the_official_list_of_missing_skeletons_is_left_out(data: Path, cache: Path) -> None:
    without = ready(data, cache)
    assert "was not found" in without.meta["notes"][0]
    header = "the following recordings\nhave no\nskeletons:\n"
    (data / "ntu" / ntu.MISSING_LIST).write_text(header + "S001C002P003R001A002\nS032C003P106R002A120\n")
    prepared = ready(data, cache)
    assert prepared.folder != without.folder
    assert prepared.catalog["name"].tolist() == sorted(set(LENGTHS) - {"S001C002P003R001A002"})
    assert prepared.catalog["offset"].tolist() == [0, 3, 5]
    assert prepared.meta["notes"] == ["1 recordings left out by the official list of missing skeletons"]
    assert prepared.meta["refused"] == []


@pytest.mark.parametrize(
    ("name", "keep"),
    [("signals.npy", -4), ("signals.npy", 10), ("held.npy", -1), ("catalog.parquet", 50), ("meta.json", 40)],
)
def test_a_damaged_set_is_made_again(
    data: Path, cache: Path, caplog: pytest.LogCaptureFixture, name: str, keep: int
) -> None:
    first = ready(data, cache)
    path, whole = first.folder / name, (first.folder / name).read_bytes()
    path.write_bytes(whole[:keep])
    again = ready(data, cache)
    assert (again.folder, again.hash) == (first.folder, first.hash)
    assert path.read_bytes() == whole
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"prepared set {first.folder} is damaged" in line
    assert "\n" not in line


def test_two_at_once_read_once(data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, lock, count = ntu.read, threading.Lock(), [0]

    def counted(path: Path) -> Recording:
        with lock:
            count[0] += 1
        return read(path)

    monkeypatch.setattr(ntu, "read", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ready(data, cache), range(2))
    assert first.folder == second.folder
    assert count[0] == len(LENGTHS)


def test_progress_counts_every_file(data: Path, cache: Path) -> None:
    add_broken(data)
    told: list[tuple[int, int]] = []
    prepare(Ntu120Data(), data, cache, num_workers=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 7) for i in range(1, 8)]


@pytest.mark.parametrize("name", FILES)
def test_a_set_that_lacks_a_file_is_not_opened(data: Path, cache: Path, name: str) -> None:
    prepared = ready(data, cache)
    (prepared.folder / name).unlink()
    with pytest.raises(InputError, match=f"is not a prepared set: {name} is missing"):
        open_prepared(prepared.folder)


def test_a_set_of_another_format_is_not_opened(data: Path, cache: Path) -> None:
    prepared = ready(data, cache)
    meta = prepared.folder / "meta.json"
    meta.write_text(json.dumps({**prepared.meta, "format": 0}))
    with pytest.raises(InputError, match="has format 0, not 4: delete it and prepare again"):
        open_prepared(prepared.folder)


def test_a_set_of_another_format_is_not_found(data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = ready(data, cache)
    for module in ("writing", "prepared_set"):
        monkeypatch.setattr(f"sldml.prepared.{module}.FORMAT", 1)
    old = ready(data, cache)
    assert old.folder != now.folder
    assert (old.hash, old.meta["key"] != now.meta["key"]) == (now.hash, True)


def test_a_reader_may_raise_nothing_but_a_recording_error(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(path: Path) -> Recording:
        raise ZeroDivisionError if "A070" in path.stem else RecordingError(path, "no")

    monkeypatch.setattr(ntu, "read", fault)
    with pytest.raises(ZeroDivisionError):
        ready(data, cache)
    assert folders(cache) == []


def test_the_same_key_is_made_by_every_version_of_the_project() -> None:
    # By hand, on any machine: `printf '4 f00d' | b2sum -l 128`.
    assert prepared_key("f00d") == "7d6b236d670f04a261f197acc9efeba7"


@pytest.mark.verify
def test_real_recordings_prepared_twice_have_one_hash(real_utd: Path, tmp_path: Path) -> None:
    config = UtdMhadData(modality="fused")
    first, second = (prepare(config, real_utd, tmp_path / str(n), num_workers=n) for n in (1, 2))
    assert len(first.catalog) == 861
    assert (first.hash, first.meta["refused"]) == (second.hash, [])
    for name in FILES:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


@pytest.mark.verify
def test_parallel_and_serial_reading_write_the_same_bytes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sldml.recordings.reading._MOST_FILES_PER_TASK", 2)
    monkeypatch.setattr("sldml.recordings.reading._MOST_AHEAD", 8)  # more tasks than are read ahead
    monkeypatch.setattr("sldml.recordings.reading._TRIED_S", 0.0)
    monkeypatch.setattr("sldml.recordings.reading._WORTH_PROCESSES_S", 0.0)
    numbers: set[int] = set()

    def parallel(*, n_jobs: int, **options: Any) -> joblib.Parallel:
        numbers.add(n_jobs)
        return PARALLEL(n_jobs=n_jobs, **options)

    monkeypatch.setattr("joblib.Parallel", parallel)
    add_broken(data)
    for i in range(40):
        write_recording(
            data / "ntu", f"S004C001P{i:03d}R001A003", 2 + i % 5, seed=i, dropped=(1,) if i % 7 == 0 else ()
        )
    serial, parallel = (ready(data, tmp_path / str(n), num_workers=n) for n in (1, 2))
    assert numbers == {2}
    assert len(serial.catalog) == 44
    for name in FILES:
        assert (parallel.folder / name).read_bytes() == (serial.folder / name).read_bytes()
