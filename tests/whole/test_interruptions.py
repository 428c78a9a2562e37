"""A search that is killed or stopped goes on: nothing is lost, nothing is done twice."""

import json
import os
import signal
from collections import Counter

import pytest
import torch
from mlflow import MlflowClient
from support.running import SMALL, events, start, tune, wait_for

from sldml.commands.request import earlier_settings
from sldml.config.space_file import override, parse_space
from sldml.journal import ALL, read_history
from sldml.search.searcher import Proposals
from sldml.training.checkpoints import CheckpointFile

pytestmark = pytest.mark.verify
LONGER = [*SMALL, "--trials", "6", "--max-epochs", "8", "--concurrent", "2", "--set", "search.scheduler=none"]
EVERY_EPOCH = list(range(1, 9))


def count(journal, event, **fields):
    return sum(e["event"] == event and fields.items() <= e.items() for e in events(journal))


MOMENTS = {
    "while the baselines are scored": lambda j: count(j, "stage", name="baselines", state="started") == 1,
    "in the first trials": lambda j: count(j, "epoch") >= 3,
    "late in the search": lambda j: count(j, "trial_ended") >= 3 and count(j, "epoch") >= 28,
    "in the final models": lambda j: count(j, "final_ended") >= 1,
    "in the class folds": lambda j: len(list(j.parent.glob("folds/*/*/last.pt"))) >= 3,
    "in the sealed test": lambda j: count(j, "stage", name="test", state="started") >= 1,
}


