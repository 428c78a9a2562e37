"""Saving a recogniser as an MLflow model for `mlflow models predict` and `mlflow models serve`.

It is logged from code: `served_model.py` is copied beside the recogniser's files and a copy of this package, and what
is loaded executes that code and no pickle. A request is one row per recording: `values`, the numbers [frames][rows][3]
in the source's own units, or `path`, a raw file on the machine that serves (refused unless `SLDML_SERVE_PATHS=1` is in
its environment: who may ask could else have any file of it read); and `label`, for the exemplars of this request.
Without a labelled row the exemplars count that the model was saved with. The answer has one row per row: `label` (null
where it is unknown), `nearest`, `distance` and `ratio`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema

from sldml.errors import InputError
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars, read_exemplars
from sldml.recordings.given_files import RawFiles, exemplars_in

_PACKAGE = Path(__file__).resolve().parents[1]
_NEEDED = (
    "faiss-cpu", "filelock", "mlflow", "numba", "numpy", "pandas", "pillow", "pydantic", "pyyaml", "safetensors",
    "torch", "torchvision",
)  # fmt: skip
"""The packages that recognition imports, without their dependencies."""
_MOST_EXAMPLE_FRAMES = 4
"""Enough to show the format of the input."""


def save(model_folder: Path, exemplars: Path | None, out: Path) -> Path:
    """Write a saved recogniser as an MLflow model folder.

    Args:
        model_folder: Folder written by `Recognizer.save`.
        exemplars: Folder of raw recordings to enrol instead of the saved exemplars.
        out: A new folder.

    Raises:
        InputError: there is no model, no exemplar can be read, or `out` cannot be written.
    """
    model = Recognizer.load(model_folder)
    kept = read_exemplars(model_folder)
    if exemplars is not None:
        if model.data is None:
            raise InputError(f"{model_folder}: the model was saved without the way raw files are read")
        recordings, _ = exemplars_in(RawFiles(model.data, model.matching.layout, exemplars), exemplars)
        kept = SavedExemplars.of(recordings)
    if out.exists():
        raise InputError(f"{out}: already exists; give a new folder")
    with tempfile.TemporaryDirectory(prefix="sldml-serving-") as scratch, _quiet():
        recogniser = model.save(Path(scratch) / "recogniser", kept)
        package = shutil.copytree(_PACKAGE, Path(scratch) / "sldml", ignore=shutil.ignore_patterns("__pycache__"))
        try:
            mlflow.pyfunc.save_model(
                path=str(out),
                python_model=str(_PACKAGE / "tracking" / "served_model.py"),
                artifacts={"recogniser": str(recogniser)},
                code_paths=[str(package)],
                signature=_signature(),
                input_example=_example(model, kept.signals[0][:_MOST_EXAMPLE_FRAMES] if kept else None),
                pip_requirements=_requirements(),
            )
        except OSError as error:
            raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    return out


def _signature() -> ModelSignature:
    numbers = Array(Array(Array(DataType.double)))
    inputs = [
        ColSpec(numbers, "values", required=False),
        ColSpec(DataType.string, "path", required=False),
        ColSpec(DataType.string, "label", required=False),
    ]
    outputs = [
        ColSpec(DataType.string, "label", required=False),
        ColSpec(DataType.string, "nearest"),
        ColSpec(DataType.double, "distance"),
        ColSpec(DataType.double, "ratio"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _example(model: Recognizer, signal: Any) -> pd.DataFrame:
    """Two exemplars of this request, and the first of them as a query."""
    if signal is None:
        signal = [[[0.0, 0.0, 0.0]] * model.matching.layout.num_rows] * 2
        first: Any = signal
    else:
        first = signal.astype(float).round(4).tolist()
    second = [[[x + 0.1, y, z] for x, y, z in rows] for rows in reversed(first)]
    return pd.DataFrame({"values": [first, second, first], "label": ["one action", "another", None]})


def _requirements() -> list[str]:
    """The installed versions, without build names (2.8.0+cpu)."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in _NEEDED]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress MLflow's progress bars and its advice on type hints."""
    key = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(key)
    os.environ[key] = "false"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*type hints.*")
            yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
