"""The command `train`: train one configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sldml.commands.command import cache_folder, model_name, own_command, search_name, storage_folder, tracking_store
from sldml.commands.options import (
    AddressOption,
    CpusOption,
    DataOption,
    GpusOption,
    RegisterOption,
    StorageOption,
    StrictOption,
    SummaryOption,
    TrackingUriOption,
)
from sldml.errors import InputError

if TYPE_CHECKING:
    from sldml.config.trial import TrialConfig
    from sldml.tracking.earlier import EarlierRun

EXAMPLES = """
Examples:

  python launch/train.py --space demo --set loss.name=sup_con --set loss.sup_con.temperature=0.2

  python launch/train.py --space utd_mhad --data ~/data --seeds 5 --max-epochs 40

  python launch/train.py --config my_config.yaml --data ~/data --register gestures

  python launch/train.py --from-run 0123456789abcdef0123456789abcdef
"""


def train(
    space: Annotated[
        str | None,
        typer.Option(help="Train the known-good or default values of this search space (name or YAML file)."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration as YAML or JSON, such as config.json of an MLflow run.")
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Repeat a trial or final model of an earlier search (MLflow run ID)."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a value of the configuration.")
    ] = None,
    data: DataOption = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the validated training.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of final models (one per seed) for the sealed test.")] = 3,
    no_final: Annotated[bool, typer.Option("--no-final", help="Validate only: no final models, no test.")] = False,
    name: Annotated[str | None, typer.Option(help="Name; results go to <storage>/<name>/.")] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
    register: RegisterOption = None,
    address: AddressOption = None,
    cpus_per_trial: CpusOption = None,
    gpus_per_trial: GpusOption = None,
    strict: StrictOption = False,
    summary: SummaryOption = None,
) -> None:
    """Train and validate one configuration, retrain it with several seeds, test it, and save the model."""
    from sldml.commands.request import check_request
    from sldml.config.single import space_of
    from sldml.search.request import Request

    if sum(given is not None for given in (space, config, from_run)) != 1:
        raise InputError("give one of --space NAME or FILE, --config FILE, --from-run ID")
    root, store = storage_folder(storage), tracking_store(tracking_uri)
    changes = [
        f"{path}={value}" for path, value in (("train.max_epochs", max_epochs), ("seed", seed)) if value is not None
    ]
    changes += settings or []
    earlier = _earlier(from_run, store, root) if from_run is not None else None
    chosen, experiment = _configuration(space, config, earlier, changes)
    if earlier is not None:
        seeds, data = max(seeds, earlier.seed or 1), data or earlier.data
    one = space_of(chosen, experiment, num_seeds=seeds)
    request = Request(
        one,
        search_name(name) if name else f"{experiment}-train-{time.strftime('%Y%m%d-%H%M%S')}",
        storage=root,
        cache=cache_folder(root),
        data=None if data is None else data.expanduser().absolute(),
        strict=strict,
        tracking_uri=store,
        address=address,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        final=not no_final,
        command=own_command(),
        summary=None if summary is None else summary.expanduser().absolute(),
        register=None if register is None else model_name(register, saves_model=not no_final),
    )
    check_request(request)
    from sldml.commands.session import run_and_exit

    def compare(outcome: Mapping[str, Any]) -> list[str]:
        return [] if earlier is None else _repeated(earlier, outcome, changes)

    run_and_exit(request, compare)


def _earlier(run_id: str, store: str | None, root: Path) -> EarlierRun:
    """The run to repeat, from its MLflow store."""
    from sldml.tracking import check, default_uri
    from sldml.tracking.earlier import find_run

    uri = store or default_uri(root)
    if store is None and not (root / "mlflow.db").is_file():
        raise InputError(f"--from-run {run_id}: no MLflow store in {root}; give --storage or --tracking-uri")
    check(uri)
    return find_run(uri, run_id)


def _configuration(
    space: str | None, config: Path | None, earlier: EarlierRun | None, changes: list[str]
) -> tuple[TrialConfig, str]:
    """The configuration to train and the name of its experiment."""
    from sldml.config.single import changed, make_config, read_config, typical_config
    from sldml.config.space_file import read_space

    if space is not None:
        chosen = read_space(space, changes)
        return typical_config(chosen), chosen.name
    if config is not None:
        return changed(read_config(config), changes), config.stem
    assert earlier is not None
    return changed(make_config(earlier.config, f"--from-run {earlier.run_id}"), changes), earlier.experiment


def _repeated(earlier: EarlierRun, outcome: Mapping[str, Any], changes: list[str]) -> list[str]:
    """Compare the results with those of the earlier run, and list what differs in its inputs."""
    from sldml.search.environment import describe_environment

    pairs = []
    if outcome["best"] is not None:
        pairs.append(("validation", outcome["best"]["val_accuracy"], earlier.validation))
    if earlier.seed is not None and outcome["final"]:
        final = outcome["final"][0]
        pairs.append((f"sealed test of seed {earlier.seed}",
                      final["test_accuracy"]["values"][final["seeds"].index(earlier.seed)], earlier.test))  # fmt: skip
    lines = []
    for what, now, before in pairs:
        same = "identical" if now == before else "different"
        lines.append(
            f"run {earlier.run_id}: {what} {now:.4f}, was {'unknown' if before is None else f'{before:.4f}'}: {same}"
        )
    if earlier.prepared not in (None, outcome["prepared"]["hash"]):
        lines.append("note: that run used other recordings (another prepared set)")
    if earlier.commit not in (None, describe_environment().commit):
        lines.append(f"note: that run used commit {earlier.commit}")
    if changes:
        lines.append(f"note: this configuration was changed: {', '.join(changes)}")
    return lines
