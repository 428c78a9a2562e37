"""The command `evaluate`: evaluate a saved model under a one-shot protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from sldml.commands.command import cache_folder, storage_folder
from sldml.commands.options import DataOption, DeviceOption, ModelOption, StorageOption, SummaryOption

EXAMPLES = """
Examples:

  python launch/evaluate.py --model NAME

  DATASET_FOLDER=~/data python launch/evaluate.py --model results/NAME/model --summary evaluated.json

  python launch/evaluate.py --model NAME --data ~/data --set protocol.num_auxiliary=15 --set protocol.num_novel=4

  python launch/evaluate.py --model NAME --space own --data ~/my-recordings
"""


def evaluate(
    model: ModelOption,
    data: DataOption = None,
    space: Annotated[
        str | None, typer.Option(help="Use recordings and protocol of this search space (default: the model's own).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a value of data or protocol.")
    ] = None,
    device: DeviceOption = "cpu",
    summary: SummaryOption = None,
    storage: StorageOption = None,
) -> None:
    """Recognise the novel classes of a protocol from one exemplar each, and report the accuracy."""
    from sldml.commands.evaluating import evaluate_model, evaluation_lines, evaluation_task
    from sldml.commands.progress import ProgressPrinter
    from sldml.commands.recognizing import describe_model
    from sldml.recognition.recognizer import Recognizer, find_model, torch_device
    from sldml.recordings.sources import describe_data
    from sldml.report.files import require_writable, write_json

    if summary is not None:
        require_writable(summary)
    root = storage_folder(storage)
    folder = find_model(model, root)
    loaded = Recognizer.load(folder)
    loaded.device = torch_device(device)
    task = evaluation_task(loaded, folder, space, settings or [])
    print(f"model: {describe_model(loaded)}")
    print(f"recordings: {describe_data(task.data)}", flush=True)
    with ProgressPrinter() as printer:
        result = evaluate_model(
            loaded,
            task,
            None if data is None else data.expanduser().absolute(),
            cache_folder(root),
            checking=printer.counting("MB of the prepared set checked"),
            progress=printer.counting("recordings read"),
        )
    for line in evaluation_lines(result):
        print(line)
    if summary is not None:
        write_json({"model": str(folder), **result}, summary)
        print(f"written: {summary}")
