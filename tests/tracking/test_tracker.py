"""A tracker follows the journal of a search: what is in the journal is in the store, once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from support.made_events import made_events, trial_events
from support.made_history import START, search_begun
from support.made_searches import write_journal
from support.tracked import TrackedSearch

from sldml.journal import (
    AttemptBegun,
    AttemptEnded,
    FinalEnded,
    FinalStarted,
    TrialEpoch,
    TrialStarted,
    find_search,
)
from sldml.tracking import TrackingError, check, default_artifact_root, default_uri, track

START_MS = int(1000 * START)


def test_a_whole_search_is_in_the_store(storage: Path) -> None:
    search = TrackedSearch(storage)
    (search.folder / "report.html").write_text("<p>report</p>")
    events = [event for event in made_events() if not isinstance(event, AttemptEnded)]
    tracker = search.tracked([search.begun, *events[1:]])
    runs = search.runs(tracker)
    baselines = {run.info.run_name: run for key, run in runs.items() if key.startswith("baseline:")}
    assert set(baselines) == {"raw_1nn 1", "dtw_1nn 2", "dtw_1nn 3", "untrained 4"}
    assert {key for key in runs if not key.startswith("baseline:")} == {
        *("search", "trial:t1", "trial:t2", "final:t1:1"),
    }
    trial = runs["trial:t1"]
    assert (trial.info.run_name, trial.info.status) == ("t1", "FINISHED")
    assert (trial.info.start_time, trial.info.end_time) == (START_MS, START_MS + 3500)
    assert trial.data.params["optimizer.lr"] == "0.001"
    assert {trial.data.tags[k] for k in ("stage", "state", "loss", "dataset")} == {
        *("search", "completed", "arcface", "synthetic"),
    }
    history = search.client.get_metric_history(trial.info.run_id, "val/accuracy")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (1, 0.5, START_MS + 1000),
        (2, 0.7, START_MS + 2000),
        (3, 0.6, START_MS + 3000),
    ]
    assert trial.data.metrics["folds/accuracy"] == pytest.approx(0.7)
    each = search.client.get_metric_history(trial.info.run_id, "folds/accuracy_each")
    assert [(m.step, m.value) for m in each] == [(1, 0.6), (2, 0.8)]
    assert baselines["dtw_1nn 3"].data.metrics["folds/accuracy"] == pytest.approx(0.55)
    assert runs["trial:t2"].info.status == "FAILED"
    assert runs["final:t1:1"].data.metrics["test/accuracy"] == 0.7
    assert baselines["dtw_1nn 3"].data.tags["stands"] == "true"
    assert baselines["dtw_1nn 2"].data.tags["stands"] == "false"
    assert baselines["dtw_1nn 3"].data.metrics["test/accuracy"] == pytest.approx(0.5)
    assert runs["search"].data.tags["ships"] == "t1"
    assert runs["search"].data.metrics["ships/better_than_baseline"] == 0.98
    assert "ships/better_than_default" not in runs["search"].data.metrics
    files = {file.path for file in search.client.list_artifacts(tracker.run_id)}
    assert {"confusion.png", "confusion_table.json", "per_class.json", "space.yaml", "search.json"} <= files
    assert runs["search"].info.status == "RUNNING"

    shipped = next(e for e in events if e.event == "test").results.shipped
    assert runs["search"].data.metrics["test/accuracy"] == shipped.accuracy
    tracker = search.tracked(
        [AttemptEnded(state="failed", artifacts=({"path": "report.html"},), time=START + 20)],
    )
    run = search.runs(tracker)["search"]
    assert (run.info.status, run.data.tags["state"], run.info.end_time) == ("FAILED", "failed", START_MS + 20_000)
    folder = storage / "mlflow-artifacts" / tracker.run_id / "artifacts"
    assert (folder / "report.html").read_text() == "<p>report</p>"
    assert json.loads((storage / "mlflow-artifacts" / trial.info.run_id / "artifacts" / "config.json").read_text())


def dump(storage: Path) -> list[object]:
    client = MlflowClient(default_uri(storage))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return sorted(
        (
            run.info.run_id, run.info.status, run.info.start_time, run.info.end_time,
            sorted(run.data.params.items()), sorted(run.data.tags.items()),
            [
                [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
                for name in sorted(run.data.metrics)
            ],
        )
        for run in runs
    )  # fmt: skip


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_search_that_is_tested_again_has_its_last_accuracy(storage: Path, in_parts: bool) -> None:
    """An extended search has a second sealed test."""
    search = TrackedSearch(storage)
    events = [event for event in made_events() if not isinstance(event, AttemptEnded)]
    first = next(event for event in events if event.event == "test")
    shipped = first.results.shipped.model_copy(update={"accuracy": 0.25})
    results = first.results.model_copy(update={"shipped": shipped})
    events, again = [search.begun, *events[1:]], [first.model_copy(update={"results": results, "time": START + 30})]
    tracker = search.tracked(events if in_parts else events + again)
    if in_parts:
        tracker = search.tracked(again)
    run = search.runs(tracker)["search"]
    assert run.data.metrics["test/accuracy"] == 0.25
    assert search.steps(run, "test/accuracy") == [0, 1]


@pytest.mark.parametrize("cursors", ["kept", "lost", "of another store"])
def test_a_search_sent_twice_changes_nothing(storage: Path, cursors: str) -> None:
    """Also where the cursor was lost, or is of a store whose URI is shown alike, so that all of it is sent again."""
    search = TrackedSearch(storage)
    # Without a shipped model: its folder is missing here.
    events = [search.begun, *made_events()[1:-2], AttemptEnded(state="interrupted", time=START + 20)]
    search.tracked(events)
    before = dump(storage)
    for cursor in search.folder.glob("tracking-*.json"):
        if cursors == "lost":
            cursor.unlink()
        elif cursors == "of another store":
            cursor.write_text(json.dumps({**json.loads(cursor.read_text()), "run": "0" * 32}))
    sent = track(
        find_search("demo-1", storage),
        default_uri(storage),
        artifact_root=default_artifact_root(storage),
        timeout_s=60,
    )
    assert sent.to_json() == {"written": 0 if cursors == "kept" else len(events), "waiting": 0, "refused": 0}
    assert dump(storage) == before


def test_a_killed_search_sent_to_a_store_is_closed_there(storage: Path) -> None:
    search = TrackedSearch(storage)
    search.write([search.begun, *made_events()[1:6], *trial_events("t1", 0.5, state="running")])
    for _ in range(2):
        sent = track(
            find_search("demo-1", storage),
            default_uri(storage),
            artifact_root=default_artifact_root(storage),
            timeout_s=60,
        )
        runs = search.runs(sent)
        assert runs["search"].info.status == runs["trial:t1"].info.status == "KILLED"
        assert runs["trial:t1"].data.tags["state"] == "interrupted"
        assert runs["search"].info.end_time == int(1000 * (START + 1))


def test_a_final_model_that_was_not_tested_leaves_no_open_run(storage: Path) -> None:
    search = TrackedSearch(storage)
    config = trial_events("t1", 0.5)[0].config  # type: ignore[union-attr]
    final = [
        FinalStarted(trial_id="t1", seed=1, config=config, time=START),
        FinalEnded(trial_id="t1", seed=1, state="completed", time=START + 2),
    ]
    tracker = search.tracked([search.begun, *trial_events("t1", 0.5), *final])
    assert search.runs(tracker)["final:t1:1"].info.status == "RUNNING"
    tracker = search.tracked([AttemptEnded(state="interrupted", time=START + 9)])
    run = search.runs(tracker)["final:t1:1"]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "completed")
    assert run.info.end_time == int(1000 * (START + 2))


def test_an_interrupted_trial_goes_on_in_its_run(storage: Path) -> None:
    search = TrackedSearch(storage)
    attempt = AttemptBegun(settings=search.begun.settings, slots=1, environment=search.begun.environment)
    first = search.tracked(
        [search.begun, attempt, *trial_events("t1", 0.5, 0.6, state="running"), AttemptEnded(state="interrupted")]
    )
    assert search.runs(first)["trial:t1"].info.status == "KILLED"

    repeated = [e for e in trial_events("t1", 0.5, 0.6, 0.7)[2:] if not isinstance(e, TrialStarted)]
    second = search.tracked([attempt, *repeated[:-1]])
    assert (second.experiment_id, second.run_id) == (first.experiment_id, first.run_id)
    run = search.runs(second)["trial:t1"]
    assert (run.info.status, run.data.tags["state"]) == ("RUNNING", "running")
    assert search.steps(run, "val/accuracy") == [1, 2, 3]
    third = search.tracked(repeated[-1:])
    assert search.runs(third)["trial:t1"].data.tags["state"] == "completed"


def test_searches_of_one_name_have_runs_of_their_own(storage: Path) -> None:
    one, two = TrackedSearch(storage, name="one"), TrackedSearch(storage, name="two")
    two.begun = two.begun.model_copy(update={"name": "one"})
    first, second = one.tracked([one.begun]), two.tracked([two.begun])
    assert first.experiment_id == second.experiment_id
    assert first.run_id != second.run_id
    assert one.tracked().run_id == first.run_id


def test_more_metrics_and_parameters_than_a_call_takes(storage: Path) -> None:
    search = TrackedSearch(storage)
    config = {"train": {"max_epochs": 300}, "many": {f"p{i}": i for i in range(250)}}
    wide = {f"wide{i}": float(i) for i in range(1200)}
    epochs = [
        TrialEpoch(trial_id="t0", epoch=e, metrics={"val/accuracy": 0.5, **(wide if e == 300 else {})})
        for e in range(1, 301)
    ]
    tracker = search.tracked([search.begun, TrialStarted(trial_id="t0", params={}, config=config), *epochs])
    run = search.runs(tracker)["trial:t0"]
    assert len(run.data.params) == 251
    assert len(run.data.metrics) == 1201
    assert search.steps(run, "val/accuracy") == list(range(1, 301))


def test_names_and_values_that_mlflow_does_not_take_are_cut(storage: Path) -> None:
    search = TrackedSearch(storage)
    config = {"long": "x" * 10_000, "odd<h>": 1}
    epoch = TrialEpoch(trial_id="t0", epoch=1, metrics={"val/accuracy": 0.5, "acc<b>": 0.5})
    tracker = search.tracked([search.begun, TrialStarted(trial_id="t0", params={}, config=config), epoch])
    run = search.runs(tracker)["trial:t0"]
    assert run.data.params["long"].endswith("(cut, 10000 characters)")
    assert run.data.params["odd_h_"] == "1"
    assert run.data.metrics["acc_b_"] == 0.5


def test_one_process_tracks_a_search_to_a_store(storage: Path) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracker()
    with pytest.raises(TrackingError, match="another process tracks search demo-1"):
        search.tracker()
    tracker.close()
    search.tracked()
    assert not [each for each in threading.enumerate() if each.name == "mlflow-tracker"]


def test_a_deleted_experiment_is_reported(storage: Path) -> None:
    search = TrackedSearch(storage)
    tracker = search.tracked([search.begun])
    search.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="experiments restore -x"):
        search.tracker()


@pytest.mark.verify
def test_two_processes_start_on_one_new_store(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from sldml.journal import find_search\n"
        "from sldml.tracking import check, track\n"
        f"uri, root = {uri!r}, Path({str(tmp_path)!r})\n"
        "check(uri)\n"
        "tracker = track(find_search(sys.argv[1], root), uri, artifact_root=root / 'artifacts', timeout_s=60)\n"
        "sys.exit(tracker.num_waiting)"
    )
    from support.made_history import made_history

    for name in "ab":
        history = made_history(2, final=False)
        history.begun = search_begun(name=name)
        write_journal(tmp_path / name, history)
    started = [subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE) for name in "ab"]
    ended = [(process.wait(300), process.stderr.read() if process.stderr else b"") for process in started]
    assert ended == [(0, b""), (0, b"")]
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert [run.data.tags["stage"] for run in runs if "stage" in run.data.tags].count("search") == 4


@pytest.mark.verify
def test_check_makes_the_database_and_prints_nothing(tmp_path: Path) -> None:
    uri = default_uri(tmp_path / "deep" / "er")
    code = f"from sldml.tracking import check\ncheck({uri!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "deep" / "er" / "mlflow.db").stat().st_size > 0
    check(uri)
