"""`launch/train.py`: one configuration from the command line to a model, and a run of it repeated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from support.running import TINY, launch


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_a_configuration_is_trained_and_a_run_of_it_repeated(storage: Path) -> None:
    summary = storage / "summary.json"
    places = ("--storage", storage)
    settings = [argument for setting in ("loss.name=sup_con", *of_a_configuration()) for argument in ("--set", setting)]
    done = launch(
        "train.py", "--space", "demo", *settings, "--max-epochs", 2, "--seeds", 1, "--name", "one", *places,
        "--summary", summary, "--register", "one",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = json.loads(summary.read_text())
    assert first["state"] == "completed"
    assert first["best"]["config"]["loss"]["name"] == "sup_con"
    assert first["trials"]["completed"] == 1
    assert len(first["final"][0]["seeds"]) == 1
    assert (Path(first["model"]) / "model.json").is_file()
    client = MlflowClient(first["mlflow"]["tracking_uri"])
    (version,) = client.search_model_versions("name = 'one'")
    assert Path(version.source, "MLmodel").is_file()

    (final,) = client.search_runs([first["mlflow"]["experiment_id"]], "tags.stage = 'final'")
    again = launch("train.py", "--from-run", final.info.run_id, "--seeds", 1, *places)
    assert again.returncode == 0, again.stderr
    assert len(re.findall(rf"^run {final.info.run_id}: .* identical$", again.stdout, re.MULTILINE)) == 2, again.stdout
    assert "not the same" not in again.stdout
    assert "note: the recordings are not those" not in again.stdout


def of_a_configuration() -> list[str]:
    """The settings of the tiny search that are parts of a configuration."""
    settings = [TINY[i + 1] for i, argument in enumerate(TINY) if argument == "--set"]
    return [setting for setting in settings if not setting.startswith("search.")]
