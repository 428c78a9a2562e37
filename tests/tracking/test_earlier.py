"""A run of an earlier search is found with what is needed to repeat it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.made_events import CONFIG, made_events
from support.made_history import search_begun
from support.tracked import TrackedSearch

from sldml.errors import InputError
from sldml.tracking import default_uri
from sldml.tracking.earlier import find_run


def test_a_run_is_found_with_what_is_needed_to_repeat_it(storage: Path) -> None:
    uri = default_uri(storage)
    search = TrackedSearch(storage, search_begun(name="demo-1", data="/data", prepared={"hash": "abc"}))
    tracker = search.tracked([search.begun, *made_events()[1:-1]])
    runs = {key: run.info.run_id for key, run in search.runs(tracker).items()}
    config = CONFIG

    trial, final = find_run(uri, runs["trial:t1"]), find_run(uri, runs["final:t1:1"])
    assert (trial.experiment, trial.config, trial.validation) == ("demo", config, 0.6)
    assert (trial.prepared, trial.commit, trial.data) == ("abc", search.begun.environment.commit, Path("/data"))
    assert (trial.seed, trial.test) == (None, None)
    # A final model comes out of its trial, which says for how many epochs it is trained.
    assert (final.config, final.seed, final.test, final.validation) == (config, 1, 0.7, 0.6)
    for run_id, said in (
        (
            next(runs[key] for key in runs if key.startswith("baseline:dtw_1nn:")),
            "is a baseline, which needs no training",
        ),
        (runs["search"], f"is neither a trial nor a final model; the best trial of it is {runs['trial:t1']}"),
        ("f" * 32, "no such run"),
        ("t0001", "is not an MLflow run ID"),
    ):
        with pytest.raises(InputError, match=said):
            find_run(uri, run_id)
