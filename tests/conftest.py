"""What several test modules share: a small made dataset, prepared once, and the real recordings where they are."""

import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.running import ROOT

from sldml.config.data import SyntheticData
from sldml.config.protocol import NtuOneShot
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split

Launch = Callable[..., tuple[int, list[str], str]]


LONGEST = (
    *("test_interruptions.py", "test_faults.py", "test_tracking_server.py", "test_clusters.py", "test_python.py"),
    *("test_train.py", "test_pool.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: a long test that starts last would keep one process busy and leave the others idle."""
    place = {name: number for number, name in enumerate(LONGEST)}

    def order(item: pytest.Item) -> int:
        return place.get(item.path.name, len(place) + ("whole" not in item.path.parts))

    items.sort(key=order)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """Some library that another test has loaded may have switched them off, and hypothesis refuses to go on."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def made_set(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """20 novel and 8 auxiliary classes with 5 made recordings each; 3 of the 8 are development classes."""
    config = SyntheticData(num_auxiliary=8, recordings_per_class=5)
    return prepare(config, None, tmp_path_factory.mktemp("made"), num_workers=1)


@pytest.fixture(scope="session")
def made_split(made_set: PreparedSet) -> Split:
    """Trains on 5 classes, validates on 3, tests on 20."""
    return make_split(NtuOneShot(), made_set.catalog)


@pytest.fixture(scope="session")
def made_frames(made_set: PreparedSet) -> Frames:
    return Frames.open(made_set.folder, torch.device("cpu"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; a test that wants it is skipped where there is none."""
    folder = Path(os.environ.get("DATASET_FOLDER", "/nowhere"))
    if not folder.is_dir():
        pytest.skip("DATASET_FOLDER is not set to a folder of real recordings")
    return folder


@pytest.fixture(scope="session")
def real_utd(real_data: Path) -> Path:
    if not (real_data / "utd_mhad").is_dir():
        pytest.skip("DATASET_FOLDER holds no utd_mhad/")
    return real_data


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables; making one takes seconds, a copy none."""
    from sldml.tracking import check, default_uri

    folder = tmp_path_factory.mktemp("store")
    check(default_uri(folder))
    return folder / "mlflow.db"


@pytest.fixture
def storage(tmp_path: Path, empty_store: Path) -> Path:
    """A folder of results with an MLflow store in it that is empty."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that change where a command looks and writes."""
    for name in ("DATASET_FOLDER", "SLDML_CACHE", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def launched(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Launch]:
    """Runs a script of `launch/` in this process: its exit status, its lines, and what it wrote to stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    wakeup, path = signal.set_wakeup_fd(-1), list(sys.path)

    def run(script: str, *arguments: object) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", [f"launch/{script}", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "launch" / script), run_name="__main__")
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.splitlines(), err

    yield run
    signal.set_wakeup_fd(wakeup)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.path[:] = path
