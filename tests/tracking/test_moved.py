"""Results that were moved or copied: new searches, and the artifacts of old ones, are where the results are now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.made_events import made_events
from support.made_history import START, search_begun
from support.tracked import TrackedSearch

from sldml.journal import AttemptEnded
from sldml.tracking import Tracker, default_artifact_root, default_uri


def whole(storage: Path, name: str = "demo-1") -> Tracker:
    """A search that is tracked to its end, without a model."""
    search = TrackedSearch(storage, search_begun(name=name, id=name), name)
    return search.tracked([search.begun, *made_events()[1:-2], AttemptEnded(state="interrupted", time=START + 20)])


@pytest.fixture
def old(storage: Path) -> Path:
    """Results with a search."""
    folder = storage / "old"
    folder.mkdir()
    shutil.move(storage / "mlflow.db", folder)
    whole(folder)
    return folder


def artifacts(storage: Path) -> set[str]:
    files = (path for path in (storage / "mlflow-artifacts").rglob("*") if path.is_file())
    return {str(path.relative_to(storage)) for path in files}


def place_of_first(storage: Path) -> Path:
    """The folder of results in which MLflow has the artifacts of the first search."""
    client = TrackedSearch(storage).client
    (run,) = [r for r in client.search_runs(["1"]) if r.data.tags.get("search") == "demo-1"]
    folder = Path(run.info.artifact_uri)
    assert (folder / "search.json").is_file()
    return folder.parents[2]


@pytest.mark.parametrize("copied", [True, False])
def test_a_search_in_moved_results_writes_its_artifacts_there(
    old: Path, copied: bool, caplog: pytest.LogCaptureFixture
) -> None:
    new, before = old.with_name("new & better"), artifacts(old)
    if copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    tracker = whole(new, "demo-2")
    assert artifacts(new) > before
    assert artifacts(old) == (before if copied else set())
    run = tracker._runs.client.get_run(tracker.run_id)
    assert run.info.artifact_uri == f"{default_artifact_root(new)}/{tracker.run_id}/artifacts"
    (line,) = [record.getMessage() for record in caplog.records if "these results were in" in record.getMessage()]
    assert line == f"tracking: these results were in {old}: their artifacts are now in {new / 'mlflow-artifacts'}"
    assert place_of_first(new) == new
    whole(new, "demo-3")
    assert len([r for r in caplog.records if "these results were in" in r.getMessage()]) == 1
    if copied:
        assert place_of_first(old) == old


def test_another_store_keeps_its_places_and_says_so(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = old.with_name("other")
    search = TrackedSearch(other, search_begun(name="demo-1", id="x"))
    tracker = search.tracker(default_uri(old))
    tracker.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"tracking: artifacts go to {old / 'mlflow-artifacts'}, the folder of experiment demo in this store"
    ]
