"""`launch/tune.py` before a search begins: what is refused, in one line, and what a dry run says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.running import TINY


@pytest.fixture
def tune(launched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    return partial(launched, "tune.py")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "ntu"], "DATASET_FOLDER"),
        (["--space", "ntu", "--data", "/nowhere"], "/nowhere"),
        (["--space", "nope"], "there are demo, image_folder, isl_kinect, ntu, own, "),
        (["--space", "demo", "--set", "loss.name=nope"], "loss.name"),
        (["--space", "demo", "--trials", "x"], "--trials x"),
        (["--space", "demo", "--time-budget", "soon"], "--time-budget soon"),
        (["--space", "demo", "--tracking-uri", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["--space", "demo", "--address", "127.0.0.1:9"], "--address 127.0.0.1:9"),
        (["--resume", "nope"], "nope is neither a search in"),
        (["--resume", "c", "--compare", "loss"], "leave out --compare"),
        (["--space", "demo", "--choices", "sup_con,arcface"], "--compare"),
        (["--nope"], "--nope"),
        ([], "--space"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tune: Any, arguments: list[str], said: str, tmp_path: Path) -> None:
    status, _, err = tune(*arguments)
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert (status, said in line) == (2, True), line
    assert not list(tmp_path.glob("results/*/journal.jsonl")), "something is left that looks like a search"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--storage", "results"], "--storage"),
        (["--tracking-uri", "sqlite:///m.db", "--storage", "{tmp}"], "--tracking-uri"),
    ],
)
def test_inside_a_ray_job_relative_places_are_refused(
    tune: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    status, _, err = tune("--space", "demo", *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert status == 2
    assert said in err


def test_more_folds_than_the_recordings_allow_are_refused_before_anything_starts(tune: Any, tmp_path: Path) -> None:
    status, _, err = tune(*TINY, "--final-seeds", "2", "--compare", "loss", "--set", "evaluation.num_folds=6")
    assert status == 2
    assert "6 folds of 10 auxiliary classes" in err
    assert not list(tmp_path.glob("results/*/journal.jsonl")), "something is left that looks like a search"


def test_a_dry_run_writes_nothing(tune: Any, tmp_path: Path) -> None:
    status, lines, _ = tune("--space", "demo", "--dry-run")
    assert status == 0
    printed = "\n".join(lines)
    assert "16 trials" in printed
    assert "finalists: the 2 best configurations by validation, the default one, and the best baselines" in printed
    assert "final models: of the best 1 of them, 3 seeds each, 20 epochs" in printed
    assert not list(tmp_path.iterdir())


def test_a_dry_run_without_final_models_says_so(tune: Any) -> None:
    _, lines, _ = tune("--space", "demo", "--no-final", "--dry-run")
    assert "scheduler promotion; no final models, no test, no saved model (--no-final)" in "\n".join(lines)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "the trials end after 5.5 min at the latest; class folds, final models, the sealed test and the report"),
        (["--no-final"], "the trials end after 9.5 min at the latest\n"),
    ],
)
def test_a_dry_run_says_what_a_time_budget_leaves_for_the_trials(tune: Any, more: list[str], said: str) -> None:
    _, lines, _ = tune("--space", "demo", "--time-budget", "10m", *more, "--dry-run")
    assert f"time budget 10 min: {said}" in "\n".join(lines)


def test_a_dry_run_says_what_would_be_compared(tune: Any, tmp_path: Path) -> None:
    choices = ("--choices", "triplet_margin,proxy_anchor,sup_con", "--against", "sup_con")
    status, lines, _ = tune("--space", "demo", "--trials", "2", "--compare", "loss", *choices, "--dry-run")
    printed = "\n".join(lines)
    assert status == 0
    assert "compares loss: triplet_margin, proxy_anchor with sup_con" in printed
    assert "2 trials of 20 epochs for each of the 3 choices (6 in all), over 3 class folds" in printed
    assert "saved model: none" in printed
    assert not list(tmp_path.iterdir())
