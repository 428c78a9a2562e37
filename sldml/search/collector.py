"""Importing large libraries without garbage collection."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector, and exempt all objects that exist at the end from later collections (`gc.freeze`).

    Modules live as long as the process: collections during imports search a growing heap and free almost nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
