"""The command `tune`: search for the best model of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sldml.commands.command import own_command
from sldml.commands.options import (
    AddressOption,
    CpusOption,
    DataOption,
    GpusOption,
    RegisterOption,
    SettingsOption,
    StorageOption,
    StrictOrNotOption,
    SummaryOption,
    TrackingUriOption,
)

if TYPE_CHECKING:
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
    time_budget: Annotated[
        str | None, typer.Option(help="Time until the report, all steps included: 90s, 30m, 2h, 1d.")
    ] = None,
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
    resume: Annotated[
        str | None, typer.Option(help="Resume the search of this name, with its options unless they are given again.")
    ] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
    register: RegisterOption = None,
    address: AddressOption = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Number of top configurations to retrain.")] = None,
    final_seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds for each.")] = None,
    final: Annotated[
        bool | None, typer.Option("--final/--no-final", help="Whether to train final models and run the test.")
    ] = None,
    strict: StrictOrNotOption = None,
    settings: SettingsOption = None,
    summary: SummaryOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything without writing anything.")] = False,
) -> None:
    """Search losses, miners, encoders and learning rates; retrain and test the best; write a report."""
    from sldml.commands.request import search_request

    request = search_request(
        space,
        command=own_command(),
        data=data,
        trials=trials,
        max_epochs=max_epochs,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        time_budget=time_budget,
        seed=seed,
        name=name,
        warm_start=warm_start,
        compare=compare,
        choices=choices,
        against=against,
        resume=resume,
        storage=storage,
        tracking_uri=tracking_uri,
        register=register,
        address=address,
        top_k=top_k,
        final_seeds=final_seeds,
        final=final,
        strict=strict,
        settings=settings or [],
        summary=summary,
    )
    if dry_run:
        _dry_run(request)
    else:
        from sldml.commands.session import run_and_exit

        run_and_exit(request)


def _dry_run(request: Request) -> None:
    from sldml.commands.plan import plan_lines

    for line in plan_lines(request):
        print(line)
