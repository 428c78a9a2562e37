"""Studies that take turns: the same budget for each choice, and no choice that hears of another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from optuna.trial import TrialState
from support.made_history import epoch, search_begun

from sldml.commands.progress import ProgressPrinter
from sldml.config.space import SearchSpace
from sldml.config.space_file import override, parse_space
from sldml.journal import OBJECTIVE, History, Journal, TrialRecord
from sldml.search.compared_spaces import compare
from sldml.search.recorder import Recorder
from sldml.search.run import run_trials
from sldml.search.searcher import Proposals

SPACE = """
search: {trials: 3, sampler: tpe, seed: 7}
space:
  optimizer: {lr: {float: [1.0e-4, 1.0e-1], log: true}}
  loss: {choose: {triplet_margin: {margin: {float: [0.05, 0.5]}}, arcface: {}, contrastive: {}}}
"""
CHOICES = ["triplet_margin", "arcface", "contrastive"]


def spaces_of(*settings: str) -> dict[str, SearchSpace]:
    compared, comparison = compare(override(parse_space(SPACE, "toy", "toy.yaml"), settings), "loss")
    return comparison.spaces(compared)


def done(value: float, epoch: int = 1) -> dict[str, Any]:
    return {"epoch": epoch, OBJECTIVE: value, "state": "completed"}


def record(trial_id: str, loss: str, state: Any = "completed", *, lr: float = 0.01) -> TrialRecord:
    params = {"optimizer.lr": lr, "loss.name": loss}
    if loss == "triplet_margin":
        params["loss.triplet_margin.margin"] = 0.1
    config = spaces_of()[loss].configure(params).to_dict()
    return TrialRecord(trial_id, config, 0.0, state, [epoch(1, 0.5)], params=params)


def end(searcher: Proposals, key: str, result: dict[str, Any]) -> None:
    """A trial reports, and ends."""
    searcher.reported(key, result)
    searcher.ended(key, result["state"], result)


def take_all(searcher: Proposals, value: Any = lambda params: 0.5) -> list[dict[str, Any]]:
    """Every trial that is handed out, each ended before the next one."""
    taken: list[dict[str, Any]] = []
    while suggested := searcher.suggest(key := f"ray{len(taken)}"):
        end(searcher, key, done(value(suggested["params"])))
        taken.append(suggested)
    return taken


def loss_of(suggested: dict[str, Any]) -> str:
    return str(suggested["config"]["loss"]["name"])


def test_choices_take_turns_and_each_has_its_share() -> None:
    taken = take_all(Proposals(spaces_of(), earlier={}, num_trials=3))
    assert [loss_of(t) for t in taken] == CHOICES * 3
    assert [t["trial_id"] for t in taken] == [f"t{i:04d}" for i in range(1, 10)]
    assert all(t["params"]["loss.name"] == loss_of(t) for t in taken)


def test_choices_are_seeded_alike() -> None:
    taken = take_all(Proposals(spaces_of("search.sampler=random"), earlier={}, num_trials=3))
    rates = {choice: [t["params"]["optimizer.lr"] for t in taken if loss_of(t) == choice] for choice in CHOICES}
    assert rates["arcface"] == rates["contrastive"]
    assert len(set(rates["arcface"])) == 3


def test_a_study_hears_of_its_own_trials_alone() -> None:
    searcher = Proposals(spaces_of(), earlier={}, num_trials=2)
    names = {}
    for number in range(3):
        names[loss_of(searcher.suggest(f"ray{number}"))] = f"ray{number}"
    searcher.reported(names["arcface"], {"epoch": 1, OBJECTIVE: 0.4})
    end(searcher, names["arcface"], done(0.9, epoch=2))
    told = {choice: study.trials for choice, study in searcher.studies.items()}
    assert [(t.state, t.value) for t in told["arcface"]] == [(TrialState.COMPLETE, 0.9)]
    assert told["arcface"][0].intermediate_values == {1: 0.4, 2: 0.9}
    assert [t.state for t in told["contrastive"]] == [TrialState.RUNNING]
    searcher.ended(names["contrastive"], "failed", {})
    assert told["contrastive"][0].state == TrialState.RUNNING, "a copy"
    assert searcher.studies["contrastive"].trials[0].state == TrialState.FAIL


def test_what_one_choice_is_given_does_not_depend_on_the_others() -> None:
    def arcface_rates(others: float) -> list[float]:
        searcher = Proposals(spaces_of(), earlier={}, num_trials=14)
        taken = take_all(searcher, lambda p: -p["optimizer.lr"] if p["loss.name"] == "arcface" else others)
        return [t["params"]["optimizer.lr"] for t in taken if loss_of(t) == "arcface"]

    assert arcface_rates(0.0) == arcface_rates(0.9)


def test_a_comparison_goes_on_with_what_is_missing_and_unfinished_ones_first() -> None:
    earlier = {
        "triplet_margin": [record("t0001", "triplet_margin"), record("t0004", "triplet_margin", "failed")],
        "arcface": [record("t0002", "arcface", "running", lr=0.05)],
        "contrastive": [record(f"t000{i}", "contrastive") for i in (3, 5, 6)],
    }
    searcher = Proposals(spaces_of(), earlier=earlier, num_trials=3)
    assert searcher.num_left == 1 + 3
    taken = take_all(searcher)
    assert Counter(loss_of(t) for t in taken) == {"triplet_margin": 1, "arcface": 3}
    resumed = taken[0]
    assert (resumed["trial_id"], resumed["epochs_reported"]) == ("t0002", 1)
    assert resumed["params"] == earlier["arcface"][0].params
    assert sorted(t["trial_id"] for t in taken[1:]) == ["t0007", "t0008", "t0009"]
    assert len(searcher.studies["contrastive"].trials) == 3


def test_what_is_known_to_be_good_begins_its_own_choice() -> None:
    first = [
        {"loss.name": "arcface", "optimizer.lr": 0.02},
        {"loss.name": "contrastive", "optimizer.lr": 0.03},
        {"loss.name": "arcface", "optimizer.lr": 0.04},
    ]
    earlier = {"contrastive": [record("t0001", "contrastive", lr=0.03)]}
    taken = take_all(Proposals(spaces_of(), earlier=earlier, num_trials=3, first=first))
    rates = {choice: [t["params"]["optimizer.lr"] for t in taken if loss_of(t) == choice] for choice in CHOICES}
    assert rates["arcface"][:2] == [0.02, 0.04]
    assert not {0.02, 0.03, 0.04} & {*rates["contrastive"], *rates["triplet_margin"]}


def test_a_grid_that_is_exhausted_ends() -> None:
    grid = spaces_of("search.sampler=random")
    text = "search: {trials: 9, sampler: grid}\nspace:\n  loss: {choose: {arcface: {}, contrastive: {}}}\n"
    compared, comparison = compare(parse_space(text, "toy", "toy.yaml"), "loss")
    assert len(grid) == 3
    taken = take_all(Proposals(comparison.spaces(compared), earlier={}, num_trials=9))
    assert [loss_of(t) for t in taken] == ["arcface", "contrastive"]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    compare = {"axis": "loss", "choices": CHOICES, "against": CHOICES[0], "num_folds": 3}
    return Recorder(Journal(tmp_path / "journal.jsonl"), History(search_begun(compare=compare)), ProgressPrinter())


def test_earlier_trials_are_put_to_their_choice_and_a_full_budget_runs_nothing(
    recorder: Recorder,
) -> None:
    class ListingPool:
        """Keeps the stages that it is given."""

        stages: ClassVar[list[Any]] = []

        def run(self, stage: Any) -> None:
            self.stages.append(stage)

    for number, loss in enumerate(CHOICES, start=1):
        each = record(f"t000{number}", loss)
        recorder.history.trials[each.trial_id] = each
    pool: Any = ListingPool()
    run_trials(spaces_of(), pool, recorder, num_trials=1)
    assert pool.stages == []
    run_trials(spaces_of(), pool, recorder, num_trials=2)
    (stage,) = pool.stages
    assert [stage.next(f"ray{i}") is not None for i in range(4)] == [True, True, True, False]
    assert not stage.is_over(), "three trials run"
