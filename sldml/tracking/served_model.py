"""The code of a served recogniser: MLflow copies this file into the model and executes it to load the model.

Only the model's own copy of the package may be importable, so nothing else of `sldml.tracking` is used. For the format
of requests, see `sldml.tracking.serving`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from sldml.errors import InputError
from sldml.recognition.recognizer import Recognizer
from sldml.recordings import RecordingError
from sldml.recordings.given_files import RawFile, RawFiles

PATHS_ALLOWED = "SLDML_SERVE_PATHS"


class ServedRecognizer(PythonModel):  # type: ignore[misc]
    """Recognises the recordings of a request."""

    def load_context(self, context: Any) -> None:
        """Load the recogniser, with the exemplars that it was saved with."""
        self._saved = Recognizer.load(Path(context.artifacts["recogniser"]), enrolled=True)
        self._raw: RawFiles | None = None

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of input and of output per recording."""
        try:
            return self._named(model_input)
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _named(self, rows: pd.DataFrame) -> pd.DataFrame:
        columns = {name: _column(rows, name) for name in ("values", "path", "label")}
        triples = enumerate(zip(*columns.values(), strict=True), start=1)
        labels = [None if label is None or label == "" else str(label) for label in columns["label"]]
        signals = [self._signal(number, values, path) for number, (values, path, _) in triples]
        exemplars = [place for place, label in enumerate(labels) if label is not None]
        model = self._saved
        if exemplars:
            model = model.emptied()
            model.enrol_signals([signals[place] for place in exemplars], [str(labels[place]) for place in exemplars])
        found = model.recognize_signals(signals)
        return pd.DataFrame(
            {
                "label": pd.Series([one.label for one in found], dtype=object),
                "nearest": [one.nearest for one in found],
                "distance": [one.distance for one in found],
                "ratio": [one.ratio for one in found],
            }
        )

    def _signal(self, number: int, values: Any, path: Any) -> NDArray[np.float32]:
        if (values is None) == (path is None):
            raise InputError(f"row {number}: give values [frames][rows][3] or the path of a raw file, one of the two")
        if path is not None:
            return self._read(number, str(path))
        num_rows = self._saved.matching.layout.num_rows
        try:
            signal = np.array(_plain(values), dtype=np.float32)
        except (TypeError, ValueError):
            raise InputError(f"row {number}: values must be numbers [frames][{num_rows} rows][3]") from None
        if signal.ndim != 3 or signal.shape[1:] != (num_rows, 3) or len(signal) < 2:
            raise InputError(
                f"row {number}: values must be [at least 2 frames, {num_rows} rows, 3], but are {list(signal.shape)}"
            )
        if not np.isfinite(signal).all():
            raise InputError(f"row {number}: values must be finite numbers")
        return signal

    def _read(self, number: int, path: str) -> NDArray[np.float32]:
        if os.environ.get(PATHS_ALLOWED) != "1":
            raise InputError(f"row {number}: paths are not read here; send values, or serve with {PATHS_ALLOWED}=1")
        if self._raw is None:
            if self._saved.data is None:
                raise InputError(f"row {number}: the model was saved without the way raw files are read; send values")
            self._raw = RawFiles(self._saved.data, self._saved.matching.layout)
        try:
            return self._raw.read_one(RawFile(Path(path))).values
        except RecordingError as error:
            raise InputError(f"row {number}: {error}") from error


def _column(rows: pd.DataFrame, name: str) -> list[Any]:
    """The values of a column; None if missing."""
    if name not in rows:
        return [None] * len(rows)
    return [None if value is None or (isinstance(value, float) and np.isnan(value)) else value for value in rows[name]]


def _plain(values: Any) -> Any:
    """Nested lists: MLflow may have made arrays of arrays of them."""
    return [_plain(value) for value in values] if isinstance(values, list | tuple | np.ndarray) else values


mlflow.models.set_model(ServedRecognizer())
