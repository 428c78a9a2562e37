"""Search for the best model of a dataset: `python launch/tune.py --space demo`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# Import sldml from this file's tree, also in a Ray job that has another version installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from sldml.commands.command import (
    cache_folder,
    model_name,
    parse_duration,
    run_command,
    search_name,
    storage_folder,
    tracking_store,
)
from sldml.commands.options import (
    AddressOption,
    CpusOption,
    DataOption,
    GpusOption,
    RegisterOption,
    SettingsOption,
    StorageOption,
    StrictOption,
    SummaryOption,
    TrackingUriOption,
)
from sldml.errors import InputError

if TYPE_CHECKING:
    from sldml.config.space import SearchSpace
    from sldml.search.compared_spaces import Comparison
    from sldml.search.request import Request

EXAMPLES = """
Examples:

  python launch/tune.py --space demo

  DATASET_FOLDER=~/data python launch/tune.py --space utd_mhad --trials 50 --set protocol.num_auxiliary=7

  python launch/tune.py --space ntu --data /data --time-budget 12h --concurrent 8

  python launch/tune.py --resume demo-20261122-140000 --trials +20

  python launch/tune.py --space utd_mhad --warm-start utd_mhad-20261122-140000

  python launch/tune.py --space isl_kinect --compare loss --trials 6 --final-seeds 5
"""


def tune(
    space: Annotated[str | None, typer.Option(help="Name under search_spaces/, or a YAML file.")] = None,
    data: DataOption = None,
    trials: Annotated[
        str | None, typer.Option(help="Number of trials (--compare: of each choice); with --resume, +N adds N.")
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Maximum epochs of a trial.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Maximum number of trials at once.")] = None,
    cpus_per_trial: CpusOption = None,
    gpus_per_trial: GpusOption = None,
    time_budget: Annotated[str | None, typer.Option(help="End the trials after this time: 90s, 30m, 2h, 1d.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the sampler and of the trainings.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search; results go to <storage>/<name>/.")] = None,
    warm_start: Annotated[
        str | None, typer.Option(help="Start with the best configurations of this earlier search.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Compare the choices of loss, miner, encoder … fairly; saves no model."),
    ] = None,
    choices: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Choices to compare; the first is the reference.")
    ] = None,
    against: Annotated[str | None, typer.Option(metavar="NAME", help="Use this choice as the reference.")] = None,
    resume: Annotated[str | None, typer.Option(help="Resume the search of this name.")] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
    register: RegisterOption = None,
    address: AddressOption = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Number of top configurations to retrain.")] = None,
    final_seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds for each.")] = None,
    no_final: Annotated[bool, typer.Option("--no-final", help="Skip the final models and the test.")] = False,
    strict: StrictOption = False,
    settings: SettingsOption = None,
    summary: SummaryOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything without writing anything.")] = False,
) -> None:
    """Search losses, miners, encoders and learning rates; retrain and test the best; write a report."""
    from sldml.commands.request import best_of, check_request, earlier_settings, first_configurations
    from sldml.config.space_file import override, parse_space, read_space
    from sldml.search.compared_spaces import compare_again
    from sldml.search.request import Request

    root = storage_folder(storage)
    changes = _as_settings(trials, max_epochs, seed, top_k, final_seeds) + (settings or [])
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
        first = []  # the journal has them
        earlier = earlier_settings(root / resume)
        if trials is not None and trials.startswith("+"):
            changes[0] = f"search.trials={earlier.num_trials + int(trials)}"
        name, changes = resume, [*earlier.overrides, *changes]
        whole = override(parse_space(earlier.space_text, earlier.space_name, f"space of {resume}"), changes)
        chosen, comparison = compare_again(whole, earlier.compare)
        data = data or earlier.data
    request = Request(
        chosen,
        name,
        storage=root,
        cache=cache_folder(root),
        data=None if data is None else data.expanduser().absolute(),
        resume=resume is not None,
        first=first,
        strict=strict,
        tracking_uri=tracking_store(tracking_uri),
        address=address,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        time_budget_s=None if time_budget is None else parse_duration(time_budget, "--time-budget"),
        final=not no_final,
        command=shlex.join(["python", *sys.argv]),
        overrides=changes,
        summary=None if summary is None else summary.expanduser().absolute(),
        comparison=comparison,
        register=None if register is None else model_name(register, saves_model=comparison is None and not no_final),
    )
    check_request(request)
    if dry_run:
        _dry_run(request)
    else:
        from sldml.commands.session import run_and_exit

        run_and_exit(request)


def _compared(
    space: SearchSpace, axis: str | None, choices: str | None, against: str | None
) -> tuple[SearchSpace, Comparison | None]:
    """The space to search and the comparison in it; None for a search for one model."""
    from sldml.search.compared_spaces import compare

    if axis is None:
        if (choices or against) is not None:
            raise InputError("--choices and --against need --compare AXIS")
        return space, None
    names = None if choices is None else [name.strip() for name in choices.split(",")]
    return compare(space, axis, choices=names, against=against)


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


def _dry_run(request: Request) -> None:
    from sldml.commands.plan import plan_lines

    for line in plan_lines(request):
        print(line)


if __name__ == "__main__":
    run_command(tune, EXAMPLES)
