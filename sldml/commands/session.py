"""Running a search from a command: progress, interruption, last lines and exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sldml.commands.command import DONE, FAILED, INTERRUPTED, print_lines, resume_command, tune_command
from sldml.errors import hide_secrets
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
    lines = closing_lines(outcome, resume=_resume(request), search_again=_search_again(request))
    if outcome["state"] == "completed" and not request.final:
        lines.insert(-1, f"no final models, as asked; to train and test them: {_resume(request)} --final")
    print_lines((*more_lines(outcome), *lines))
    sys.exit({"completed": DONE, "interrupted": INTERRUPTED}.get(outcome["state"], FAILED))


def _resume(request: Request) -> str:
    """The command that resumes a search."""
    return resume_command(request.name, request.storage, tracking_uri=request.tracking_uri, address=request.address)


def _search_again(request: Request) -> str:
    """The command that starts a new search from the best configurations of this one."""
    options = ["--space", request.space_given or request.space.name, "--warm-start", request.name]
    options += ["--storage", str(request.storage)]
    if request.tracking_uri is not None:
        options += ["--tracking-uri", hide_secrets(request.tracking_uri)]
    return tune_command(*options)
