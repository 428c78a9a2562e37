"""Bad input from a person."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class InputError(ValueError):
    """Something a person gave cannot be used: one line that says what, where, and what to do about it.

    Commands print it without a traceback and end with exit status 2.
    """


def suggestion(name: str, known: Sequence[str]) -> str:
    """For the end of a message about an unknown name: the closest known one, or the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {listed(known)}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """The names with commas; of many, the first ones and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
