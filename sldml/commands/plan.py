"""What a search would do: `--dry-run`."""

from __future__ import annotations

from sldml.commands.request import check_request
from sldml.recordings.sources import describe
from sldml.search.choice import FEWEST_CLASSES_TO_TRUST, MOST_FOLDS
from sldml.search.request import Request
from sldml.tracking import check, default_uri, hide_password


def plan_lines(request: Request) -> list[str]:
    """What a search would do, after checking all that can be checked without writing anything.

    Raises:
        InputError: something that was asked for cannot be had.
    """
    space, config = request.space, request.space.default_config()
    files = check_request(request)
    if request.tracking_uri is not None and not request.tracking_uri.startswith("sqlite:"):
        check(request.tracking_uri)
    searched = [leaf.path for leaf in space.leaves()]
    return [
        f"search {request.name}: {describe(config.data)}, {files}",
        f"results: {request.folder}; prepared sets: {request.cache}",
        f"tracking: {hide_password(request.tracking_uri or default_uri(request.storage))}",
        *(_search_lines(request) if request.comparison is None else _comparison_lines(request)),
        f"searched ({len(searched)}): {', '.join(searched)}",
        "nothing was written (--dry-run)",
    ]


def _search_lines(request: Request) -> list[str]:
    settings, max_epochs = request.space.search, request.space.default_config().train.max_epochs
    return [
        f"{settings.trials} trials of at most {max_epochs} epochs, sampler {settings.sampler}, scheduler "
        f"{settings.scheduler}; then {settings.top_k} configurations with {settings.final_seeds} seeds each",
        f"what ships: by validation with {FEWEST_CLASSES_TO_TRUST} auxiliary classes or more, else by up to "
        f"{MOST_FOLDS} class folds (as many trainings more for each of these configurations)",
    ]


def _comparison_lines(request: Request) -> list[str]:
    settings, max_epochs = request.space.search, request.space.default_config().train.max_epochs
    comparison = request.comparison
    assert comparison is not None
    others = [choice for choice in comparison.choices if choice != comparison.against]
    return [
        f"compares {comparison.axis}: {', '.join(others)} with {comparison.against}",
        f"{settings.trials} trials of {max_epochs} epochs for each of the {len(comparison.choices)} choices "
        f"({request.num_trials} in all), over {comparison.num_folds} class folds (so many trainings a trial), sampler "
        f"{settings.sampler}; then the best of each with {settings.final_seeds} seeds",
        *(f"note: {note}" for note in comparison.notes),
        "what ships: nothing; a comparison answers another question",
    ]
