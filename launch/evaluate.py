"""Run a one-shot protocol on a saved model: `python launch/evaluate.py --model NAME`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

# The tree that this file lies in counts, also where a Ray job unpacked it beside an installed version.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from sldml.commands.command import cache_folder, run_command, storage_folder
from sldml.commands.options import (
    DataOption,
    DeviceOption,
    ModelOption,
    StorageOption,
    SummaryOption,
)

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
        str | None, typer.Option(help="Recordings and protocol of this search space (default: the model's own).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a path of data or protocol.")
    ] = None,
    device: DeviceOption = "cpu",
    summary: SummaryOption = None,
    storage: StorageOption = None,
) -> None:
    """Name the novel classes of a protocol by one exemplar each, and say how often that is right."""
    from sldml.commands.evaluating import evaluate as evaluated
    from sldml.commands.evaluating import lines_of, task_of
    from sldml.commands.progress import ProgressPrinter
    from sldml.commands.recognizing import model_words
    from sldml.recognition.recognizer import Recognizer, find_model, torch_device
    from sldml.recordings.sources import describe
    from sldml.report.files import require_writable, write_json

    if summary is not None:
        require_writable(summary)
    root = storage_folder(storage)
    folder = find_model(model, root)
    loaded = Recognizer.load(folder)
    loaded.device = torch_device(device)
    task = task_of(loaded, folder, space, settings or [])
    print(f"model: {model_words(loaded)}")
    print(f"recordings: {describe(task.data)}", flush=True)
    with ProgressPrinter() as printer:
        progress = printer.counting("recordings read")
        found = evaluated(
            loaded, task, None if data is None else data.expanduser().absolute(), cache_folder(root), progress
        )
    for line in lines_of(found):
        print(line)
    if summary is not None:
        write_json({"model": str(folder), **found}, summary)
        print(f"written: {summary}")


if __name__ == "__main__":
    run_command(evaluate, EXAMPLES)
