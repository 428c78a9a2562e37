"""Python's garbage collector, kept from searching what imports make."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Import within it what is large: nothing is collected meanwhile, and what exists afterwards never looked at again.

    Modules live as long as the process, so the collector would go through a growing heap and find nothing to free.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
