"""A tracker for tests that look at other things: it takes what is handed over and keeps nothing."""

from typing import Any

from sldml.tracking import Status, Tracker


class NullTracker(Tracker):
    """Needs no store."""

    longest_s = longest_cpu_s = 0.0

    def __init__(self) -> None: ...

    def _put(self, do: str, key: str | None, **fields: Any) -> None: ...

    def _say(self, message: str, kind: str | None = None) -> None: ...

    def flush(self, timeout_s: float = 60.0) -> bool:
        return True

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> int:
        return 0
