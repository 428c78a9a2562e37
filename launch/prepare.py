"""Prepared sets and made recordings: `python launch/prepare.py set --space demo`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

# The tree that this file lies in counts, also where a Ray job unpacked it beside an installed version.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from sldml.command import cache_folder, run_command, storage_folder

ABOUT = "Prepare the recordings of a search space, or write made recordings as NTU .skeleton files."
EXAMPLES = """
Examples:

  python launch/prepare.py set --space demo

  python launch/prepare.py set --space utd_mhad --data ~/data --set data.modality=fused --strict

  python launch/prepare.py synthetic --out /tmp/made --num-auxiliary 30
"""


def prepare_set(
    space: Annotated[str, typer.Option(help="Name under search_spaces/, or a YAML file.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of raw datasets.", envvar="DATASET_FOLDER", show_envvar=True)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a path of the configuration.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A broken recording is fatal.")] = False,
    storage: Annotated[str | None, typer.Option(help="Folder of results (default: ./results).")] = None,
) -> None:
    """Find or make the prepared set that a search of this space would use, and say what is in it."""
    from sldml.inventory import inventory_lines
    from sldml.prepared import prepare
    from sldml.progress import ProgressPrinter
    from sldml.space_files import read_space

    root = storage_folder(storage)
    config = read_space(space, settings or []).default_config()
    with ProgressPrinter() as printer:
        prepared = prepare(
            config.data,
            None if data is None else data.expanduser().absolute(),
            cache_folder(root),
            strict=strict,
            progress=printer.counting("recordings read"),
        )
    for line in inventory_lines(prepared, config.data):
        print(line)
    places = ["--storage", str(root)] if storage else []
    places += ["--data", str(data)] if data else []
    changes = [part for setting in settings or [] for part in ("--set", setting)]
    print(f"to search: {shlex.join(['python', 'launch/tune.py', '--space', space, *places, *changes])}")


def synthetic(
    out: Annotated[Path, typer.Option(help="New or empty folder; the files go to ntu/ in it.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator.")] = 0,
    num_auxiliary: Annotated[int, typer.Option(min=4, max=100, help="Auxiliary classes, beside 20 novel ones.")] = 30,
    recordings_per_class: Annotated[int, typer.Option(min=2, max=90, help="Recordings of each class.")] = 12,
) -> None:
    """Write made recordings as .skeleton files in NTU naming, to try the way of real recordings without any."""
    from sldml.config import SyntheticData
    from sldml.progress import ProgressPrinter
    from sldml.sources import write_synthetic

    made = SyntheticData(seed=seed, num_auxiliary=num_auxiliary, recordings_per_class=recordings_per_class)
    out = out.expanduser().absolute()
    with ProgressPrinter() as printer:
        num_files = write_synthetic(made, out, printer.counting("files written"))
    print(f"{num_files} files of {20 + num_auxiliary} classes in {out / 'ntu'}")
    search = f"--space ntu --data {shlex.quote(str(out))} --set protocol.num_auxiliary={num_auxiliary}"
    print(f"to search: python launch/tune.py {search}")


if __name__ == "__main__":
    run_command({"set": prepare_set, "synthetic": synthetic}, EXAMPLES, about=ABOUT)
