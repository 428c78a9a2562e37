"""A search without trainings: the real searcher and scheduler over known or made-up learning curves.

Time is counted in epochs; trials run side by side, and each epoch takes as long.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar
from sldml.journal import ALL, OBJECTIVE, Event, History, TrialRecord
from sldml.search.run import _TrialStage, end_paused
from sldml.search.scheduler import make_scheduler
from sldml.search.searcher import Proposals

Curve = Callable[[Mapping[str, Scalar]], Sequence[float]]
"""From a trial's parameters to the validation accuracy after each of its epochs."""


@dataclass(frozen=True)
class Replayed:
    """What a replayed search did."""

    trials: list[TrialRecord]
    best: list[float]
    """The best accuracy seen after each epoch that any trial ran, in the order in which they ended."""
    reports: list[tuple[str, int, float]]
    """Of each of these epochs, the trial, its number in the trial, and the accuracy that was reported."""

    def epochs_until(self, accuracy: float) -> int | None:
        """Epochs, over all trials, until the accuracy was reached; None where it never was."""
        return next((epoch for epoch, best in enumerate(self.best, start=1) if best >= accuracy), None)


class _Memory:
    """A recorder without a journal."""

    def __init__(self, earlier: Sequence[TrialRecord]) -> None:
        self.history = History(trials={record.trial_id: record for record in earlier})

    def record(self, event: Event) -> None:
        self.history.apply(event)


def replay(
    space: SearchSpace,
    curve: Curve,
    *,
    num_trials: int,
    max_epochs: int,
    slots: int = 2,
    earlier: Sequence[TrialRecord] = (),
    first: Sequence[Mapping[str, Scalar]] = (),
    goal: float = math.inf,
    most_epochs: float = math.inf,
) -> Replayed:
    """Search `space` by its own sampler and scheduler, with curves in place of trainings.

    Args:
        space: What is searched, and by which sampler and scheduler.
        curve: What a training of some parameters would have given, at least `max_epochs` long.
        num_trials: How many trials in all.
        max_epochs: Epochs of a trial that is not stopped.
        slots: Trials at once.
        earlier: Ended trials of an earlier call.
        first: Configurations to begin with.
        goal: Stop once this accuracy is reached,
        most_epochs: or after so many epochs of all trials together.
    """
    space = space.fixed("train.max_epochs", max_epochs)
    memory: Any = _Memory(earlier)
    proposals = Proposals({ALL: space}, earlier={ALL: list(earlier)}, num_trials=len(earlier) + num_trials, first=first)
    scheduler = make_scheduler(space, list(earlier))
    stage = _TrialStage(proposals, scheduler, memory)
    best: list[float] = []
    reports: list[tuple[str, int, float]] = []
    running: list[tuple[int, int, str, Any, Sequence[float]]] = []
    order = itertools.count()
    curves: dict[str, Sequence[float]] = {}

    def fill(now: int) -> None:
        """Begin or continue trials in all free slots, if there are any; their next epochs end one later."""
        while len(running) < slots:
            key = f"ray{next(order)}"
            if (config := stage.next(key)) is None:
                return
            stage.started(config)
            name = config["trial_id"]
            if name not in curves:  # else it continues
                curves[name] = curve(config["params"])
            heapq.heappush(running, (now + 1, next(order), key, config, curves[name]))

    fill(0)
    while running and len(best) < most_epochs and (not best or best[-1] < goal):
        now, _, key, config, values = heapq.heappop(running)
        record = memory.history.trials[config["trial_id"]]
        epoch = len(record.epochs) + 1
        value = values[epoch - 1]
        best.append(max([value, *best[-1:]]))
        reports.append((record.trial_id, epoch, value))
        result = {"epoch": epoch, OBJECTIVE: value, "state": "completed" if epoch == max_epochs else "running"}
        stops = stage.stops(key, config, result)
        stage.reported(key, config, result)
        if epoch == max_epochs or stops:
            stage.ended(key, config, result)
            fill(now)
        else:
            heapq.heappush(running, (now + 1, next(order), key, config, values))
    if stage.is_over():
        end_paused(memory)
    known = {record.trial_id for record in earlier}
    return Replayed([t for name, t in memory.history.trials.items() if name not in known], best, reports)
