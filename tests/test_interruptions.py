"""A search that is killed or stopped goes on: nothing is lost, nothing is done twice."""

import json
import os
import signal
from collections import Counter

import pytest
from mlflow import MlflowClient
from running import SMALL, events, start, tune, wait_for

from sldml.journal import read_history

pytestmark = pytest.mark.verify
LONGER = [*SMALL, "--trials", "6", "--max-epochs", "8", "--set", "search.scheduler=none"]


def count(journal, event):
    return sum(e["event"] == event for e in events(journal))


MOMENTS = {
    "in the search": lambda j: count(j, "trial_ended") >= 2 and count(j, "epoch") >= 20,
    "in the final models": lambda j: count(j, "final_ended") >= 1,
    "in the class folds": lambda j: len(list(j.parent.glob("folds/*/*/last.pt"))) >= 3,
}


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_a_killed_search_goes_on(moment, tmp_path):
    journal, log = tmp_path / "killed" / "journal.jsonl", tmp_path / "log"
    process = start(*LONGER, "--name", "killed", "--storage", tmp_path, log=log)
    wait_for(lambda: MOMENTS[moment](journal), process, log)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = read_history(journal)

    ended = tune("--resume", "killed", "--storage", tmp_path, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "completed"
    assert summary["trials"] == {
        "requested": 6, "completed": 6, "pruned": 0, "diverged": 0, "failed": 0, "unfinished": 0
    }  # fmt: skip

    after = read_history(journal)
    started = Counter(e["trial_id"] for e in events(journal) if e["event"] == "trial_started")
    assert set(started.values()) == {1}, "a trial was begun twice"
    for trial_id, record in before.trials.items():
        if record.state != "running":
            assert after.trials[trial_id] == record, "a finished trial was touched"
        else:
            known = len(record.epochs)
            assert after.trials[trial_id].epochs[:known] == record.epochs, "known epochs were trained again"
    for record in after.trials.values():
        assert [e["epoch"] for e in record.epochs] == list(range(1, 9))
    for key, final in before.finals.items():
        if final.state == "completed":
            assert after.finals[key] == final
    assert all(final.state == "completed" for final in after.finals.values())
    scored = Counter(e["trial_id"] for e in events(journal) if e["event"] == "folds")
    assert scored == dict.fromkeys({trial_id for trial_id, _ in after.finals}, 1), (
        "folds are wanting, or were told twice"
    )
    assert all(len(record["accuracies"]) == 5 for record in after.folds.values())
    assert count(journal, "baseline_folds") == 1

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100)
    stages = Counter(run.data.tags.get("stage", "parent") for run in runs)
    assert stages == {"parent": 1, "search": 6, "baseline": 3, "final": 4}
    for run in runs:
        if run.data.tags.get("stage") == "search":
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "val/accuracy")]
            assert steps == list(range(1, 9)), "MLflow has an epoch twice, or not at all"
            assert run.info.status == "FINISHED"


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_search_says_how_to_go_on(sent, tmp_path):
    journal, log = tmp_path / "stopped" / "journal.jsonl", tmp_path / "log"
    arguments = [*LONGER, "--name", "stopped", "--storage", tmp_path, "--summary", tmp_path / "summary.json"]
    process = start(*arguments, log=log)
    wait_for(lambda: count(journal, "epoch") >= 5, process, log)
    process.send_signal(sent)
    assert process.wait(timeout=300) == 130, log.read_text()
    assert "--resume stopped" in log.read_text()
    assert "Traceback" not in log.read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "interrupted"
    assert summary["trials"]["unfinished"] >= 1
    assert (tmp_path / "stopped" / "report.html").exists()
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100)
    assert not [run for run in runs if run.info.status == "RUNNING"], "runs are left open"


@pytest.mark.timeout(3000)
def test_a_finished_search_is_extended(tmp_path):
    """`--trials +2` adds two trials to the finished ones, and the end is made anew with the best of all."""
    first = tune(*SMALL, "--name", "more", "--storage", tmp_path, "--no-final")
    assert first.returncode == 0, first.stderr
    before = read_history(tmp_path / "more" / "journal.jsonl")
    assert not before.finals
    summary_file = tmp_path / "summary.json"
    second = tune("--resume", "more", "--trials", "+2", "--storage", tmp_path, "--summary", summary_file)
    assert second.returncode == 0, second.stdout + second.stderr
    summary = json.loads(summary_file.read_text())
    assert summary["trials"]["requested"] == 6
    after = read_history(tmp_path / "more" / "journal.jsonl")
    assert len(after.trials) == 6
    assert all(after.trials[trial_id] == record for trial_id, record in before.trials.items())
    assert [final["trial_id"] for final in summary["final"]] == [r.trial_id for r in after.ranked()[:2]]


@pytest.mark.timeout(2400)
def test_a_time_budget_leaves_trials_unfinished_and_still_ends(tmp_path):
    arguments = [
        *SMALL,
        "--max-epochs",
        "10000",
        "--set",
        "search.scheduler=none",
        "--time-budget",
        "45s",
        "--no-final",
    ]
    ended = tune(*arguments, "--name", "short", "--storage", tmp_path, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["trials"]["unfinished"] >= 1
    assert summary["trials"]["completed"] == summary["trials"]["pruned"] == 0
    assert "to go on: " in ended.stdout
