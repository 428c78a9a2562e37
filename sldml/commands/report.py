"""The command `report`: write the report of a search, or compare several."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sldml.commands.command import resume_command, spelled, storage_folder
from sldml.commands.options import StorageOption
from sldml.errors import InputError

if TYPE_CHECKING:
    from sldml.journal import FoundSearch

EXAMPLES = """
Examples:

  python launch/report.py demo-20261122-140000

  python launch/report.py demo-20261122-140000 --follow

  python launch/report.py utd3 utd7 utd11 --storage ~/results --out ~/auxiliary.html

  python launch/report.py results/demo-20261122-140000 /mnt/other/results/demo-20261121-090000
"""

_LOOK_S, _REDRAW_S = 0.5, 5.0
"""`--follow` looks for new events, and writes the report again, at most this often."""


def report(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names or folders of searches.")],
    storage: StorageOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the page (default: report.html of the one search, or comparison.html in --storage)."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Write the report again while the search goes on.")] = False,
) -> None:
    """Write the report of a search, also while it runs, or a page that compares several searches."""
    from sldml.report.report import write_report
    from sldml.report.searches import find_searches
    from sldml.report.searches_report import write_comparison

    root = storage_folder(storage)
    searches = find_searches(names, root)
    default = searches[0].folder / "report.html" if len(searches) == 1 else root / "comparison.html"
    path = default if out is None else out.expanduser().absolute()
    if path.is_dir():
        raise InputError(f"--out {path}: is a folder; give a file")
    if follow and len(searches) > 1:
        raise InputError("--follow writes the report of one search: give one name")
    try:
        if len(searches) == 1:
            write_report(searches[0].history, path)
            if follow:
                searches = [_follow(searches[0], path)]
        else:
            write_comparison(searches, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); give another file by --out"
        ) from error
    print(f"report: {path}")
    print(f"next: open it in a browser; {_next(searches, names, storage)}")


def _follow(search: FoundSearch, path: Path) -> FoundSearch:
    """Write the report again after new events, until the call that works on the search ends; the search then."""
    from sldml.journal import FILE, JournalReader
    from sldml.report.report import write_report

    print(f"report: {path}, written again whenever the search goes on (Ctrl-C to stop)", flush=True)
    reader, written = JournalReader(search.folder / FILE), time.monotonic()
    reader.read()
    waiting = False
    while reader.history.ended is None:
        waiting |= bool(reader.read())
        if waiting and time.monotonic() - written >= _REDRAW_S:
            write_report(reader.history, path)
            written, waiting = time.monotonic(), False
        time.sleep(_LOOK_S)
    write_report(reader.history, path)
    return replace(search, history=reader.history)


def _next(searches: list[FoundSearch], names: list[str], storage: str | None) -> str:
    """What to do after the report."""
    from sldml.journal import OptionsRecord

    place = ["--storage", storage] if storage else []
    first = searches[0]
    of_first = spelled(shlex.join(["python", "launch/report.py", names[0], *place]))
    if len(searches) > 1:
        return f"for the report of one search: {of_first}"
    if first.history.test is None:
        options = first.history.attempts[-1].options if first.history.attempts else OptionsRecord()
        again = resume_command(
            first.folder.name, first.folder.parent, tracking_uri=options.tracking_uri, address=options.address
        )
        return f"to resume the search, if it has stopped: {again}"
    return f"to compare it with others: {of_first} OTHER…"
