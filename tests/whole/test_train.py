"""`launch/train.py`: one configuration from the command line to a model, and an earlier run done again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from support.running import ROOT

from sldml.errors import InputError
from sldml.tracking import Tracker, check, default_artifact_root, default_uri
from sldml.tracking.earlier import find_run


def train(*arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({} if cache is None else {"SLDML_CACHE": str(cache)})}
    return subprocess.run(
        [sys.executable, "launch/train.py", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of --space NAME or FILE, --config FILE, --from-run ID"),
        (["--space", "demo", "--config", "x.yaml"], "give one of --space"),
        (["--config", "/nowhere.yaml"], "--config /nowhere.yaml: cannot be read"),
        (["--space", "demo", "--set", "loss.name=best"], "--set loss.name=best"),
        (["--space", "demo", "--register", "a/b"], "--register a/b: write letters"),
        (["--space", "demo", "--register", "a", "--no-final"], "no model ships"),
        (["--from-run", "0" * 32, "--storage", "/nowhere"], "there is no MLflow store in /nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    done = train(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_is_found_with_what_is_needed_to_repeat_it(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    check(uri)
    tracker = Tracker(uri, experiment="demo", search="s", artifact_root=default_artifact_root(tmp_path))
    config = {"loss": {"name": "arcface"}, "seed": 3}
    dataset = {"name": "made", "digest": "abc", "source_type": "local", "source": '{"uri": "/data"}'}
    for key, stage in (("trial:t1", "search"), ("final:t1:2", "final"), ("baseline:dtw_1nn", "baseline")):
        tags = {"stage": stage, "trial_id": "t1", "commit": "0123"}
        tracker.start_run(key, name=key, params={}, tags=tags)
        tracker.log_dataset(key, {**dataset, "schema": "{}", "profile": "{}"}, "training")
        tracker.log_dict(key, {**config, "seed": 2} if stage == "final" else config, "config.json")
    tracker.log_metrics("trial:t1", {"val/accuracy_best": 0.75}, step=4)
    tracker.log_metrics("final:t1:2", {"test/accuracy": 0.5})
    assert tracker.close() == 0
    client = MlflowClient(uri)
    runs = {r.data.tags["key"]: r.info.run_id for r in client.search_runs([tracker.experiment_id])}

    trial, final = find_run(uri, runs["trial:t1"]), find_run(uri, runs["final:t1:2"])
    assert (trial.experiment, trial.config, trial.validation) == ("demo", config, 0.75)
    assert (trial.prepared, trial.commit, trial.data) == ("abc", "0123", Path("/data"))
    assert (trial.seed, trial.test) == (None, None)
    # A final model comes out of its trial, which says for how many epochs it is trained.
    assert (final.config, final.seed, final.test, final.validation) == (config, 2, 0.5, 0.75)
    for run_id, said in (
        (runs["baseline:dtw_1nn"], "is a baseline, which needs no training"),
        (runs["search"], f"is no trial and no final model; the best trial of it is {runs['trial:t1']}"),
        ("f" * 32, "there is no such run"),
        ("t0001", "is no run of MLflow's"),
    ):
        with pytest.raises(InputError, match=said):
            find_run(uri, run_id)


@pytest.mark.verify
@pytest.mark.timeout(1800)
def test_a_configuration_is_trained_and_a_run_of_it_done_again(tmp_path: Path) -> None:
    summary, places = tmp_path / "summary.json", ("--storage", str(tmp_path / "results"))
    fast = ("--set", "loss.name=sup_con", "--set", "data.num_auxiliary=8", "--set", "data.recordings_per_class=5")
    done = train(
        "--space", "demo", *fast, "--max-epochs", "2", "--seeds", "1", "--name", "one", *places,
        "--summary", str(summary), "--register", "one", cache=tmp_path / "prepared",
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
    again = train("--from-run", final.info.run_id, "--seeds", "1", *places, cache=tmp_path / "prepared")
    assert again.returncode == 0, again.stderr
    assert len(re.findall(rf"^run {final.info.run_id}: .* the same$", again.stdout, re.MULTILINE)) == 2, again.stdout
    assert "not the same" not in again.stdout
    assert "note: the recordings are not those" not in again.stdout
