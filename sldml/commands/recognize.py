"""The command `recognize`: recognise actions from one example of each."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sldml.commands.command import storage_folder
from sldml.commands.options import DeviceOption, ModelOption, StorageOption
from sldml.errors import InputError

if TYPE_CHECKING:
    from sldml.commands.recognizing import Session

EXAMPLES = """
Examples:

  python launch/recognize.py --model results/NAME/model --exemplars examples/ new.skeleton

  python launch/recognize.py --model NAME --exemplars examples/ recordings/ --json recognized.json

  python launch/recognize.py --model NAME --no-unknown recordings/

  python launch/recognize.py --model NAME --exemplars examples/ --export served
"""


def recognize(
    model: ModelOption,
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT", help="Raw files to recognise, or folders of them.")
    ] = None,
    exemplars: Annotated[
        Path | None,
        typer.Option(
            help="Folder with one or a few recordings per action. The action is the name of the subfolder, else the "
            "dataset's label, else the file's name (default: the exemplars saved with the model)."
        ),
    ] = None,
    unknown: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Unknown above this ratio of nearest to second-nearest distance (0 to 1)."),
    ] = None,
    no_unknown: Annotated[bool, typer.Option("--no-unknown", help="Always report the nearest action.")] = False,
    space: Annotated[
        str | None, typer.Option(help="Search space that defines how files are read, if the model does not.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a value of --space, such as data.modality."),
    ] = None,
    device: DeviceOption = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results to this JSON file.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write model and exemplars to this new folder as an MLflow model for serving.")
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Recognise recordings by the nearest of one or a few example recordings per action."""
    started = time.time()
    if not inputs and export is None:
        raise InputError("give recordings to recognise (files or folders), or --export DIR")
    if json_file is not None and not inputs:
        raise InputError(f"--json {json_file}: needs recordings to recognise; give files or folders")
    for given in inputs or []:
        if not given.exists():
            raise InputError(f"{given}: no such file or folder")
    if settings and space is None:
        raise InputError("--set changes a search space: give --space as well")
    if export is not None and export.exists():
        raise InputError(f"--export {export}: already exists; give a new folder")
    if json_file is not None:
        from sldml.report.files import require_writable

        require_writable(json_file, "--json")
    threshold = _threshold(unknown, no_unknown)
    from sldml.commands.recognizing import open_session
    from sldml.recognition.recognizer import Recognizer, find_model, torch_device

    folder = find_model(model, storage_folder(storage))
    loaded = Recognizer.load(folder)
    loaded.device = torch_device(device)
    loaded.threshold = loaded.threshold if threshold is None else threshold
    if space is not None:
        from sldml.config.space_file import read_space

        loaded.data = read_space(space, settings or []).default_config().data
    session = open_session(loaded, folder, exemplars)
    if inputs:
        _recognize(session, inputs, folder, json_file, started)
    if export is not None:
        _export(session, export)


def _threshold(unknown: float | None, no_unknown: bool) -> float | None:
    if unknown is not None and no_unknown:
        raise InputError("--unknown sets a threshold and --no-unknown removes it: give only one of them")
    if unknown is not None and not 0 < unknown <= 1:
        raise InputError(f"--unknown {unknown}: must be a ratio of two distances, above 0 and at most 1")
    return 1.0 if no_unknown else unknown


def _recognize(session: Session, inputs: list[Path], folder: Path, json_file: Path | None, started: float) -> None:
    from sldml.commands.recognizing import as_json, closing_lines, find_inputs, input_line, opening_lines
    from sldml.report.files import write_json

    files, num_exemplars = find_inputs(session, inputs)
    for line in opening_lines(session, num_exemplars):
        print(line)
    for result in session.recognize(files):
        print(input_line(result), flush=True)
    if all(result.recognition is None for result in session.results):
        raise InputError(f"none of the {len(session.results)} inputs can be read; see the reasons above")
    latency = session.latency()
    for line in closing_lines(session.counts(), latency):
        print(line)
    if json_file is not None:
        write_json(as_json(session, folder, latency, started), json_file)
        print(f"written: {json_file}")


def _export(session: Session, out: Path) -> None:
    import tempfile

    from sldml.tracking import serving

    with tempfile.TemporaryDirectory(prefix="sldml-") as scratch:
        serving.save(session.model.save(Path(scratch) / "model", session.exemplars), None, out)
    print(f"MLflow model: {out.absolute()}")
    print(f"to serve: {shlex.join(['mlflow', 'models', 'serve', '--env-manager', 'local', '-m', str(out)])}")
