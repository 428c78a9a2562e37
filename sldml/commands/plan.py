"""The plan of a search: `--dry-run`."""

from __future__ import annotations

from sldml.commands.request import check_request
from sldml.errors import hide_secrets
from sldml.recordings.sources import describe_data
from sldml.search.choice import MOST_FOLDS
from sldml.search.request import Request
from sldml.search.time_budget import TimeBudget
from sldml.tracking import check, default_uri


def plan_lines(request: Request) -> list[str]:
    """The plan of a search, after all checks that need not write anything.

    Raises:
        InputError: something requested is not available.
    """
    space, config = request.space, request.space.default_config()
    files = check_request(request)
    if request.tracking_uri is not None and not request.tracking_uri.startswith("sqlite:"):
        check(request.tracking_uri)
    searched = [leaf.path for leaf in space.leaves()]
    return [
        f"search {request.name}: {describe_data(config.data)}, {files}",
        f"results: {request.folder}; prepared sets: {request.cache}",
        f"tracking: {hide_secrets(request.tracking_uri or default_uri(request.storage))}",
        *(_search_lines(request) if request.comparison is None else _comparison_lines(request)),
        *_budget_lines(request),
        f"searched ({len(searched)}): {', '.join(searched)}",
        "nothing was written (--dry-run)",
    ]


def _search_lines(request: Request) -> list[str]:
    settings, max_epochs = request.space.search, request.space.default_config().train.max_epochs
    trials = (
        f"{settings.trials} trials of at most {max_epochs} epochs, sampler {settings.sampler}, scheduler "
        f"{settings.scheduler}"
    )
    if not request.final:
        return [f"{trials}; no final models, no test, no saved model (--no-final)"]
    return [
        trials,
        f"finalists: the {settings.finalists} best configurations by validation, the default one, and the best "
        f"baselines, on up to {MOST_FOLDS} class folds (one training of {max_epochs} epochs of each configuration per "
        f"fold), repeated with other folds until the best one is clear, at most {settings.fold_repeats} times",
        f"final models: of the best {settings.top_k} of them, {settings.final_seeds} seeds each, {max_epochs} epochs",
        "saved model: the finalist that is best on the class folds",
    ]


def _budget_lines(request: Request) -> list[str]:
    if request.time_budget_s is None:
        return []
    budget = TimeBudget(0.0, request.time_budget_s)
    minutes = (budget.trials_end(0.0, 0.0) if request.final else budget.trainings_end(0.0)) / 60
    rest = "; class folds, final models, the sealed test and the report have the rest" if request.final else ""
    return [
        f"time budget {request.time_budget_s / 60:g} min: the trials end after {minutes:.1f} min at the latest{rest}"
    ]


def _comparison_lines(request: Request) -> list[str]:
    settings, max_epochs = request.space.search, request.space.default_config().train.max_epochs
    comparison = request.comparison
    assert comparison is not None
    others = [choice for choice in comparison.choices if choice != comparison.against]
    return [
        f"compares {comparison.axis}: {', '.join(others)} with {comparison.against}",
        f"{settings.trials} trials of {max_epochs} epochs for each of the {len(comparison.choices)} choices "
        f"({request.num_trials} in all), over {comparison.num_folds} class folds (one training each), sampler "
        f"{settings.sampler}; then the best of each with {settings.final_seeds} seeds",
        *(f"note: {note}" for note in comparison.notes),
        "saved model: none (a comparison saves no model)",
    ]
