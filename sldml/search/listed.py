"""A stage whose work is known beforehand."""

# ruff: noqa: D102 (the methods of stages are described by `sldml.search.pool.Stage`)

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

from sldml.search.pool import Config, Result

Work = TypeVar("Work")


class Listed(Generic[Work]):
    """Hands out work in its order, each as a configuration with one key."""

    def __init__(self, key: str, waiting: Sequence[Work], deadline: float | None = None) -> None:
        """
        Args:
            key: That of the configurations.
            waiting: The work.
            deadline: When to stop, seconds since 1970.
        """
        self._key, self._waiting, self._deadline = key, list(waiting), deadline
        self._num_running = 0

    def next(self, key: str) -> Config | None:
        if not self._waiting:
            return None
        self._num_running += 1
        return {self._key: self._waiting.pop(0)}

    def is_over(self) -> bool:
        return not self._waiting and not self._num_running

    def has_expired(self) -> bool:
        return self._deadline is not None and time.time() > self._deadline

    def stops(self, key: str, config: Config, result: Result) -> bool:
        return False

    def ended(self, key: str, config: Config, result: Result) -> None:
        self._num_running -= 1
