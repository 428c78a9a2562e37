"""The command `prepare`: prepared sets and synthetic recordings."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sldml.commands.command import cache_folder, spelled, storage_folder
from sldml.commands.options import DataOption, SettingsOption, SpaceOption, StorageOption, StrictOption
from sldml.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sldml.config.trial import TrialConfig
    from sldml.prepared.prepared_set import PreparedSet

ABOUT = "Prepare or inspect the recordings of a search space, or write synthetic ones as NTU .skeleton files."
EXAMPLES = """
Examples:

  python launch/prepare.py set --space demo

  python launch/prepare.py set --space utd_mhad --data ~/data --set data.modality=fused --strict

  python launch/prepare.py inspect --space own --data ~/my-recordings

  python launch/prepare.py synthetic --out /tmp/synthetic --num-auxiliary 30
"""


def prepare_set(
    space: SpaceOption,
    data: DataOption = None,
    settings: SettingsOption = None,
    strict: StrictOption = False,
    storage: StorageOption = None,
) -> None:
    """Prepare the recordings of a search space, unless that was done before, and list what they contain."""
    from sldml.commands.prepared_summary import prepared_summary_lines

    prepared, config = _prepared(space, data, settings, strict, storage)
    for line in prepared_summary_lines(prepared, config.data):
        print(line)
    print(f"to search: {_search_command(space, data, settings, storage)}")


def inspect(
    space: SpaceOption,
    data: DataOption = None,
    settings: SettingsOption = None,
    strict: StrictOption = False,
    storage: StorageOption = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="File for the sheet of images (default: inspect/<space>.png in --storage)."),
    ] = None,
) -> None:
    """Check how recordings are read: counts, lengths, rates, extents, protocol and a sheet of images."""
    from sldml.commands.inspection import inspection_lines, inspection_sheet
    from sldml.commands.prepared_summary import prepared_summary_lines

    prepared, config = _prepared(space, data, settings, strict, storage)
    path = sheet or storage_folder(storage) / "inspect" / f"{Path(space).stem}.png"
    for line in (*prepared_summary_lines(prepared, config.data), *inspection_lines(prepared, config)):
        print(line)
    _write_sheet(inspection_sheet(prepared, config), path.expanduser().absolute())
    print(f"to search: {_search_command(space, data, settings, storage)}")


def _prepared(
    space: str, data: Path | None, settings: list[str] | None, strict: bool, storage: str | None
) -> tuple[PreparedSet, TrialConfig]:
    from sldml.commands.progress import ProgressPrinter
    from sldml.config.space_file import read_space
    from sldml.prepared.prepared_set import prepare

    root = storage_folder(storage)
    config = read_space(space, settings or []).default_config()
    with ProgressPrinter() as printer:
        prepared = prepare(
            config.data,
            None if data is None else data.expanduser().absolute(),
            cache_folder(root),
            strict=strict,
            checking=printer.counting("MB of the prepared set checked"),
            progress=printer.counting("recordings read"),
        )
    return prepared, config


def _search_command(space: str, data: Path | None, settings: list[str] | None, storage: str | None) -> str:
    options = ["--storage", str(storage_folder(storage))] if storage else []
    options += ["--data", str(data)] if data else []
    changes = [part for setting in settings or [] for part in ("--set", setting)]
    return spelled(shlex.join(["python", "launch/tune.py", "--space", space, *options, *changes]))


def _write_sheet(sheet: Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, format="PNG")
    except OSError as error:
        raise InputError(f"--sheet {path}: cannot be written ({error.strerror or error}); give another file") from error
    print(f"images: {path}")


def synthetic(
    out: Annotated[Path, typer.Option(help="New or empty folder; the files are written to its subfolder ntu/.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    num_auxiliary: Annotated[
        int, typer.Option(min=4, max=100, help="Auxiliary classes, in addition to 20 novel ones.")
    ] = 30,
    recordings_per_class: Annotated[int, typer.Option(min=2, max=90, help="Number of recordings of each class.")] = 12,
) -> None:
    """Write synthetic recordings as .skeleton files named like NTU's, to try everything without real ones."""
    from sldml.commands.progress import ProgressPrinter
    from sldml.config.data import SyntheticData
    from sldml.recordings.sources import write_synthetic

    config = SyntheticData(seed=seed, num_auxiliary=num_auxiliary, recordings_per_class=recordings_per_class)
    out = out.expanduser().absolute()
    with ProgressPrinter() as printer:
        num_files = write_synthetic(config, out, printer.counting("files written"))
    print(f"{num_files} files of {20 + num_auxiliary} classes in {out / 'ntu'}")
    search = f"--space ntu --data {shlex.quote(str(out))} --set protocol.num_auxiliary={num_auxiliary}"
    print(f"to search: {spelled(f'python launch/tune.py {search}')}")


COMMANDS: dict[str, Callable[..., None]] = {"set": prepare_set, "inspect": inspect, "synthetic": synthetic}
