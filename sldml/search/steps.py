"""The steps of a search, for its progress: what a person is told as "step 2 of 6"."""

from __future__ import annotations

from dataclasses import dataclass

from sldml.search.request import Request

DATA, REPORT = "data", "report"
"""Steps that are no stage in the journal."""


@dataclass(frozen=True)
class Step:
    """A step of a search."""

    name: str
    """That of its stage in the journal."""
    title: str
    num_epochs: int = 0
    """Number of epochs of its trainings, as far as they are known beforehand."""


def steps_of(request: Request, num_folds: int = 0) -> list[Step]:
    """The steps of a search, in order.

    Args:
        request: The search. A comparison has no class folds, and without final models there is no sealed test.
        num_folds: Number of class folds in one repeat.
    """
    settings, config = request.space.search, request.space.default_config()
    num_configurations = settings.top_k if request.comparison is None else len(request.comparison.choices)
    final_epochs = num_configurations * settings.final_seeds * config.train.max_epochs
    # One repeat of the folds, for the best configurations and the default one.
    fold_epochs = (settings.finalists + 1) * num_folds * config.train.max_epochs
    steps = [Step(DATA, "data"), Step("search", "trials and baselines")]
    if request.final:
        if request.comparison is None:
            steps.append(Step("folds", "class folds", fold_epochs))
        steps += [Step("final", "final models", final_epochs), Step("test", "sealed test")]
    return [*steps, Step(REPORT, "report")]