def kill(process):
    """End the driver and whatever it has started in its group, with no time for a last word."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def checkpointed_epochs(folder):
    """How many epochs the last checkpoint in a folder knows."""
    saved = CheckpointFile(str(folder)).load(torch.device("cpu"))
    return 0 if saved is None else len(saved["history"])


def assert_nothing_lost(before, checkpointed, after):
    """`after` is a later state of the same search: what had ended is as it was, what had not goes on from there.

    Epochs beyond a trial's last checkpoint are trained again, to the same values.
    """
    for trial_id, record in before.trials.items():
        if record.state != "running":
            assert after.trials[trial_id] == record, "a finished trial was touched"
            continue
        known = min(len(record.epochs), checkpointed[trial_id])
        assert after.trials[trial_id].epochs[:known] == record.epochs[:known], "known epochs were trained again"
        assert after.trials[trial_id].params == record.params
        values = [
            [e["val/accuracy"] for e in trial.epochs[: len(record.epochs)]]
            for trial in (record, after.trials[trial_id])
        ]
        if len(values[1]) == len(values[0]):
            assert values[1] == values[0], "epochs that were trained again came out otherwise"
    for key, final in before.finals.items():
        if final.state == "completed":
            assert after.finals[key] == final, "a finished final model was touched"
    for trial_id, folds in before.folds.items():
        assert after.folds[trial_id] == folds, "folds were scored again"


def assert_study_has(history, folder):
    """The sampler that a resumed search begins with knows every ended trial, and hands out the others first."""
    earlier = earlier_settings(folder)
    space = override(parse_space(earlier.space_text, earlier.space_name, "the journal's"), earlier.overrides)
    records = list(history.trials.values())
    searcher = Proposals({ALL: space}, earlier={ALL: records}, num_trials=len(records))
    ended = {r.trial_id: r for r in records if r.state != "running"}
    told = [(trial.params, trial.value) for trial in searcher.studies[ALL].trials]
    assert told == [(r.params, r.value) for r in ended.values()]
    unfinished = [r.trial_id for r in records if r.state == "running"]
    assert [searcher.suggest(f"tune{i}")["trial_id"] for i in range(len(unfinished))] == unfinished
    fresh = searcher.suggest("another")
    assert fresh["trial_id"] not in history.trials
    assert fresh["params"] not in [r.params for r in records]


@pytest.mark.timeout(5400)
def test_a_search_that_is_killed_again_and_again_goes_on(tmp_path):
    """One search, killed at each of the moments and resumed each time."""
    folder, log = tmp_path / "killed", tmp_path / "log"
    journal = folder / "journal.jsonl"
    command = [*LONGER, "--name", "killed"]
    states, interrupted_with_checkpoint = [], 0
    for moment, has_come in MOMENTS.items():
        process = start(*command, "--storage", tmp_path, log=log)
        wait_for(lambda has_come=has_come: has_come(journal), process, log)
        kill(process)
        history = read_history(journal)
        assert history.test is None, f"{moment}: the search was over before it was killed"
        checkpointed = {t: checkpointed_epochs(folder / "trials" / t) for t in history.trials}
        running = [t for t, record in history.trials.items() if record.state == "running"]
        interrupted_with_checkpoint += sum(checkpointed[t] > 0 for t in running)
        for before, known in states:
            assert_nothing_lost(before, known, history)
        assert_study_has(history, folder)
        states.append((history, checkpointed))
        command = ["--resume", "killed"]
    assert interrupted_with_checkpoint >= 2, "no trial was caught with a checkpoint: nothing was tried"

    ended = tune("--resume", "killed", "--storage", tmp_path, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "completed"
    assert summary["trials"] == {
        "requested": 6, "completed": 6, "pruned": 0, "diverged": 0, "failed": 0, "unfinished": 0
    }  # fmt: skip

    after = read_history(journal)
    for before, known in states:
        assert_nothing_lost(before, known, after)
    assert len(after.attempts) == len(MOMENTS) + 1
    started = Counter(e["trial_id"] for e in events(journal) if e["event"] == "trial_started")
    assert started == dict.fromkeys(after.trials, 1), "a trial was begun twice"
    assert len({json.dumps(record.params, sort_keys=True) for record in after.trials.values()}) == 6
    for record in after.trials.values():
        assert [e["epoch"] for e in record.epochs] == EVERY_EPOCH
    assert len(after.finals) == 4
    assert all(final.state == "completed" for final in after.finals.values())
    assert set(
        Counter((e["trial_id"], e["seed"]) for e in events(journal) if e["event"] == "final_ended").values()
    ) == {1}
    scored = Counter(e["trial_id"] for e in events(journal) if e["event"] == "folds")
    assert scored == dict.fromkeys({trial_id for trial_id, _ in after.finals}, 1), (
        "folds are wanting, or were told twice"
    )
    assert all(len(record["accuracies"]) == 5 for record in after.folds.values())
    assert count(journal, "baseline_folds") == 1
    assert count(journal, "test") == 1
    assert (folder / "report.html").exists()
    assert (folder / "model").is_dir()

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100)
    assert set(Counter(run.data.tags["key"] for run in runs).values()) == {1}, "a run is there twice"
    stages = Counter(run.data.tags.get("stage", "parent") for run in runs)
    num_candidates = sum(len(result["candidates"]) for result in after.baselines.values())
    assert stages == {"parent": 1, "search": 6, "baseline": num_candidates, "final": 4}
    for run in runs:
        assert run.info.status == "FINISHED"
        if run.data.tags.get("stage") == "search":
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "val/accuracy")]
            assert steps == EVERY_EPOCH, "MLflow has an epoch twice, or not at all"


@pytest.mark.timeout(2400)
def test_a_search_that_is_killed_while_its_recordings_are_prepared_is_begun_again(tmp_path):
    """There is nothing to resume then, which is told, and the same command does the work."""
    log = tmp_path / "log"
    command = [*SMALL, "--trials", "1", "--no-final", "--name", "early", "--storage", tmp_path]
    process = start(*command, log=log)
    wait_for(lambda: "search early: " in log.read_text(), process, log)
    kill(process)
    assert not (tmp_path / "early" / "journal.jsonl").exists()
    refused = tune("--resume", "early", "--storage", tmp_path)
    assert refused.returncode == 2
    assert "give the command that started it again" in refused.stderr
    assert "Traceback" not in refused.stderr

    ended = tune(*command, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["trials"]["completed"] == 1


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
        "90s",
        "--no-final",
    ]
    ended = tune(*arguments, "--name", "short", "--storage", tmp_path, "--summary", tmp_path / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["trials"]["unfinished"] >= 1
    assert summary["trials"]["completed"] == summary["trials"]["pruned"] == 0
    assert "to go on: " in ended.stdout
