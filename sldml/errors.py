"""The one thing that all bad input from a person has in common."""


class InputError(ValueError):
    """Something a person gave cannot be used: one line that says what, where, and what to do about it.

    Commands print it without a traceback and end with exit status 2.
    """
