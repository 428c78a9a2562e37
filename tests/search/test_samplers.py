"""Every sampler with every scheduler, on a toy objective: the real classes, no trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from support.replaying import replay

from sldml.config.space import SearchSpace
from sldml.config.space_file import override, parse_space, read_space
from sldml.errors import InputError
from sldml.search.study import make_sampler, num_startup_trials

RANGES = """
search: {trials: 40, sampler: %s, scheduler: %s, grace_period: 2, seed: 3}
fixed: {loss: {name: triplet_margin}}
space:
  optimizer: {lr: {float: [1.0e-5, 1.0e-1], log: true}}
  head: {weight: {float: [0.0, 0.8]}}
"""
CHOICES = """
search: {trials: 100, sampler: %s, scheduler: %s, grace_period: 2}
space:
  encoder: {embedding_dim: {choice: [16, 32, 64]}, small_cnn: {num_blocks: {int: [1, 3]}}}
  loss:
    choose:
      triplet_margin: {margin: {choice: [0.1, 0.2]}}
      arcface: {}
  miner:
    when: {loss: [triplet_margin]}
    choose: {none: {}, batch_hard: {}}
"""
MAX_EPOCHS = 9


def curve(params: Mapping[str, Any]) -> list[float]:
    """Best at a learning rate of 1e-3 without a head; a smaller grid has its best in its middle."""
    lr = float(params.get("optimizer.lr", 1e-3))
    goal = math.exp(-((math.log10(lr) + 3) ** 2)) * (1 - float(params.get("head.weight", 0.0)) / 2)
    if params.get("loss.name") == "arcface":
        goal /= 2
    goal *= 1 - abs(int(params.get("encoder.embedding_dim", 32)) - 32) / 100
    return [goal * (1 - 0.6**epoch) for epoch in range(1, MAX_EPOCHS + 1)]


def make(sampler: str, scheduler: str) -> SearchSpace:
    return parse_space((CHOICES if sampler == "grid" else RANGES) % (sampler, scheduler), "toy", "toy.yaml")


@pytest.mark.parametrize("scheduler", ["promotion", "asha", "median", "none"])
@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc", "grid"])
def test_every_pair_runs_a_toy_objective(sampler: str, scheduler: str) -> None:
    space = make(sampler, scheduler)
    found = replay(space, curve, num_trials=space.search.trials, max_epochs=MAX_EPOCHS)
    # The grid has 3 x 3 x (2 x 2 + 1) combinations, however many trials were asked for.
    assert len(found.trials) == (45 if sampler == "grid" else 40)
    assert all(trial.state in ("completed", "pruned") for trial in found.trials)
    lengths = [len(trial.epochs) for trial in found.trials]
    if scheduler == "none":
        assert set(lengths) == {MAX_EPOCHS}
    else:
        assert min(lengths) >= space.search.grace_period
        assert sum(lengths) < 0.9 * MAX_EPOCHS * len(lengths)
        assert {trial.state for trial in found.trials} == {"completed", "pruned"}
    assert found.best[-1] > 0.75 * max(curve({"encoder.embedding_dim": 32}))


def test_a_pruned_trial_was_worse_than_others_then() -> None:
    found = replay(make("random", "median"), curve, num_trials=40, max_epochs=MAX_EPOCHS)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    completed = [trial for trial in found.trials if trial.state == "completed"]
    assert max(t.epochs[-1].value for t in pruned) < max(t.epochs[-1].value for t in completed)


def test_a_grid_has_every_combination_once() -> None:
    found = replay(make("grid", "none"), curve, num_trials=1000, max_epochs=MAX_EPOCHS)
    seen = {tuple(sorted(trial.params.items())) for trial in found.trials}
    assert len(seen) == len(found.trials) == 45
    assert len({trial.params["encoder.small_cnn.num_blocks"] for trial in found.trials}) == 3
    assert not any("miner.name" in t.params for t in found.trials if t.params["loss.name"] == "arcface")


def test_a_grid_goes_on_where_it_was() -> None:
    space = make("grid", "none")
    part = replay(space, curve, num_trials=20, max_epochs=MAX_EPOCHS).trials
    rest = replay(space, curve, num_trials=1000, max_epochs=MAX_EPOCHS, earlier=part).trials
    seen = {tuple(sorted(trial.params.items())) for trial in (*part, *rest)}
    assert (len(part), len(rest), len(seen)) == (20, 25, 45)


def test_the_best_is_sooner_found_by_promotion_than_by_whole_trials() -> None:
    def epochs(sampler: str, scheduler: str, seed: int) -> int:
        space = override(make(sampler, scheduler), [f"search.seed={seed}"])
        found = replay(space, curve, num_trials=60, max_epochs=MAX_EPOCHS)
        return found.epochs_until(0.93 * max(curve({}))) or len(found.best) + 1

    seeds = range(5)
    assert sum(epochs("auto", "promotion", s) for s in seeds) < 0.7 * sum(epochs("random", "none", s) for s in seeds)


def test_a_search_begins_with_what_it_is_given() -> None:
    space = make("tpe", "none")
    first = [{"optimizer.lr": 1.0e-3, "head.weight": 0.0}, {"optimizer.lr": 2.0e-4}]
    found = replay(space, curve, num_trials=5, max_epochs=MAX_EPOCHS, first=first)
    assert found.trials[0].params == first[0]
    assert found.trials[1].params["optimizer.lr"] == 2.0e-4
    assert 0 <= found.trials[1].params["head.weight"] <= 0.8
    # A resumed search has handed out as many of them as there are trials.
    rest = replay(space, curve, num_trials=3, max_epochs=MAX_EPOCHS, first=first, earlier=found.trials[:1]).trials
    assert [trial.trial_id for trial in rest] == ["t0002", "t0003", "t0004"]
    assert rest[0].params["optimizer.lr"] == 2.0e-4
    assert rest[1].params["optimizer.lr"] not in (1.0e-3, 2.0e-4)


@pytest.mark.parametrize(
    ("text", "sampler", "said"),
    [
        (RANGES, "grid", "grid needs a finite number of values, but optimizer.lr is a range"),
        (CHOICES, "qmc", "qmc supports only ranges, but encoder.embedding_dim is a choice"),
    ],
)
def test_a_space_that_a_sampler_cannot_serve_is_refused(text: str, sampler: str, said: str) -> None:
    with pytest.raises(InputError, match=f"toy.yaml, line 2: search.sampler {said}"):
        parse_space(text % (sampler, "none"), "toy", "toy.yaml")
    with pytest.raises(InputError, match=f"--set search.sampler={sampler}: search.sampler {said}"):
        override(parse_space(text % ("random", "none"), "toy", "toy.yaml"), [f"search.sampler={sampler}"])


def test_a_choice_that_is_fixed_no_longer_stands_in_the_way() -> None:
    space = override(make("random", "none"), ["optimizer.lr=0.01", "head.weight=0.5"])
    assert len(override(space, ["search.sampler=grid"]).grid()) == 1


# ------------------------------------------------------------------------------------------ known to be good

KNOWN = """
space:
  optimizer: {lr: {float: [1.0e-5, 1.0e-1], log: true}}
  loss: {choose: {triplet_margin: {margin: {float: [0.05, 0.5]}}, arcface: {}}}
