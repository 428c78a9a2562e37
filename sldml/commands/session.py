"""Running a search from a command: progress, interruption, last lines and exit status."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sldml.commands.command import DONE, FAILED, INTERRUPTED, print_lines, spelled
from sldml.interruption import interruption
from sldml.search.request import Request

_STOPPING = "trials stop at their last checkpoint, then the report is written and tracking is closed"


def run_and_exit(
    request: Request, more_lines: Callable[[Mapping[str, Any]], Sequence[str]] = lambda outcome: ()
) -> NoReturn:
    """Run a search, print its results, and exit.

    Args:
        request: The search to run.
        more_lines: From the summary to lines that are printed before the last ones.
    """
    from sldml.commands.progress import ProgressPrinter

    def started() -> bool:
        return request.journal.exists()

    with (
        ProgressPrinter() as printer,
        interruption.announced(
            printer.say,
            stopping=lambda: _STOPPING if started() else "recordings read so far are kept",
            resume=lambda: f"to resume: {_resume(request)}" if started() else "not started yet: run it again",
        ),
    ):
        from sldml.commands.closing import closing_lines
        from sldml.pipeline import run

        outcome = run(request, printer)
    print_lines((*more_lines(outcome), *closing_lines(outcome, resume=_resume(request))))
    sys.exit({"completed": DONE, "interrupted": INTERRUPTED}.get(outcome["state"], FAILED))


def _resume(request: Request) -> str:
    """The command that resumes a search."""
    from sldml.tracking import hide_password

    command = ["python", "launch/tune.py", "--resume", request.name, "--storage", str(request.storage)]
    if request.tracking_uri:
        command += ["--tracking-uri", hide_password(request.tracking_uri)]
    if request.address:
        command += ["--address", request.address]
    return spelled(shlex.join(command))
