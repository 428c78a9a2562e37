"""The steps of a search, as a person counts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sldml.config.space_file import read_space
from sldml.search.compared_spaces import compare
from sldml.search.request import Request
from sldml.search.steps import steps_of

SPACE = read_space("demo", ["search.finalists=4", "search.top_k=2", "search.final_seeds=3", "train.max_epochs=10"])
REQUEST = Request(SPACE, "demo-1", storage=Path("results"), cache=Path("cache"))


def test_a_search_has_six_steps_with_the_epochs_that_are_known() -> None:
    assert [(step.name, step.title, step.num_epochs) for step in steps_of(REQUEST, num_folds=5)] == [
        ("data", "data", 0),
        ("search", "trials and baselines", 0),
        ("folds", "class folds", (4 + 1) * 5 * 10),
        ("final", "final models", 2 * 3 * 10),
        ("test", "sealed test", 0),
        ("report", "report", 0),
    ]


def test_without_final_models_there_is_no_test_and_a_comparison_has_no_folds() -> None:
    assert [step.name for step in steps_of(replace(REQUEST, final=False))] == ["data", "search", "report"]
    space, comparison = compare(SPACE, "loss")
    steps = steps_of(replace(REQUEST, space=space, comparison=comparison), num_folds=5)
    assert [step.name for step in steps] == ["data", "search", "final", "test", "report"]
    assert comparison is not None
    assert steps[2].num_epochs == len(comparison.choices) * 3 * 10
