"""Errors caused by bad input, and parts of their messages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class InputError(ValueError):
    """Bad input from the user: one line that gives what is wrong, where, and what to do.

    Commands print it without a traceback and exit with status 2.
    """


def suggestion(name: str, known: Sequence[str]) -> str:
    """For the end of a message about an unknown name: the closest known one, or the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {listed(known)}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """The names with commas; of many, the first ones and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
