"""Requests for searches, made from options and checked before slow imports, so that bad input is reported at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sldml.commands.command import cache_folder, model_name, parse_duration, search_name, storage_folder, tracking_store
from sldml.config.data import SyntheticData
from sldml.config.space import SearchSpace
from sldml.config.space_file import is_file_of_space, override, parse_space, read_space
from sldml.errors import HIDDEN, InputError
from sldml.journal import FILE, ComparisonRecord, History, OptionsRecord, Params, find_search, not_begun
from sldml.recordings.sources import find_source, make_source
from sldml.search.compared_spaces import Comparison, compare_again
from sldml.search.compared_spaces import compare as compared
from sldml.search.request import Request, folder_lock_path, was_begun

_MOST_TO_BEGIN_WITH = 5


@dataclass(frozen=True)
class EarlierSettings:
    """The settings of an earlier search, for `--resume`."""

    space_name: str
    space_text: str
    overrides: list[str]
    num_trials: int
    """For each choice of a comparison."""
    data: Path | None
    compare: ComparisonRecord | None
    """The comparison, if there is one."""
    options: OptionsRecord
    """Those of the last call."""
    register: str | None
    """Name of the saved model in MLflow's registry."""


def search_request(
    space: str | Mapping[str, Any] | None,
    *,
    command: str,
    data: Path | None = None,
    trials: str | None = None,
    max_epochs: int | None = None,
    concurrent: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    time_budget: str | None = None,
    seed: int | None = None,
    name: str | None = None,
    warm_start: str | None = None,
    compare: str | None = None,
    choices: str | None = None,
    against: str | None = None,
    resume: str | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    register: str | None = None,
    address: str | None = None,
    top_k: int | None = None,
    final_seeds: int | None = None,
    final: bool | None = None,
    strict: bool | None = None,
    settings: Sequence[str] = (),
    summary: Path | None = None,
) -> Request:
    """The request for a search from the options of the command `tune`, checked by `check_request`.

    Args:
        space: Name, file or content of the search space; None with `resume`.
        command: What the user typed, for the report.

    The others are described by the command's `--help`.

    Raises:
        InputError: an option is wrong, or does not fit the others; the message names it as the command does.
    """
    root = storage_folder(storage)
    changes = [*_as_settings(trials, max_epochs, seed, top_k, final_seeds), *settings]
    first: list[Params] = []
    options, registered = OptionsRecord(space=_as_given(space)), None
    if resume is None:
        if space is None:
            raise InputError("--space NAME or FILE is needed (try --space demo), or --resume NAME")
        if changes and changes[0].startswith("search.trials=+"):
            raise InputError(f"--trials {trials}: adding trials needs --resume")
        chosen, comparison = _compared(read_space(space, changes), compare, choices, against)
        first = first_configurations(chosen, best_of(root / warm_start) if warm_start else [])
        name = search_name(name) if name else f"{chosen.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    else:
        if space is not None or name is not None:
            raise InputError("--resume continues a search with its own space and name: leave out --space and --name")
        if warm_start is not None:
            raise InputError("--warm-start starts a new search: leave out --resume")
        if (compare or choices or against) is not None:
            raise InputError("--resume keeps the comparison as it is: leave out --compare, --choices and --against")
        earlier = earlier_settings(root / resume)
        if trials is not None and trials.startswith("+"):
            changes[0] = f"search.trials={earlier.num_trials + int(trials)}"
        name, changes = resume, [*earlier.overrides, *changes]
        whole = override(parse_space(earlier.space_text, earlier.space_name, f"space of {resume}"), changes)
        chosen, comparison = compare_again(whole, earlier.compare)
        data = data or earlier.data
        options, registered = earlier.options, earlier.register
    final = options.final if final is None else final
    saves_model = comparison is None and final
    if register is not None:
        registered = model_name(register, saves_model=saves_model)
    request = Request(
        chosen,
        name,
        storage=root,
        cache=cache_folder(root),
        data=None if data is None else data.expanduser().absolute(),
        resume=resume is not None,
        first=first,  # of a resumed search, the journal has them
        strict=options.strict if strict is None else strict,
        tracking_uri=_earlier_store(name, options) if tracking_uri is None else tracking_store(tracking_uri),
        address=address or options.address,
        concurrent=concurrent or options.concurrent,
        cpus_per_trial=options.cpus_per_trial if cpus_per_trial is None else cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial if gpus_per_trial is None else gpus_per_trial,
        time_budget_s=None if time_budget is None else parse_duration(time_budget, "--time-budget"),
        final=final,
        command=command,
        overrides=changes,
        summary=None if summary is None else summary.expanduser().absolute(),
        comparison=comparison,
        register=registered if saves_model else None,
        space_given=options.space,
    )
    check_request(request)
    return request


