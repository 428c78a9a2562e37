"""A run of an earlier search is found with what is needed to repeat it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from sldml.errors import InputError
from sldml.tracking import Tracker, default_artifact_root, default_uri
from sldml.tracking.earlier import find_run


def test_a_run_is_found_with_what_is_needed_to_repeat_it(storage: Path) -> None:
    uri = default_uri(storage)
    tracker = Tracker(uri, experiment="demo", search="s", artifact_root=default_artifact_root(storage))
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
        (runs["search"], f"is neither a trial nor a final model; the best trial of it is {runs['trial:t1']}"),
        ("f" * 32, "no such run"),
        ("t0001", "is not an MLflow run ID"),
    ):
        with pytest.raises(InputError, match=said):
            find_run(uri, run_id)
