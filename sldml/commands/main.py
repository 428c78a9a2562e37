"""The console script `sldml`: the commands of `launch/` as subcommands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, NoReturn

import typer

import sldml
from sldml.commands import evaluate, prepare, recognize, report, track, train, tune
from sldml.commands.command import add_command, new_app, run_app

ABOUT = "Search for the deep metric learning model that best recognises actions from a single example of each."
EXAMPLES = """
Examples:

  sldml tune --space demo

  sldml tune --help
"""
_COMMANDS: dict[str, tuple[Callable[..., None] | Mapping[str, Callable[..., None]], str, str, str]] = {
    "tune": (tune.tune, tune.EXAMPLES, "", "Search for the best model of a dataset."),
    "prepare": (prepare.COMMANDS, prepare.EXAMPLES, prepare.ABOUT, "Prepare, inspect or synthesise recordings."),
    "train": (train.train, train.EXAMPLES, "", "Train one configuration."),
    "evaluate": (evaluate.evaluate, evaluate.EXAMPLES, "", "Evaluate a saved model under a one-shot protocol."),
    "recognize": (recognize.recognize, recognize.EXAMPLES, "", "Recognise actions from one example of each."),
    "report": (report.report, report.EXAMPLES, "", "Write the report of a search, or compare several."),
    "track": (track.track, track.EXAMPLES, "", "Send a search to an MLflow store."),
}
"""By name: the function or its subcommands, examples, the description (else the docstring), and a line for the list."""


def main() -> NoReturn:
    """Run the subcommand that the arguments of this process name, and exit with its status."""
    app = new_app(ABOUT, EXAMPLES)
    app.callback()(_options)
    for name, (function, examples, about, line) in _COMMANDS.items():
        add_command(app, name, function, examples, about=about, line=line)
    run_app(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sldml {sldml.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
