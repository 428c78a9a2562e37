"""A search whose results cannot be written: one line says what happened, what is safe, and how to go on."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from conftest import Launch
from safetensors import SafetensorError
from support.running import TINY

from sldml import pipeline
from sldml.journal import Journal, StageChanged, read_history
from sldml.pipeline import Search
from sldml.search.cluster import Slots
from sldml.search.identity import attempt_begun
from sldml.search.optuna_journal import OptunaJournal

FULL = OSError(errno.ENOSPC, "No space left on device")
SAFE, BACK = "everything in the journal is safe", "put it back to resume"
Patch = pytest.MonkeyPatch


def fails(*args: Any, **kwargs: Any) -> Any:
    raise FULL


def work(search: Search) -> None:
    """The events of a search that trains nothing."""
    if search.history.begun is None:
        search.recorder.record(search.begun)
    search.recorder.record(attempt_begun(search.request, search.slots))
    search.recorder.record(StageChanged(name="search", state="started"))


@pytest.fixture
def tune(
    launched: Launch, storage: Path, made_cache: Path, monkeypatch: Patch
) -> Callable[..., tuple[int, list[str], str]]:
    """`launch/tune.py` without Ray and without trainings."""
    monkeypatch.setenv("SLDML_CACHE", str(made_cache))
    monkeypatch.setattr(pipeline, "connected", lambda address: nullcontext())
    monkeypatch.setattr(pipeline, "head_watched", nullcontext)
    monkeypatch.setattr(pipeline, "share_out", lambda **asked: Slots(1, 1.0, 0.0))
    monkeypatch.setattr(pipeline, "_work", work)
    where = ("--storage", storage, "--summary", storage / "summary.json")
    return lambda *arguments: launched("tune.py", *arguments, *where)


@pytest.fixture(scope="module")
def made_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def at_the_journal(patch: Patch) -> None:
    append = Journal.append

    def full(journal: Journal, event: Any) -> None:
        if event.event == "stage":
            raise FULL
        append(journal, event)

    patch.setattr(Journal, "append", full)


def at_the_report(patch: Patch) -> None:
    patch.setattr(pipeline, "write_report", fails)


def at_the_summary(patch: Patch) -> None:
    patch.setattr(pipeline, "write_json", fails)


def at_the_model(patch: Patch) -> None:
    def save(search: Search) -> None:
        work(search)
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    patch.setattr(pipeline, "_work", save)


@pytest.mark.parametrize("place", [at_the_journal, at_the_report, at_the_summary, at_the_model])
def test_a_disk_that_is_full_while_the_search_runs(
    tune: Launch, storage: Path, monkeypatch: Patch, place: Callable[[Patch], None]
) -> None:
    with monkeypatch.context() as patch:
        place(patch)
        status, lines, err = tune(*TINY, "--no-final", "--name", "full")
    assert (status, err) == (1, "")
    (failed,) = [number for number, line in enumerate(lines) if line.startswith("failed: ")]
    assert "No space left on device" in lines[failed]
    assert lines[failed].endswith(f"; {SAFE}")
    assert lines[failed + 1].startswith(f"to resume: python launch/tune.py --resume full --storage {storage}")
    assert read_history(storage / "full" / "journal.jsonl").begun is not None

    status, lines, err = tune("--resume", "full")
    assert (status, err) == (0, "")
    assert (storage / "full" / "report.html").exists()
    assert (storage / "summary.json").exists()


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_folder_that_is_gone_while_the_search_runs(
    tune: Launch, storage: Path, monkeypatch: Patch, is_moved: bool
) -> None:
    def gone(search: Search) -> None:
        work(search)
        shutil.move(storage / "gone", storage / "elsewhere")
        search.recorder.record(StageChanged(name="search", state="ended"))

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_work", gone)
        status, lines, _ = tune(*TINY, "--no-final", "--name", "gone")
    assert status == 1
    (failed,) = [line for line in lines if line.startswith("failed: ")]
    assert failed.startswith(f"failed: the folder of the search was removed or moved ({storage / 'gone'}")
    assert failed.endswith(f"; {BACK}")
    assert not (storage / "gone" / "report.html").exists(), "nothing takes the place of the moved folder"
    if is_moved:
        shutil.rmtree(storage / "gone", ignore_errors=True)
        shutil.move(storage / "elsewhere", storage / "gone")
    status, lines, err = tune("--resume", "gone")
    assert status == (0 if is_moved else 2), err
    assert "Traceback" not in err


@pytest.mark.parametrize("is_resumed", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"), [(OptunaJournal, "_open"), (Journal, "__init__"), (pipeline.Tracker, "__init__")]
)
def test_a_disk_that_is_full_before_the_search_begins(
    tune: Launch, storage: Path, monkeypatch: Patch, owner: type, name: str, is_resumed: bool
) -> None:
    arguments: tuple[object, ...] = (*TINY, "--no-final", "--name", "full")
    if is_resumed:
        assert tune(*arguments)[0] == 0
        arguments = ("--resume", "full")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        status, _, err = tune(*arguments)
    advice = "make room there" if is_resumed else "make room there, or choose another folder with --storage"
    assert status == 2
    assert err == f"error: cannot write results to {storage} (No space left on device): {advice}\n"


def test_another_error_keeps_its_traceback(tune: Launch, monkeypatch: Patch) -> None:
    def wrong(search: Search) -> None:
        work(search)
        raise OSError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(pipeline, "_work", wrong)
    with pytest.raises(OSError, match="Connection reset"):
        tune(*TINY, "--no-final", "--name", "wrong")
