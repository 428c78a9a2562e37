"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SpaceOption = Annotated[str, typer.Option(help="Name under search_spaces/, or a YAML file.")]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of raw datasets.", envvar="DATASET_FOLDER", show_envvar=True)
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a value of the configuration.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop if a recording cannot be read, or the size of the bodies is implausible. Also check every byte of a "
        "prepared set.",
    ),
]
StrictOrNotOption = Annotated[
    bool | None, typer.Option("--strict/--no-strict", help="Whether to stop if a recording cannot be read.")
]
StorageOption = Annotated[str | None, typer.Option(help="Folder of results (default: ./results).")]
SummaryOption = Annotated[Path | None, typer.Option(help="Write a summary to this JSON file.")]

TrackingUriOption = Annotated[str | None, typer.Option(help="MLflow store (default: SQLite in --storage).")]
RegisterOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Register the saved model under this name in MLflow.")
]

AddressOption = Annotated[str | None, typer.Option(help="Ray cluster: auto, host:port, or local (the default).")]
CpusOption = Annotated[float | None, typer.Option(min=0.1, help="CPU cores for each training.")]
GpusOption = Annotated[float | None, typer.Option(min=0.0, help="GPUs for each training, or a fraction of one.")]

ModelOption = Annotated[str, typer.Option(help="Folder of a model or of its search, or the search's name.")]
DeviceOption = Annotated[str, typer.Option(help="Device of the encoder: cpu or cuda.")]
