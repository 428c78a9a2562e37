"""What happens is told to the journal first, then to the watcher and to tracking; each run once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.trackers import FakeTracker, NullTracker

from sldml.config.trial import TrialConfig
from sldml.journal import History, Journal, read_history
from sldml.search.recorder import Recorder, dataset_of

CONFIG = TrialConfig.model_validate({"loss": {"name": "arcface"}}).to_dict()
NORMALIZE = {"center": "every_frame", "scale": "torso", "view": "as_recorded"}
TAGS = {"dataset": "synthetic", "commit": "abc"}


class Told:
    """A watcher that remembers, and what the history held when it was told."""

    def __init__(self, tracker: FakeTracker) -> None:
        self.events: list[str] = []
        self.states: list[dict[str, str]] = []
        self._tracker = tracker
        self.calls_before: list[int] = []

    def happened(self, event: dict[str, Any], history: History) -> None:
        self.events.append(event["event"])
        self.states.append({trial_id: trial.state for trial_id, trial in history.trials.items()})
        self.calls_before.append(len(self._tracker.calls))


class Search:
    def __init__(self, path: Path, history: History | None = None) -> None:
        self.path = path
        self.tracker = FakeTracker(path)
        self.watcher = Told(self.tracker)
        self.recorder = Recorder(Journal(path), history or History(), self.tracker, self.watcher, TAGS)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.path.read_text().splitlines()]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path / "journal.jsonl")


def result(epoch: int, best: float, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "val/accuracy_best": best, **more}


def test_record_writes_tells_and_returns(search: Search):
    event = search.recorder.record("stage", stage="trials", state="started")
    assert (event["event"], event["stage"]) == ("stage", "trials")
    assert search.recorder.history.stages == [{k: v for k, v in event.items() if k != "event"}]
    assert search.watcher.events == ["stage"]
    assert search.tracker.calls == []


def test_a_trial_from_start_to_end(search: Search):
    recorder = search.recorder
    recorder.trial_started("t0", {"optimizer.lr": 0.1}, CONFIG)
    recorder.epoch("t0", result(1, 0.5, **{"train/loss": 2.0}))
    recorder.trial_ended("t0", "completed")
    assert search.events() == ["trial_started", "epoch", "trial_ended"]
    assert search.watcher.events == search.events()
    # The journal had the event each time before tracking heard of it.
    order = [
        (method, event) for (method, _, _), event in zip(search.tracker.calls, search.tracker.last_events, strict=True)
    ]
    assert order == [
        ("start_run", "trial_started"),
        ("log_dict", "trial_started"),
        ("log_dataset", "trial_started"),
        ("log_metrics", "epoch"),
        ("end_run", "trial_ended"),
    ]
    assert search.watcher.calls_before == [0, 3, 4]
    assert search.watcher.states == [{"t0": "running"}, {"t0": "running"}, {"t0": "completed"}]


def test_the_run_of_a_trial_has_its_tags_and_parameters(search: Search):
    search.recorder.trial_started("t0", {"optimizer.lr": 0.1}, CONFIG)
    ((method, key, run), (_, _, config), (_, _, dataset)) = search.tracker.calls
    assert (method, key, run["name"]) == ("start_run", "trial:t0", "t0")
    assert run["tags"] == {
        **TAGS,
        "loss": "arcface",
        "miner": "none",
        "encoder": "small_cnn",
        "stage": "search",
        "state": "running",
        "trial_id": "t0",
    }
    assert run["params"] == TrialConfig.model_validate(CONFIG).dotted()
    assert run["started"] == search.recorder.history.trials["t0"].started
    assert config == {"value": CONFIG, "file": "config.json"}
    assert dataset["context"] == "training"


def test_the_accuracy_of_each_validation_class_is_that_of_the_best_epoch(search: Search):
    search.recorder.history.search = {"split": {"validation_classes": ["a", "b"]}}
    search.recorder.trial_started("t0", {}, CONFIG)
    for epoch, right in ((1, [2.0, 2.5]), (2, [1.0, 4.0]), (3, [2.0, 2.0])):
        told = {"val/right_per_class": right, "val/queries_per_class": [4, 5]}
        search.recorder.epoch("t0", result(epoch, 0.5 if epoch == 1 else 0.6, **told))
    search.recorder.trial_ended("t0", "completed")
    assert search.tracker.told("log_accuracies", "trial:t0") == [
        {"labels": ["a", "b"], "right": [1.0, 4.0], "queries": [4, 5], "file": "validation_per_class.json"}
    ]


def test_the_dataset_says_what_the_recordings_are():
    history = History()
    history.search = {
        "data": "/data",
        "prepared": {"source": "UTD-MHAD (skeleton)", "hash": "abc", "num_recordings": 861, "num_rows": 20},
        "split": {"train_classes": ["a1"], "validation_classes": ["a2"], "num_novel_classes": 4},
    }
    dataset = dataset_of(history)
    assert (dataset["name"], dataset["digest"]) == ("UTD-MHAD (skeleton)", "abc")
    assert (dataset["source_type"], json.loads(dataset["source"])) == ("local", {"uri": "/data"})
    assert json.loads(dataset["profile"])["recordings"] == 861
    (feature,) = json.loads(json.loads(dataset["schema"])["mlflow_tensorspec"]["features"])
    assert feature["tensor-spec"] == {"dtype": "float32", "shape": [-1, 20, 3]}


@pytest.mark.parametrize(
    ("state", "status"),
    [("completed", "FINISHED"), ("pruned", "FINISHED"), ("diverged", "FAILED"), ("failed", "FAILED")],
)
def test_the_states_in_which_a_trial_ends(search: Search, state: Any, status: str):
    search.recorder.trial_started("t0", {}, CONFIG)
    search.recorder.trial_ended("t0", state, "why" if state == "failed" else None)
    tags = {"state": state, "error": "why"} if state == "failed" else {"state": state}
    assert search.tracker.told("end_run") == [{"status": status, "tags": tags}]
    assert read_history(search.path).trials["t0"].state == state


def test_an_interrupted_trial_stays_unfinished_in_the_journal(search: Search):
    search.recorder.trial_started("t0", {}, CONFIG)
    search.recorder.trial_ended("t0", "running")
    assert search.events() == ["trial_started"]
    assert read_history(search.path).trials["t0"].state == "running"
    assert search.tracker.told("end_run") == [{"status": "KILLED", "tags": {"state": "interrupted"}}]


def test_a_resumed_trial_is_started_in_the_journal_only_once(search: Search):
    search.recorder.trial_started("t0", {"optimizer.lr": 0.1}, CONFIG)
    search.recorder.epoch("t0", result(1, 0.5))
    started = search.recorder.history.trials["t0"].started

    again = Search(search.path, read_history(search.path))
    again.recorder.trial_started("t0", {"optimizer.lr": 0.1}, CONFIG)
    again.recorder.epoch("t0", result(2, 0.6))
    assert again.events() == ["trial_started", "epoch", "epoch"]
    assert again.watcher.events == ["epoch"]
    (run,) = again.tracker.told("start_run", "trial:t0")  # tracking finds the run by its key again
    assert run["started"] == started
    assert [e["epoch"] for e in read_history(search.path).trials["t0"].epochs] == [1, 2]


def test_an_epoch_keeps_the_trials_own_numbers(search: Search):
    search.recorder.trial_started("t0", {}, CONFIG)
    search.recorder.epoch(
        "t0",
        result(
            1,
            0.5,
            **{
                "train/loss": float("nan"),
                "time/step_s": 1.5,
                "images_per_s": 9.0,
                "training_iteration": 1,
                "pid": 77,
                "config": {"seed": 0},
            },
        ),
    )
    (kept,) = read_history(search.path).trials["t0"].epochs
    assert set(kept) == {"epoch", "val/accuracy_best", "time/step_s", "images_per_s", "time"}
    (logged,) = search.tracker.told("log_metrics", "trial:t0")
    assert logged["metrics"] == {"val/accuracy_best": 0.5, "time/step_s": 1.5, "images_per_s": 9.0}
    assert (logged["step"], logged["time"]) == (1, kept["time"])


def finals(*configurations: tuple[str, list[int], list[float]]) -> dict[str, Any]:
    return {
        "finals": [
            {
                "trial_id": trial_id,
                "seeds": seeds,
                "test_accuracy": {"mean": sum(values) / len(values), "values": values},
                "confusions": [{"labels": ["a"], "matrix": [[seed]]} for seed in seeds],
            }
            for trial_id, seeds, values in configurations
        ],
        "confusion": {"labels": ["a"], "matrix": [[7]]},
        "embedding_map": {"method": "t-SNE", "points": [{"name": "x"}]},
        "per_class": {"a": 0.5},
        "shipped": {"kind": "trained"},
    }


def test_final_runs_are_closed_after_the_sealed_test(search: Search):
    recorder = search.recorder
    for seed in (0, 1):
        recorder.final_started("t0", seed, CONFIG)
        recorder.final_epoch("t0", seed, {"epoch": 1, "train/loss": 1.0})
        recorder.final_ended("t0", seed, "completed")
    assert search.tracker.told("end_run") == []
    starts = search.tracker.told("start_run")
    assert [run["name"] for run in starts] == ["final t0 seed 0", "final t0 seed 1"]
    assert [(run["tags"]["stage"], run["tags"]["trial_id"]) for run in starts] == [("final", "t0")] * 2

    recorder.test(finals(("t0", [0, 1], [0.7, 0.8])))
    assert search.events()[-1] == "test"
    for seed, accuracy in ((0, 0.7), (1, 0.8)):
        calls = [(m, f) for m, key, f in search.tracker.calls if key == f"final:t0:{seed}"][-4:]
        assert calls == [
            ("log_metrics", {"metrics": {"test/accuracy": accuracy}}),
            ("set_tags", {"tags": {"place": "1"}}),
            ("log_confusion", {"labels": ["a"], "matrix": [[seed]]}),
            ("end_run", {"status": "FINISHED", "tags": {"state": "completed"}}),
        ]
    of_search = [(method, fields) for method, key, fields in search.tracker.calls if key is None]
    assert ("log_metrics", {"metrics": {"test/accuracy": pytest.approx(0.75)}}) in of_search
    assert ("log_confusion", {"labels": ["a"], "matrix": [[7]]}) in of_search
    assert ("log_map", {"points": [{"name": "x"}], "title": "Recordings of new classes (t-SNE)"}) in of_search


def test_places_are_those_of_validation_not_of_the_test(search: Search):
    search.recorder.test(finals(("t5", [0], [0.5]), ("t2", [0], [0.9])))
    tags = {key: fields["tags"]["place"] for method, key, fields in search.tracker.calls if method == "set_tags"}
    assert tags == {"final:t5:0": "1", "final:t2:0": "2"}
    assert search.tracker.told("log_metrics", None)[-1]["metrics"] == {"test/accuracy": 0.5}


def test_a_final_run_that_failed_is_closed_at_once(search: Search):
    search.recorder.final_started("t0", 0, CONFIG)
    search.recorder.final_ended("t0", 0, "failed", "out of memory")
    assert search.tracker.told("end_run", "final:t0:0") == [
        {"status": "FAILED", "tags": {"state": "failed", "error": "out of memory"}}
    ]
    assert read_history(search.path).finals["t0", 0].error == "out of memory"


def test_an_interrupted_final_run_is_started_once_and_goes_on(search: Search):
    search.recorder.final_started("t0", 0, CONFIG)
    search.recorder.final_ended("t0", 0, "running")
    search.recorder.final_started("t0", 0, CONFIG)
    assert search.events() == ["final_started"]
    assert len(search.tracker.told("start_run", "final:t0:0")) == 2
    assert search.tracker.told("end_run")[0]["status"] == "KILLED"


def baseline(test: float | None) -> dict[str, Any]:
    best = {"val": 0.6, "val_std": 0.04, "test": test, "normalize": NORMALIZE, "encoder": None}
    other = {
        "val": 0.5,
        "val_std": 0.02,
        "test": None,
        "normalize": {"center": "none"},
        "encoder": {"name": "small_cnn"},
    }
    return {**best, "candidates": [other, best]}


def test_baselines_are_told_on_validation_and_again_with_the_test(search: Search):
    search.recorder.baselines({"dtw_1nn": baseline(None)})
    search.recorder.baselines({"dtw_1nn": baseline(0.55)})
    assert search.events() == ["baselines", "baselines"]
    assert read_history(search.path).baselines["dtw_1nn"]["test"] == 0.55
    key = "baseline:dtw_1nn"
    assert [name for name, of, _ in search.tracker.calls if of == key] == [
        "start_run",
        "log_dataset",
        "log_metrics",
        "end_run",
    ] * 2
    first, second = search.tracker.told("log_metrics", key)
    assert first["metrics"] == {"val/accuracy_best": 0.6, "val/accuracy_std": 0.04}
    assert second["metrics"] == first["metrics"] | {"test/accuracy": 0.55}
    run = search.tracker.told("start_run", key)[0]
    tags = {**TAGS, "stage": "baseline", "state": "completed", "baseline": "dtw_1nn"}
    assert run["tags"] == {**tags, "stands": "true"}
    assert run["params"] == {"baseline": "dtw_1nn", **{f"normalize.{name}": v for name, v in NORMALIZE.items()}}
    other = search.tracker.told("start_run", "baseline:dtw_1nn:0")[0]
    assert other["tags"] == {**tags, "stands": "false", "encoder": "small_cnn"}
    assert other["params"] == {"baseline": "dtw_1nn", "normalize.center": "none", "encoder.name": "small_cnn"}
    told = search.tracker.told("log_metrics", "baseline:dtw_1nn:0")
    assert [call["metrics"] for call in told] == [{"val/accuracy_best": 0.5, "val/accuracy_std": 0.02}] * 2


def free(name: str, *accuracies: float) -> dict[str, Any]:
    return {"baseline": name, "normalize": NORMALIZE, "encoder": None, "accuracies": list(accuracies)}


def test_class_folds_go_to_the_journal_and_to_the_runs_of_trials_and_baselines(search: Search):
    search.recorder.baseline_folds(2, [free("dtw_1nn", 0.5, 0.7), free("dtw_1nn", 0.6, 0.8), free("raw_1nn", 0.4, 0.4)])
    search.recorder.folds("t0", num_epochs=4, num_folds=2, accuracies=[0.5, 0.6])
    search.recorder.folds("t1", num_epochs=4, num_folds=2, accuracies=None, error="fold 2: boom")
    assert search.events() == ["baseline_folds", "folds", "folds"]
    history = read_history(search.path)
    assert history.has_folds("t0", 4, 2)
    assert history.folds["t1"]["error"] == "fold 2: boom"
    expected = {
        # The better of the two normalisations stands for DTW.
        "baseline:dtw_1nn": (0, {"folds/accuracy": pytest.approx(0.7), "folds/accuracy_std": pytest.approx(0.02**0.5)}),
        "baseline:raw_1nn": (0, {"folds/accuracy": pytest.approx(0.4), "folds/accuracy_std": 0.0}),
        "trial:t0": (4, {"folds/accuracy": pytest.approx(0.55), "folds/accuracy_std": pytest.approx(0.005**0.5)}),
    }
    told = {key: (f["step"], f["metrics"]) for m, key, f in search.tracker.calls if m == "log_metrics"}
    assert told == expected
    search.tracker.calls[:] = []
    search.recorder.replay()
    assert {key: (f["step"], f["metrics"]) for m, key, f in search.tracker.calls if m == "log_metrics"} == expected


def test_without_tracking_the_journal_is_the_same(tmp_path: Path, search: Search):
    path = tmp_path / "other.jsonl"
    recorder = Recorder(Journal(path), History(), NullTracker(), search.watcher, TAGS)
    for each in (recorder, search.recorder):
        each.trial_started("t0", {"seed": 1}, CONFIG)
        each.epoch("t0", result(1, 0.5))
        each.trial_ended("t0", "pruned")
        each.baselines({"raw_1nn": baseline(0.4)})
        each.final_started("t0", 0, CONFIG)
        each.final_ended("t0", 0, "completed")
        each.test(finals(("t0", [0], [0.7])))

    def timeless(file: Path) -> list[dict[str, Any]]:
        return [json.loads(line) | {"time": 0} for line in file.read_text().splitlines()]

    assert timeless(path) == timeless(search.path)
    assert len(timeless(path)) == 7


def test_a_resumed_search_hands_tracking_what_a_killed_driver_had_not_written(search: Search):
    recorder = search.recorder
    recorder.trial_started("t0", {"optimizer.lr": 0.1}, CONFIG)
    recorder.epoch("t0", result(1, 0.5))
    recorder.trial_ended("t0", "completed")
    recorder.trial_started("t1", {}, CONFIG)
    recorder.epoch("t1", result(1, 0.4))
    recorder.final_started("t0", 3, CONFIG)
    recorder.final_ended("t0", 3, "diverged")
    written = search.events()
    before, search.tracker.calls[:] = list(search.tracker.calls), []

    recorder.replay()
    assert search.events() == written, "a replay is nothing new"
    for key in ("trial:t0", "trial:t1", "final:t0:3"):
        assert search.tracker.told("start_run", key) == [f for m, k, f in before if (m, k) == ("start_run", key)]
        assert search.tracker.told("log_metrics", key) == [f for m, k, f in before if (m, k) == ("log_metrics", key)]
    ends = {key: (f["status"], f["time"]) for m, key, f in search.tracker.calls if m == "end_run"}
    history = read_history(search.path)
    assert ends == {
        "trial:t0": ("FINISHED", history.trials["t0"].ended),
        "final:t0:3": ("FAILED", history.finals["t0", 3].ended),
    }
