"""A search without trainings: the real searcher and scheduler over known or made-up learning curves.

What a sampler and a scheduler are worth can be told in seconds, and over many seeds, where the curves of trainings
are recorded. Time is counted in epochs; so many trials run at once, and each epoch takes as long.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import TrialScheduler

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar
from sldml.journal import ALL, OBJECTIVE, Epoch, TrialRecord, TrialState
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

    def epochs_until(self, accuracy: float) -> int | None:
        """Epochs, over all trials, until the accuracy was reached; None where it never was."""
        return next((epoch for epoch, best in enumerate(self.best, start=1) if best >= accuracy), None)


class _Name:
    """A trial as schedulers want it: something to tell apart, in a state."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id, self.status = trial_id, "RUNNING"


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
    known = list(earlier)
    searcher = Proposals({ALL: space}, earlier={ALL: known}, num_trials=len(known) + num_trials, first=first)
    scheduler = make_scheduler(space.search, max_epochs, known)
    controller: Any = SimpleNamespace(get_live_trials=list)
    trials: list[TrialRecord] = []
    best: list[float] = []
    running: list[tuple[int, int, Any, TrialRecord, Sequence[float]]] = []
    order = itertools.count()

    def start(now: int) -> None:
        """Begin a trial, if there is one left to begin; its first epoch ends one later."""
        if len(trials) >= num_trials:
            return
        name = f"ray{len(trials)}"
        proposed = searcher.suggest(name)
        if proposed is None:
            return
        trial: Any = _Name(name)
        record = TrialRecord(proposed["trial_id"], proposed["config"], 0.0, params=proposed["params"])
        trials.append(record)
        scheduler.on_trial_add(controller, trial)
        heapq.heappush(running, (now + 1, next(order), trial, record, curve(record.params)))

    for _ in range(slots):
        start(0)
    while running and len(best) < most_epochs and (not best or best[-1] < goal):
        now, _, trial, record, values = heapq.heappop(running)
        epoch = len(record.epochs) + 1
        value = max([values[epoch - 1], *(e.best for e in record.epochs[-1:])])
        best.append(max([value, *best[-1:]]))
        state: TrialState = "completed" if epoch == max_epochs else "running"
        result = {"epoch": epoch, OBJECTIVE: value, "state": state, "training_iteration": epoch}
        record.epochs.append(Epoch(epoch=epoch, metrics={OBJECTIVE: value}, time=float(now)))
        searcher.reported(trial.trial_id, result)
        stopped = scheduler.on_trial_result(controller, trial, result) == TrialScheduler.STOP
        if state == "running" and not stopped:
            heapq.heappush(running, (now + 1, next(order), trial, record, values))
            continue
        record.state = "completed" if state == "completed" else "pruned"
        trial.status = "TERMINATED"
        scheduler.on_trial_complete(controller, trial, result)
        searcher.ended(trial.trial_id, record.state, result)
        start(now)
    return Replayed(trials, best)
