"""A recogniser served by MLflow: from code, without pickles, wherever its folder lies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from support.running import ROOT
from support.shipped import ship_model
from support.small import joints, write_recording

from sldml.config.data import SyntheticData
from sldml.config.protocol import NtuOneShot
from sldml.errors import InputError
from sldml.prepared.prepared_set import PreparedSet
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import read_exemplars
from sldml.tracking import serving

MADE = SyntheticData(num_auxiliary=8, recordings_per_class=5)
MLFLOW = str(Path(sys.executable).with_name("mlflow"))


@pytest.fixture(scope="module", params=["dtw", "trained"])
def served(request, made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recogniser's folder, and the MLflow model made of it."""
    folder = tmp_path_factory.mktemp(request.param)
    ship_model(folder / "model", made_set, MADE, NtuOneShot(), trained=request.param == "trained")
    return folder / "model", serving.save(folder / "model", None, folder / "served")


@pytest.fixture
def loaded(served: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.delenv("SLDML_SERVE_PATHS", raising=False)
    return mlflow.pyfunc.load_model(str(served[1]))


def body(seed: int, num_frames: int = 6) -> list[Any]:
    """Numbers [frames][50][3]: one moving body, the second one absent."""
    frames = np.zeros((num_frames, 50, 3))
    frames[:, :25] = [joints(seed + t) for t in range(num_frames)]
    return frames.tolist()


def test_a_folder_of_files_that_hold_no_pickle(served: tuple[Path, Path]):
    _, out = served
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"MLmodel", "served_model.py", "input_example.json", "requirements.txt"} <= files
    assert {"artifacts/recogniser/model.json", "artifacts/recogniser/exemplars.safetensors"} <= files
    assert "code/sldml/recognition/recognizer.py" in files
    endings = {Path(name).suffix for name in files}
    assert endings <= {"", ".py", ".json", ".yaml", ".txt", ".safetensors", ".jinja", ".typed"}
    needed = (out / "requirements.txt").read_text()
    assert "torch==" in needed
    assert "+" not in needed


def test_without_labels_the_exemplars_count_that_it_was_saved_with(served: tuple[Path, Path], loaded: Any):
    model = Recognizer.load(served[0], enrolled=True)
    signals = [np.array(body(seed), np.float32) for seed in (1, 50)]
    expected = model.recognize_signals(signals)
    found = loaded.predict(pd.DataFrame({"values": [signal.tolist() for signal in signals]}))
    assert list(found.columns) == ["label", "nearest", "distance", "ratio"]
    assert found["nearest"].tolist() == [one.nearest for one in expected]
    assert found["label"].tolist() == [one.label for one in expected]
    assert found["ratio"].tolist() == pytest.approx([one.ratio for one in expected])
    kept = read_exemplars(served[0])
    assert kept is not None
    itself = loaded.predict(pd.DataFrame({"values": [signal.tolist() for signal in kept.signals[:3]]}))
    assert itself["label"].tolist() == list(kept.labels[:3])


def test_labelled_rows_are_the_exemplars_of_their_request_alone(loaded: Any):
    rows = pd.DataFrame({"values": [body(1), body(50), body(1), body(50, 9)], "label": ["hop", "skip", None, None]})
    found = loaded.predict(rows)
    assert found["nearest"].tolist() == ["hop", "skip", "hop", "skip"]
    assert found["distance"][2] == pytest.approx(0.0, abs=1e-3)
    after = loaded.predict(rows[["values"]])
    assert not set(after["nearest"]) & {"hop", "skip"}


def test_files_of_the_serving_machine_are_read_only_where_that_is_allowed(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = str(write_recording(tmp_path, "anything", 6, seed=1))
    rows = pd.DataFrame({"path": [path]})
    with pytest.raises(MlflowException, match="row 1: paths are not read here; send values"):
        loaded.predict(rows)
    monkeypatch.setenv("SLDML_SERVE_PATHS", "1")
    found = loaded.predict(rows)
    assert found["nearest"].tolist() == loaded.predict(pd.DataFrame({"values": [body(1)]}))["nearest"].tolist()
    with pytest.raises(MlflowException, match=r"row 1: .*nowhere\.skeleton: does not exist"):
        loaded.predict(pd.DataFrame({"path": ["nowhere.skeleton"]}))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"values": [[[0.0, 0.0, 0.0]] * 50]}, r"must be \[at least 2 frames, 50 rows, 3\], but are \[1, 50, 3\]"),
        ({"values": [[[0.0, 0.0, 0.0]]] * 4}, r"but are \[4, 1, 3\]"),
        ({"values": [[[0.0, 0.0, 0.0]] * 50, [[0.0, 0.0]] * 50]}, r"must be numbers \[frames\]\[50 rows\]\[3\]"),
        ({"values": [[[float("nan"), 0.0, 0.0]] * 50] * 2}, "must be finite numbers"),
        ({"label": "hop"}, "give values .* or the path of a raw file, one of the two"),
    ],
)
def test_a_bad_row_is_told_by_its_number(loaded: Any, row: dict[str, Any], said: str):
    whole = {"values": None, "label": None}
    rows = pd.DataFrame([{**whole, "values": body(1)}, {**whole, **row}])
    with pytest.raises(MlflowException, match=f"row 2: .*{said}") as caught:
        loaded.unwrap_python_model().predict(None, rows)
    assert caught.value.get_http_status_code() == 400


def test_exemplars_of_a_folder_take_the_place_of_those_saved(served: tuple[Path, Path], tmp_path: Path):
    for action, seed in (("hop", 1), ("skip", 50)):
        write_recording(tmp_path / "mine" / action, "first", 6, seed=seed)
    out = serving.save(served[0], tmp_path / "mine", tmp_path / "out")
    kept = read_exemplars(out / "artifacts" / "recogniser")
    assert kept is not None
    assert kept.labels == ["hop", "skip"]
    with pytest.raises(InputError, match="already exists"):
        serving.save(served[0], None, out)


# ------------------------------------------------------------------------------------------------ as a person serves it


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which this package is not importable, but for the model's own copy."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in type(f).__name__ + repr(f).lower()]\n"
        f"sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SLDML_SERVE_PATHS")}
    environment |= {"PYTHONPATH": str(tmp_path / "blocked"), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run([sys.executable, "-c", "import sldml"], cwd=tmp_path, env=environment, capture_output=True)
    assert b"No module named 'sldml'" in ended.stderr
    return environment


@pytest.mark.verify
@pytest.mark.parametrize("served", ["trained"], indirect=True)
def test_mlflow_predicts_and_serves_where_this_package_is_not(
    served: tuple[Path, Path], elsewhere: dict[str, str], tmp_path: Path
):
    rows = [{"values": body(1), "label": "hop"}, {"values": body(50), "label": "skip"}, {"values": body(50, 9)}]
    (tmp_path / "input.json").write_text(json.dumps({"dataframe_records": rows}))
    common = ("--env-manager", "local", "-m", str(served[1]))
    ended = subprocess.run(
        [MLFLOW, "models", "predict", *common, "-i", "input.json", "-t", "json", "-o", "output.json"],
        cwd=tmp_path,
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer = json.loads((tmp_path / "output.json").read_text())["predictions"]
    assert [one["nearest"] for one in answer] == ["hop", "skip", "skip"]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [MLFLOW, "models", "serve", *common, "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=elsewhere, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        assert ask(port, rows) == answer
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(port, [{"path": str(tmp_path / "input.json")}])
        assert caught.value.code == 400
        assert "paths are not read here" in caught.value.read().decode()
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def ask(port: int, rows: list[dict[str, Any]]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"no answer:\n{log.read_text()}")
