"""Searches that `sldml.tune` seems to run: what the pipeline is asked for, and a made search that it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sldml.config.representation import NormalizeConfig
from sldml.journal import History
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.recordings.readers import ntu
from sldml.search.request import Request
from support.made_history import made_history
from support.made_searches import write_journal


def searched_history() -> History:
    """A made search with what its tables need: candidates of baselines, seeds of final models."""
    return made_history(12)


def leave_search(folder: Path, history: History) -> None:
    """A journal and a model."""
    write_journal(folder, history)
    signal = np.random.default_rng(0).normal(size=(8, ntu.LAYOUT.num_rows, 3)).astype(np.float32)
    exemplars = SavedExemplars([signal], labels=["wave"], names=["one"])
    Recognizer(Matching("raw_1nn", ntu.LAYOUT, NormalizeConfig())).save(folder / "model", exemplars)


def replace_pipeline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Request]:
    """From now on, `folder` is the current one and no search trains; returns the requests that will come.

    Searches named interrupted and failed end like that.
    """
    requests: list[Request] = []

    def run(request: Request, watcher: Any) -> Mapping[str, Any]:
        requests.append(request)
        if request.name in ("interrupted", "failed"):
            return {"state": request.name, "error": "no trial has a value"}
        leave_search(request.folder, searched_history())
        return {"state": "completed"}

    monkeypatch.chdir(folder)
    for variable in ("DATASET_FOLDER", "SLDML_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sldml.pipeline.run", run)
    return requests
