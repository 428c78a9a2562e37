"""Asynchronous successive halving with promotion (ASHA; Li et al., 2020, arXiv 1810.05934).

Trials pause at rungs. Whenever a slot is free, a paused trial that is among the best `1 / factor` of its rung continues
to the next one, the highest rung first; if there is none, a new trial starts. No trial waits until a rung is full.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sldml.journal import TrialRecord

FEWEST_TO_THE_END = 2
"""When no new trial will start, at least this many of each rung continue."""


def rungs_of(first: int, factor: float, max_epochs: int, num_folds: int = 1) -> list[int]:
    """The epochs at which trials pause: `first`, then each `factor` times the one before, below `max_epochs`.

    The last one is left out if it is close to the end, less than a factor of `sqrt(factor)` below it: the end would
    hardly tell more. With several class folds, which are trained one after another, further rungs are at the end of the
    first fold, of `factor` folds, and so on.
    """
    found, epochs = [], float(first)
    while round(epochs) < max_epochs and epochs * math.sqrt(factor) <= max_epochs:
        found.append(round(epochs))
        epochs *= factor
    folds = 1.0
    while round(folds) < num_folds:
        found.append(max_epochs * round(folds))
        folds *= factor
    return list(dict.fromkeys(found))


@dataclass
class _Rung:
    """The trials that reached a rung. Each is `(-value, order of arrival, name)`, so that the best one sorts first."""

    reached: list[tuple[float, int, str]] = field(default_factory=list)
    waiting: list[tuple[float, int, str]] = field(default_factory=list)
    """The paused ones, as a heap."""

    def place(self) -> int:
        """The place of the best paused one, from 0."""
        return bisect.bisect_left(self.reached, self.waiting[0])


class Promotion:
    """Decides which trials pause, and which paused one continues: a `Scheduler`."""

    def __init__(self, rungs: Sequence[int], factor: float, earlier: Sequence[TrialRecord] = ()) -> None:
        """
        Args:
            rungs: As of `rungs_of`.
            factor: One in this many trials of a rung continues.
            earlier: The trials so far; paused ones wait, ended ones count at the rungs that they reached.
        """
        self.rungs: Sequence[int] = tuple(rungs)
        self._rungs = {rung: _Rung() for rung in rungs}
        self._factor = factor
        self._passed: dict[str, int] = {}
        """By trial, the last rung that it reached."""
        self._running: set[str] = set()
        self._unranked: list[str] = []
        """Paused ones that have reached no rung: of a call with other rungs."""
        for record in earlier:
            if record.state in ("diverged", "failed"):
                continue
            for epoch in record.epochs:
                self._reach(record.trial_id, epoch.epoch, epoch.value)
            if record.state == "paused":
                self.pause(record.trial_id)

    def start(self, trial_id: str) -> None:
        """A trial starts, or continues after an interruption."""
        self._running.add(trial_id)

    def end(self, trial_id: str, *, failed: bool) -> None:
        """A trial ended, or was lost. What it reached counts in any case."""
        self._running.discard(trial_id)

    def stops(self, trial_id: str, epoch: int, value: float) -> bool:
        """Whether a running trial pauses after this epoch, with this validation accuracy.

        An epoch that a retry repeats pauses no trial.
        """
        place = self._reach(trial_id, epoch, value)
        return place is not None and place >= self._num_promoted(self._rungs[epoch])

    def pause(self, trial_id: str) -> None:
        """A trial paused at the last rung that it reached."""
        self._running.discard(trial_id)
        if trial_id not in self._passed:
            self._unranked.append(trial_id)
            return
        rung = self._rungs[self._passed[trial_id]]
        heapq.heappush(rung.waiting, next(entry for entry in rung.reached if entry[2] == trial_id))

    def best_waiting(self, *, are_all_started: bool) -> str | None:
        """The trial to promote; None if no paused one is good enough yet.

        Args:
            are_all_started: Whether no new trial will start. At least `FEWEST_TO_THE_END` trials then continue from
                each rung that no running trial can still reach.
        """
        if self._unranked:
            return self._unranked[0]
        for rung in reversed(self._rungs.values()):
            if rung.waiting and rung.place() < self._num_promoted(rung):
                return rung.waiting[0][2]
        if are_all_started:
            for epoch, rung in self._rungs.items():  # the lowest first: what continues there may be better
                can_be_reached = any(self._passed.get(trial_id, 0) < epoch for trial_id in self._running)
                if rung.waiting and rung.place() < FEWEST_TO_THE_END and not can_be_reached:
                    return rung.waiting[0][2]
        return None

    def promote(self, trial_id: str) -> None:
        """Continue with the trial of `best_waiting`."""
        self._running.add(trial_id)
        if trial_id in self._unranked:
            self._unranked.remove(trial_id)
        else:
            heapq.heappop(self._rungs[self._passed[trial_id]].waiting)

    def _reach(self, trial_id: str, epoch: int, value: float) -> int | None:
        """Add a trial to the rung at this epoch. Returns its place, from 0; None without a rung or if it was there."""
        if epoch not in self._rungs or self._passed.get(trial_id, 0) >= epoch:
            return None
        self._passed[trial_id] = epoch
        rung = self._rungs[epoch]
        entry = (-value, len(rung.reached), trial_id)
        bisect.insort(rung.reached, entry)
        return bisect.bisect_left(rung.reached, entry)

    def _num_promoted(self, rung: _Rung) -> int:
        return int(len(rung.reached) / self._factor)


def expected_epochs(num_trials: int, rungs: Sequence[int], factor: float, max_epochs: int) -> int:
    """Number of epochs of all trials if each rung promotes one in `factor` of those that reach it."""
    total, left, before = 0.0, float(num_trials), 0
    for rung in (*rungs, max_epochs):
        total += left * (rung - before)
        left, before = max(left / factor, min(left, FEWEST_TO_THE_END)), rung
    return round(total)
