"""A search that is killed or stopped at every stage can be resumed: nothing is lost, nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.running import COMMAND, TINY, count, events, kill, start, tune, wait_for
from support.terminal import CTRL_C, Terminal, assert_gone

from sldml.commands.request import earlier_settings
from sldml.config.space_file import override, parse_space
from sldml.journal import ALL, FoldScored, History, TrialRecord, read_history
from sldml.search.searcher import Proposals
from sldml.training.checkpoints import CheckpointFile

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1800)]
NUM_TRIALS, NUM_EPOCHS, NUM_FINALS, NUM_FOLDS = 6, 8, 4, 5
LENGTHS = {1, 2, 4, NUM_EPOCHS}
"""The rungs, and the end."""
LONGER = [
    *TINY,
    *("--trials", NUM_TRIALS, "--max-epochs", NUM_EPOCHS, "--top-k", 2, "--final-seeds", 2, "--concurrent", 2),
    *("--set", "search.finalists=2"),  # also if the best one is the default configuration
]


class Interrupted:
    """A search that is stopped again and again. After each stop, everything that was known before is still there."""

    def __init__(self, storage: Path) -> None:
        self.storage, self.folder = storage, storage / "stopped"
        self.journal, self.log, self.summary = self.folder / "journal.jsonl", storage / "log", storage / "summary.json"
        self.states: list[tuple[History, dict[str, int]]] = []
        self.num_running_with_checkpoint = 0
        self._command: list[object] = [*LONGER, "--name", "stopped"]

    def arguments(self, *more: object) -> list[object]:
        return [*self._command, "--storage", self.storage, "--summary", self.summary, *more]

    def in_background(self, condition: Callable[[], object]) -> subprocess.Popen[bytes]:
        """Start or resume it, and wait for `condition()`."""
        process = start(*self.arguments(), log=self.log)
        wait_for(condition, process, self.log)
        return process

    def in_terminal(self, condition: Callable[[Terminal], object]) -> tuple[Terminal, set[int]]:
        """The same in a terminal; also the processes below it."""
        terminal = Terminal(*self.arguments())
        try:
            terminal.wait_for(lambda: condition(terminal))
            return terminal, terminal.below()
        except BaseException:
            terminal.kill()
            raise

    def stopped(self, moment: str) -> History:
        """Check the journal after a stop; what is in it."""
        history = read_history(self.journal)
        assert history.test is None, f"{moment}: the search was over before it was stopped"
        checkpointed = {t: checkpointed_epochs(self.folder / "trials" / t) for t in history.trials}
        running = [t for t, record in history.trials.items() if not record.has_ended]
        self.num_running_with_checkpoint += sum(checkpointed[t] > 0 for t in running)
        for before, known in self.states:
            assert_nothing_lost(before, known, history)
        assert_study_has(history, self.folder)
        self.states.append((history, checkpointed))
        self._command = ["--resume", "stopped", "--final"]
        return history


def checkpointed_epochs(folder: Path) -> int:
    """How many epochs the last checkpoint in a folder knows."""
    saved = CheckpointFile(str(folder)).load(torch.device("cpu"))
    return 0 if saved is None else len(saved["history"])


def assert_nothing_lost(before: History, checkpointed: dict[str, int], after: History) -> None:
    """`after` is a later state of the same search: what had ended is unchanged, what had not was continued.

    Epochs beyond a trial's last checkpoint are trained again, to the same values.
    """
    for trial_id, record in before.trials.items():
        later = after.trials[trial_id]
        if record.has_ended:
            assert later == record, "a finished trial was touched"
            continue
        known = min(len(record.epochs), checkpointed[trial_id])
        # Their times, too, are those of the first training. A last epoch is reported again if its end was lost.
        first, second = ([epoch.metrics for epoch in each.epochs[:known]] for each in (record, later))
        assert first == second, "known epochs were trained again"
        assert later.params == record.params
        for old, new in zip(record.epochs, later.epochs, strict=False):
            assert new.metrics["val/accuracy"] == old.metrics["val/accuracy"], (
                "an epoch that was trained again came out differently"
            )
    for key, final in before.finals.items():
        if final.state == "completed":
            assert after.finals[key] == final, "a finished final model was touched"
    for name, baseline in before.baselines.items():
        scores = [(score.place, score.val) for score in after.baselines[name].scores]
        assert {(score.place, score.val) for score in baseline.scores} <= set(scores), "a score was lost"
    for place, scored in before.folds.items():
        assert after.folds[place] == scored, "a fold was scored again"


def assert_study_has(history: History, folder: Path) -> None:
    """The sampler of a resumed search starts with every ended trial, and proposes the unfinished ones first."""
    earlier = earlier_settings(folder)
    space = override(parse_space(earlier.space_text, earlier.space_name, "the journal's"), earlier.overrides)
    records = list(history.trials.values())
    searcher = Proposals({ALL: space}, earlier={ALL: records}, num_trials=len(records) + 1)
    told = [(trial.params, trial.value) for trial in searcher.studies[ALL].trials]
    assert told == [(r.params, value_of_completed(r)) for r in records if r.state != "running"]
    unfinished = [r.trial_id for r in records if r.state == "running"]
    assert [searcher.suggest(f"tune{i}")["trial_id"] for i in range(len(unfinished))] == unfinished
    fresh = searcher.suggest("another")
    assert fresh["trial_id"] not in history.trials
    assert fresh["params"] not in [r.params for r in records]


def value_of_completed(record: TrialRecord) -> float | None:
    return record.value if record.state == "completed" else None


def assert_mlflow_is_closed(summary: dict[str, Any], storage: Path) -> list[Any]:
    """No run of the search is left open; its runs."""
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    runs = list(client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100))
    assert not [run for run in runs if run.info.status == "RUNNING"], "runs are left open"
    return runs


def test_a_search_that_is_stopped_at_every_stage_ends_as_if_it_had_not_been(storage: Path) -> None:
    search = Interrupted(storage)
    journal, log = search.journal, search.log

    # Killed while the recordings are prepared: there is nothing to resume, and the same command starts the search.
    kill(search.in_background(lambda: "search stopped: " in log.read_text()))
    assert not journal.exists()
    refused = tune("--resume", "stopped", "--storage", storage)
    assert refused.returncode == 2
    assert "run the command that started it again" in refused.stderr
    assert "Traceback" not in refused.stderr

    # The disk of the search is full; where a test may not mount one, the search is killed.
    with full_disk(search.folder) as fill:
        process = search.in_background(lambda: count(journal, "baselines") >= 1)
        if fill is None:
            kill(process)
        else:
            fill()
            assert process.wait(timeout=300) == 1, log.read_text()
            assert_one_line(log, "failed: No space left on device")
        search.stopped("while the baselines are scored")

    # Trials have trained beside the baselines before: their epochs are no sign of this call.
    terminal, below = search.in_terminal(more_epochs(journal, 3))
    terminal.press(CTRL_C)
    terminal.wait_for(lambda: "press Ctrl-C again to stop at once" in terminal.line)
    assert terminal.end() == 130, terminal.text[-3000:]
    assert "to resume: python launch/tune.py --resume stopped" in terminal.line
    assert "Traceback" not in terminal.text
    assert_gone(below)
    summary = json.loads(search.summary.read_text())
    assert summary["state"] == "interrupted"
    assert summary["trials"]["unfinished"] >= 1
    assert (search.folder / "report.html").exists()
    assert_mlflow_is_closed(summary, storage)
    search.stopped("by Ctrl-C in the first trials")

    # A time budget that is over before a worker is there: the command ends as it should, and nothing counts as pruned.
    ended = read_history(journal).counts()
    budget = tune(*search.arguments("--time-budget", "1s"))
    assert budget.returncode == 0, budget.stdout + budget.stderr
    summary = json.loads(search.summary.read_text())
    assert summary["state"] == "completed"
    assert summary["trials"]["unfinished"] >= 1
    assert {state: summary["trials"][state] for state in ("completed", "pruned")} == {
        "completed": ended["completed"], "pruned": 0,
    }  # fmt: skip
    assert summary["left_out"][0].startswith(f"{NUM_TRIALS - ended['completed']} of {NUM_TRIALS} trials (")
    assert "sealed test" in summary["left_out"][-1]
    assert f"left out for the time budget: {'; '.join(summary['left_out'])}\nto resume: " in budget.stdout
    assert "Traceback" not in budget.stdout + budget.stderr
    assert "Left out for the time budget" in (search.folder / "report.html").read_text()
    search.stopped("by a time budget")

    # Ctrl-C twice kills what was started and leaves no time for a last word.
    goes_on = more_epochs(journal, 1)
    terminal, below = search.in_terminal(
        lambda shown: goes_on(shown) and count(journal, "trial_paused") >= 3 and has_running_trials(journal)
    )
    terminal.press_twice(CTRL_C)
    assert terminal.end(timeout_s=60.0) == 130
    assert_gone(below)
    assert "stopped at once; to resume: python launch/tune.py --resume stopped" in terminal.line
    search.stopped("by Ctrl-C twice, late in the search")

    # Ray's head dies.
    terminal, below = search.in_terminal(lambda shown: re.search(r"class folds \S+ [1-9]\d*/\d+", shown.text))
    terminal.press(CTRL_C)
    assert terminal.end() == 130, terminal.text[-3000:]
    assert "to resume: python launch/tune.py --resume stopped" in terminal.line
    assert "Traceback" not in terminal.text
    assert not (search.folder / "model").exists(), "a model that was never tested"
    assert_gone(below)
    search.stopped("by Ctrl-C in the class folds")

    process = search.in_background(lambda: count(journal, "final_ended") >= 1)
    below = psutil.Process(process.pid).children(recursive=True)
    next(child for child in below if child.name() == "gcs_server").kill()
    assert process.wait(timeout=55) == 1, "Ray ends the process after a minute"
    assert_one_line(log, "failed: Ray's head at")
    assert (search.folder / "report.html").exists()
    assert not [child for child in psutil.wait_procs(below, timeout=10)[1] if child.status() != psutil.STATUS_ZOMBIE]
    assert_mlflow_is_closed(json.loads(search.summary.read_text()), storage)
    search.stopped("by the end of Ray's head in the final models")

    process = search.in_background(lambda: count(journal, "stage", name="test", state="started") == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 130, log.read_text()
    assert "to resume: python launch/tune.py --resume stopped" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not (search.folder / "model").exists(), "a model that was never tested"
    search.stopped("by SIGTERM in the sealed test")
    assert search.num_running_with_checkpoint >= 2, "no trial was caught with a checkpoint: nothing was tried"

    # The reader of the output goes away, as with `| head`: the search goes on.
    command = [*COMMAND, *map(str, search.arguments())]
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=300) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert_is_whole(search)
    before = read_history(journal)
    again = tune(*search.arguments())
    assert again.returncode == 0, again.stdout + again.stderr
    after = read_history(journal)
    assert count(journal, "test") == 1, "the sealed test was opened twice"
    assert (after.trials, after.finals, after.folds, after.test) == (
        before.trials, before.finals, before.folds, before.test,
    )  # fmt: skip


@contextmanager
def full_disk(folder: Path) -> Iterator[Callable[[], None] | None]:
    """A small file system at `folder`, and a function that fills it. What is in it afterwards is kept."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], check=False).returncode != 0:
        yield None
        return
    kept = folder.with_name("kept")
    try:
        yield lambda: fill_up(folder / "ballast")
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("ballast"))
    finally:
        subprocess.run(["umount", folder], check=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def assert_one_line(log: Path, failure: str) -> None:
    """The output says in one line what happened, and how to resume; nothing of Python or Ray is in it."""
    text = log.read_text()
    assert text.count(failure) == 1, text
    assert "everything in the journal is safe\nto resume: python launch/tune.py --resume stopped" in text
    assert "Traceback" not in text
    assert "gcs_client" not in text


def more_epochs(journal: Path, number: int) -> Callable[[object], bool]:
    """Whether so many epochs of trials were reported since now."""
    known = count(journal, "epoch")
    return lambda _: count(journal, "epoch") >= known + number


def has_running_trials(journal: Path) -> bool:
    """Whether a trial has reported epochs and not ended."""
    trials = read_history(journal).trials.values()
    return any(record.state == "running" and record.epochs for record in trials)


def assert_is_whole(search: Interrupted) -> None:
    """Check the journal, the folder and MLflow of the search after its end."""
    journal = search.journal
    summary = json.loads(search.summary.read_text())
    assert summary["state"] == "completed"
    counts = Counter(summary["trials"])
    assert counts["completed"] >= 2, "two trials of each rung are promoted"
    assert counts["completed"] + counts["pruned"] == counts["requested"] == counts.total() - NUM_TRIALS == NUM_TRIALS
    history = read_history(journal)
    for before, known in search.states:
        assert_nothing_lost(before, known, history)
    assert len(history.attempts) == len(search.states) + 1
    started = Counter(e["trial_id"] for e in events(journal) if e["event"] == "trial_started")
    assert started == dict.fromkeys(history.trials, 1), "a trial was begun twice"
    assert len({json.dumps(record.params, sort_keys=True) for record in history.trials.values()}) == NUM_TRIALS
    for record in history.trials.values():
        assert [e.epoch for e in record.epochs] == list(range(1, len(record.epochs) + 1))
        assert len(record.epochs) in LENGTHS
        assert (len(record.epochs) == NUM_EPOCHS) == (record.state == "completed")
    assert len(history.finals) == NUM_FINALS
    for final in history.finals.values():
        assert final.state == "completed"
        assert [e.epoch for e in final.epochs] == list(range(1, len(final.epochs) + 1))
    ended = Counter((e["trial_id"], e["seed"]) for e in events(journal) if e["event"] == "final_ended")
    assert set(ended.values()) == {1}
    scorings = [e for e in events(journal) if e["event"] == "baselines" and e["worker"]]
    candidates = Counter(json.dumps(score["candidate"]) for e in scorings for score in e["scores"])
    assert set(candidates.values()) == {1}, "a candidate was scored twice"
    assert len(candidates) == sum(len(baseline.scores) for baseline in history.baselines.values())
    scored = [FoldScored.model_validate(e) for e in events(journal) if e["event"] == "fold"]
    assert len({(e.key, e.repeat, e.fold) for e in scored}) == len(scored), "a fold was scored twice"
    assert history.test is not None
    assert history.test.folds is not None
    finalists = {trial_id for trial_id, _ in history.finals} | {history.default_trial.trial_id}
    assert {e.trial_id for e in scored} >= finalists
    assert all(len(history.fold_accuracies(trial_id)) >= NUM_FOLDS for trial_id in finalists)
    assert count(journal, "test") == 1
    assert (search.folder / "report.html").exists()
    assert (search.folder / "model").is_dir()
    study = optuna.load_study(
        study_name="stopped", storage=JournalStorage(JournalFileBackend(str(search.folder / "optuna.journal")))
    )
    known = [(trial.user_attrs["trial"], trial.params, trial.value) for trial in study.trials]
    assert known == [(record.trial_id, record.params, value_of_completed(record)) for record in history.trials.values()]

    runs = assert_mlflow_is_closed(summary, search.storage)
    assert set(Counter(run.data.tags["key"] for run in runs).values()) == {1}, "a run is there twice"
    stages = Counter(run.data.tags.get("stage", "parent") for run in runs)
    num_candidates = sum(len(baseline.scores) for baseline in history.baselines.values())
    assert stages == {"parent": 1, "search": NUM_TRIALS, "baseline": num_candidates, "final": NUM_FINALS}
    client = MlflowClient(f"sqlite:///{search.storage / 'mlflow.db'}")
    for run in runs:
        assert run.info.status == "FINISHED"
        if run.data.tags.get("stage") == "search":
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "val/accuracy")]
            num_epochs = len(history.trials[run.data.tags["trial_id"]].epochs)
            assert steps == list(range(1, num_epochs + 1)), "MLflow has an epoch twice, or not at all"
