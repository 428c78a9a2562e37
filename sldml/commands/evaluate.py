"""The command `evaluate`: evaluate a saved model under a one-shot protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sldml.commands.command import cache_folder, storage_folder
from sldml.commands.options import DataOption, DeviceOption, ModelOption, StorageOption, SummaryOption
from sldml.errors import InputError

EXAMPLES = """
Examples:

  python launch/evaluate.py --model NAME

  DATASET_FOLDER=~/data python launch/evaluate.py --model results/NAME/model --summary evaluated.json

  python launch/evaluate.py --model NAME --data ~/data --set protocol.num_auxiliary=15 --set protocol.num_novel=4

  python launch/evaluate.py --model NAME --space own --data ~/my-recordings

  python launch/evaluate.py --model NAME --queries queries.csv
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
    queries: Annotated[
        Path | None,
        typer.Option(help="Write the result of each query, and those of the baselines, to this CSV file."),
    ] = None,
    summary: SummaryOption = None,
    storage: StorageOption = None,
) -> None:
    """Recognise the novel classes of a protocol from one exemplar each, and report the accuracy."""
    from sldml.commands.evaluating import evaluate_model, evaluation_task
    from sldml.commands.evaluation_text import evaluation_lines, queries_csv
    from sldml.commands.progress import ProgressPrinter
    from sldml.commands.recognizing import describe_model
    from sldml.recognition.recognizer import Recognizer, find_model, torch_device
    from sldml.recordings.sources import describe_data
    from sldml.report.files import require_writable, write_json, write_text

    if summary is not None:
        require_writable(summary)
    if queries is not None:
        require_writable(queries, "--queries")
        if summary is not None and queries.absolute() == summary.absolute():
            raise InputError(f"--queries {queries}: is the file of --summary; give another one")
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
    if queries is not None:
        print(f"written: {write_text(queries_csv(result['queries']), queries)}")
    if summary is not None:
        write_json({"model": str(folder), **result}, summary)
        print(f"written: {summary}")