known_good:
  - {optimizer.lr: 1.0e-3, loss.name: triplet_margin, loss.triplet_margin.margin: 0.2}
  - {loss.name: arcface}
"""


def test_known_configurations_are_read() -> None:
    space = parse_space(KNOWN, "toy", "toy.yaml")
    assert space.known_good[1] == {"loss.name": "arcface"}
    assert space.restrict(space.known_good[0]) == space.known_good[0]


def test_what_is_fixed_otherwise_is_another_configuration() -> None:
    space = override(parse_space(KNOWN, "toy", "toy.yaml"), ["loss.name=arcface"])
    assert space.restrict(space.known_good[0]) is None
    assert space.restrict({"optimizer.lr": 0.5}) is None  # out of range
    assert space.restrict({"encoder.name": "small_cnn", "optimizer.lr": 0.01}) == {"optimizer.lr": 0.01}
    assert space.restrict({"seed": 3}) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{optimizer.lrr: 1.0}", "there is no 'optimizer.lrr' .did you mean 'optimizer.lr'"),
        ("{optimizer.lr: 1.0}", "optimizer.lr: 1.0 is not among the searched values"),
        ("[1]", "a mapping of dotted paths"),
    ],
)
def test_a_mistake_in_them_is_told_by_its_line(entry: str, said: str) -> None:
    with pytest.raises(InputError, match=f"toy.yaml, line 8: known_good, configuration 3: {said}"):
        parse_space(f"{KNOWN}  - {entry}\n", "toy", "toy.yaml")


def test_a_long_search_looks_around_longer_before_tpe_proposes() -> None:
    assert [num_startup_trials(n) for n in (1, 24, 80, 200, 240, 5_000)] == [10, 10, 10, 25, 30, 30]
    space = override(read_space("demo"), ["search.trials=200", "search.sampler=tpe"])
    sampler = make_sampler(space, 0)
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert sampler._n_startup_trials == 25
