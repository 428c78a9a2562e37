"""A command at work on a search: what a person sees of it, how it stops, and with which status it ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sldml.commands.command import DONE, FAILED, INTERRUPTED
from sldml.interruption import interruption
from sldml.search.request import Request

_STOPPING = "trials stop at their last checkpoint, then the report is written and tracking closed"


def work_on(
    request: Request, more_lines: Callable[[Mapping[str, Any]], Sequence[str]] = lambda outcome: ()
) -> NoReturn:
    """Do what was asked for, print what came out, and end the process.

    Args:
        request: What was asked for.
        more_lines: From the summary to what a person should read before the last lines.
    """
    from sldml.commands.progress import ProgressPrinter

    def begun() -> bool:
        return request.journal.exists()

    with (
        ProgressPrinter() as printer,
        interruption.explained(
            printer.say,
            stopping=lambda: _STOPPING if begun() else "what has been read of the recordings is kept",
            resume=lambda: f"to go on: {_again(request)}" if begun() else "nothing had begun: give the command again",
        ),
    ):
        from sldml.commands.closing import closing_lines
        from sldml.pipeline import run

        outcome = run(request, printer)
    for line in (*more_lines(outcome), *closing_lines(outcome, resume=_again(request))):
        print(line, flush=True)
    sys.exit({"completed": DONE, "interrupted": INTERRUPTED}.get(outcome["state"], FAILED))


def _again(request: Request) -> str:
    """The command that goes on with a search."""
    from sldml.tracking import hide_password

    again = ["python", "launch/tune.py", "--resume", request.name, "--storage", str(request.storage)]
    if request.tracking_uri:
        again += ["--tracking-uri", hide_password(request.tracking_uri)]
    if request.address:
        again += ["--address", request.address]
    return shlex.join(again)
