"""The space of a search, read back from its journal."""

from __future__ import annotations

from sldml.config.space import SearchSpace
from sldml.config.space_file import override, parse_space
from sldml.errors import InputError
from sldml.journal import History


def declared_space(history: History) -> SearchSpace | None:
    """The space with the settings of the last call; None if the journal has no readable one."""
    if history.begun is None:
        return None
    space = history.begun.space
    last = history.attempts[-1] if history.attempts else history.begun
    try:
        return override(parse_space(space.text, space.name, "space"), list(last.overrides))
    except InputError:
        return None


def log_parameters(history: History) -> set[str]:
    """Parameters that the space samples on a logarithmic scale."""
    space = declared_space(history)
    leaves = () if space is None else space.leaves()
    return {leaf.path for leaf in leaves if getattr(leaf.distribution, "log", False)}