def _as_given(space: str | Mapping[str, Any] | None) -> str | None:
    """A space's name, or its file as an absolute path; None if it was given otherwise."""
    if not isinstance(space, str):
        return None
    return str(Path(space).absolute()) if is_file_of_space(space) else space


def _earlier_store(name: str, options: OptionsRecord) -> str | None:
    """The store of the last call."""
    if options.tracking_uri is not None and HIDDEN in options.tracking_uri:
        raise InputError(
            f"search {name} is tracked to {options.tracking_uri}: give --tracking-uri again, with its password or token"
        )
    return options.tracking_uri


def _as_settings(
    trials: str | None, max_epochs: int | None, seed: int | None, top_k: int | None, final_seeds: int | None
) -> list[str]:
    """Options as settings of the space; the trials first."""
    if trials is not None and not trials.removeprefix("+").isdigit():
        raise InputError(f"--trials {trials}: write a number, or +N with --resume")
    given = {
        "search.trials": trials,
        "train.max_epochs": max_epochs,
        "search.seed": seed,
        "seed": seed,
        "search.top_k": top_k,
        "search.final_seeds": final_seeds,
    }
    return [f"{path}={value}" for path, value in given.items() if value is not None]


def _compared(
    space: SearchSpace, axis: str | None, choices: str | None, against: str | None
) -> tuple[SearchSpace, Comparison | None]:
    """The space to search and the comparison in it; None for a search for one model."""
    if axis is None:
        if (choices or against) is not None:
            raise InputError("--choices and --against need --compare AXIS")
        return space, None
    names = None if choices is None else [name.strip() for name in choices.split(",")]
    return compared(space, axis, choices=names, against=against)


def best_of(folder: Path, count: int = _MOST_TO_BEGIN_WITH) -> list[Params]:
    """The parameters of the best trials of an earlier search, best first.

    Raises:
        InputError: there is no such search, or none of its trials has a value.
    """
    ranked = _history_of(folder).ranked()
    if not ranked:
        raise InputError(f"--warm-start {folder.name}: no trial of that search has a value to compare")
    return [trial.params for trial in ranked[:count]]


def first_configurations(space: SearchSpace, earlier: Sequence[Params]) -> list[Params]:
    """The first configurations of a search: the best of an earlier search, then the known-good ones of the space.

    Each is restricted to the parameters that this space searches. Duplicates and configurations outside the space
    (another value is fixed, or out of range) are left out.
    """
    found: list[Params] = []
    for params in (*earlier, *space.known_good):
        kept = space.restrict(params)
        if kept is not None and kept not in found:
            found.append(kept)
    return found


def earlier_settings(folder: Path) -> EarlierSettings:
    """Read the settings from the journal of a search.

    Raises:
        InputError: there is no such search.
    """
    history = _history_of(folder)
    if not history.attempts:
        raise not_begun(folder)
    last, search = history.attempts[-1], history.search
    return EarlierSettings(
        search.space.name,
        search.space.text,
        list(last.overrides),
        last.settings.trials,
        None if search.data is None else Path(search.data),
        search.compare,
        last.options,
        next((attempt.register_as for attempt in reversed(history.attempts) if attempt.register_as), None),
    )


def _history_of(folder: Path) -> History:
    if not (folder / FILE).is_file() and folder_lock_path(folder).exists():
        raise not_begun(folder)
    return find_search(folder.name, folder.parent).history


def check_request(request: Request) -> str:
    """Check what needs neither a cluster nor reading nor writing, and describe the data in a few words.

    Raises:
        InputError: there are no raw files, a search of this name exists, or the files show that it would fail.
    """
    if not request.resume and was_begun(request.folder):
        raise InputError(f"search {request.name} exists in {request.storage}: use --resume or another --name")
    config = request.space.default_config().data
    if isinstance(config, SyntheticData):
        source, described = make_source(config, request.cache), "generated when the search starts"
    else:
        source = find_source(config, request.data)
        described = f"{len(source.files)} files in {source.folder}"
    from sldml.commands.foresight import require_no_faults

    require_no_faults(request, source)
    return described
