"""Trainings that hang: they report nothing for much longer than an epoch takes, and their processes are ended.

Ray then tries them again from their last checkpoint, as after any death of a process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray.tune.experiment import Trial

SHORTEST_S = 120.0
"""No training is ended for a shorter silence."""
EPOCHS = 20.0
"""Nor for less than this many times the longest epoch of any training in this call, its evaluation included."""
START_UP_S = 600.0
"""More time until the first report of a training, for imports and data."""
_LOOK_EVERY_S = 5.0


@dataclass
class _Running:
    trial: Trial
    heard: float
    """When it started, or reported last."""
    has_reported: bool = False
    worker: str | None = None


class HangWatch:
    """Ends the processes of trainings that are silent for too long. Before any epoch is known, none is ended."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._running: dict[str, _Running] = {}
        self._longest_s = 0.0
        self._looked = 0.0

    def started(self, trial: Trial) -> None:
        """A training starts, or starts again."""
        self._running[trial.trial_id] = _Running(trial, time.monotonic())

    def reported(self, trial: Trial, worker: str | None) -> None:
        """A training reported; `worker` is its `host:pid`."""
        known, now = self._running.get(trial.trial_id), time.monotonic()
        if known is None:
            return
        if known.has_reported:
            self._longest_s = max(self._longest_s, now - known.heard)
        known.heard, known.has_reported, known.worker = now, True, worker

    def ended(self, trial: Trial) -> None:
        """A training ended, in whatever way."""
        self._running.pop(trial.trial_id, None)

    def look(self) -> None:
        """End the processes of trainings that hang. Called often, looks every few seconds."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        for running in self.hanging(now):
            silent_s = now - running.heard
            running.heard = now  # its end takes a moment
            self._say(
                f"no report from a training for {silent_s:.0f} s (the longest epoch took {self._longest_s:.0f} s): its "
                "process is ended, and it is tried again"
            )
            end_process(running.trial, running.worker)

    def hanging(self, now: float) -> list[_Running]:
        """The trainings that are silent for too long."""
        if self._longest_s == 0.0:
            return []
        limit = max(SHORTEST_S, EPOCHS * self._longest_s)
        return [r for r in self._running.values() if now - r.heard > limit + (not r.has_reported) * START_UP_S]


def end_process(trial: Trial, worker: str | None) -> None:
    """Kill the process of a training: by Ray, and on this machine by a signal, which also ends a stopped process."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor, no_restart=True)
    host, _, pid = (worker or "").rpartition(":")
    if host == socket.gethostname():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
