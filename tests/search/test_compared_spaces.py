"""What is compared, in which spaces, and what is refused in one line."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sldml.config.space import SearchSpace
from sldml.config.space_file import override, parse_space
from sldml.config.space_tree import Leaf, Scalar
from sldml.errors import InputError
from sldml.search.compared_spaces import Comparison, compare, compare_again

SPACE = """
search: {trials: 4, scheduler: asha}
space:
  optimizer: {lr: {float: [1.0e-4, 1.0e-1], log: true}}
  loss:
    choose:
      triplet_margin: {margin: {float: [0.05, 0.5]}}
      arcface: {}
      contrastive: {}
  miner:
    when: {loss: [triplet_margin, contrastive]}
    choose: {none: {}, batch_hard: {}}
known_good:
  - {loss.name: arcface, optimizer.lr: 0.01}
"""
GRID = """
search: {trials: 4, sampler: grid}
space:
  optimizer: {lr: {choice: [0.01, 0.1]}}
  loss: {choose: {arcface: {}, triplet_margin: {margin: {choice: [0.1, 0.2]}}}}
"""


@pytest.fixture
def space() -> SearchSpace:
    return parse_space(SPACE, "toy", "toy.yaml")


def samples(space: SearchSpace, count: int = 50) -> list[dict[str, Scalar]]:
    rng = random.Random(0)

    def draw(leaf: Leaf) -> Scalar:
        return rng.choice(leaf.ends())

    return [space.visit(draw) for _ in range(count)]


def test_each_choice_has_a_space_of_its_own_with_what_depends_on_it(space: SearchSpace) -> None:
    compared, comparison = compare(space, "loss")
    assert comparison.choices == ("triplet_margin", "arcface", "contrastive")
    assert comparison.against == "triplet_margin"
    spaces = comparison.spaces(compared)
    assert list(spaces) == list(comparison.choices)
    for choice, each in spaces.items():
        for params in samples(each):
            assert params["loss.name"] == choice, "what is sampled is a configuration of the whole space"
            assert ("miner.name" in params) == (choice != "arcface")
            assert ("loss.triplet_margin.margin" in params) == (choice == "triplet_margin")
            assert each.configure(params).loss.name == choice
            space.distributions(params)


def test_every_trial_runs_all_its_epochs_over_folds(space: SearchSpace) -> None:
    compared, comparison = compare(space, "loss")
    assert compared.search.scheduler == "none"
    assert comparison.num_folds == 3 == compared.default_config().evaluation.num_folds
    (note,) = comparison.notes
    assert "scheduler none instead of asha" in note
    assert compare(override(space, ["search.scheduler=none"]), "loss")[1].notes == ()
    assert compare(override(space, ["evaluation.num_folds=5"]), "loss")[1].num_folds == 5


def test_the_first_choice_is_the_default_unless_another_is_named(space: SearchSpace) -> None:
    compared, comparison = compare(space, "loss", choices=["contrastive", "arcface"])
    assert (comparison.choices, comparison.against) == (("contrastive", "arcface"), "contrastive")
    assert {params["loss.name"] for params in samples(compared)} == {"contrastive", "arcface"}
    assert compare(space, "loss", against="arcface")[1].against == "arcface"


def test_an_axis_that_exists_conditionally_is_compared_where_it_exists(space: SearchSpace) -> None:
    """Under arcface there is no miner: its trials would say nothing about miners."""
    compared, comparison = compare(space, "miner")
    assert "no other loss is tried" in comparison.notes[0]
    for choice, each in comparison.spaces(compared).items():
        drawn = samples(each)
        assert {params["loss.name"] for params in drawn} == {"triplet_margin", "contrastive"}
        assert {params["miner.name"] for params in drawn} == {choice}
    fixed, held = compare(override(space, ["loss.name=contrastive"]), "miner")
    assert len(held.notes) == 1, "the scheduler's alone"
    assert {each.default_config().loss.name for each in held.spaces(fixed).values()} == {"contrastive"}


def test_what_is_known_to_be_good_goes_to_its_choice(space: SearchSpace) -> None:
    compared, comparison = compare(space, "loss")
    spaces = comparison.spaces(compared)
    known = compared.known_good[0]
    assert spaces["arcface"].restrict(known) == known
    assert spaces["triplet_margin"].restrict(known) is None


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ([], {"axis": "nope"}, r"--compare nope: toy has no such choice; there are: loss, miner"),
        ([], {"axis": "encoder"}, r"--compare encoder: toy has no such choice"),
        (["loss.name=arcface"], {"axis": "loss"}, r"loss.name is fixed to arcface, not searched"),
        (["miner.name=none"], {"axis": "miner"}, r"miner has one choice, none: a comparison needs two"),
        ([], {"axis": "loss", "choices": ["arcfase"]}, r"has no choice 'arcfase' \(did you mean 'arcface'\?\)"),
        ([], {"axis": "loss", "choices": ["arcface"]}, r"loss has one choice, arcface"),
        ([], {"axis": "loss", "choices": ["arcface", "arcface"]}, r"arcface is given twice"),
        ([], {"axis": "loss", "against": "circle"}, r"--against: loss has no choice 'circle'"),
        ([], {"axis": "loss", "choices": ["arcface", "contrastive"], "against": "triplet_margin"},
         r"--against triplet_margin is not among --choices arcface,contrastive"),
        (["evaluation.num_folds=1"], {"axis": "loss"}, r"evaluation.num_folds=1: .* 2 or more"),
        (["search.final_seeds=1"], {"axis": "loss"}, r"--final-seeds 2 or more"),
        (["loss.name=arcface"], {"axis": "miner"},
         r"miner exists only with loss triplet_margin, contrastive, .* --set loss.name=triplet_margin"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_a_line(
    space: SearchSpace, settings: list[str], arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        compare(override(space, settings), **arguments)
    assert str(refused.value).startswith(f"--compare {arguments['axis']}: ")
    assert "\n" not in str(refused.value)


def test_a_grid_must_give_every_choice_the_same_number_of_trials() -> None:
    grid = parse_space(GRID, "toy", "toy.yaml")
    with pytest.raises(InputError, match=r"grid has 2 combinations for arcface .* --trials 2, or another sampler"):
        compare(grid, "loss")
    compare(override(grid, ["search.trials=2"]), "loss")


def test_a_comparison_that_goes_on_is_the_one_that_was_begun(space: SearchSpace) -> None:
    compared, comparison = compare(space, "loss", choices=["arcface", "triplet_margin"], against="triplet_margin")
    again, same = compare_again(space, comparison.to_record())
    assert same == comparison
    assert again.hash == compared.hash
    assert compare_again(space, None) == (space, None)
    four = Comparison("loss", comparison.choices, "arcface", 4).to_record()
    resumed = compare_again(space, four)[1]
    assert resumed is not None
    assert resumed.num_folds == 4, "the journal decides where the space does not"
    with pytest.raises(InputError, match="uses 4 folds"):
        compare_again(override(space, ["evaluation.num_folds=5"]), four)
