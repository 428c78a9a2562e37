"""Which trials stop early, and which continue: by promotion, or by one of Ray Tune's schedulers.

All know the trials of earlier calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sldml.config.space import SearchSettings, SearchSpace
from sldml.journal import OBJECTIVE, TrialRecord
from sldml.search.promotion import Promotion, expected_epochs, rungs_of

_FEWEST_FOR_A_MEDIAN = 3


class Scheduler(Protocol):
    """Decides after each report whether a trial stops. `value` is its validation accuracy."""

    @property
    def rungs(self) -> Sequence[int]:
        """The epochs at which trials pause. Without any, trials that stop have ended."""

    def start(self, trial_id: str) -> None:
        """A trial starts, or continues after an interruption."""

    def stops(self, trial_id: str, epoch: int, value: float) -> bool:
        """Whether a trial stops after this epoch."""

    def end(self, trial_id: str, *, failed: bool) -> None:
        """A trial ended, or was lost."""

    def pause(self, trial_id: str) -> None:
        """A trial stopped, and may continue."""

    def best_waiting(self, *, are_all_started: bool) -> str | None:
        """The paused trial to continue; None if there is none at the moment."""

    def promote(self, trial_id: str) -> None:
        """The trial of `best_waiting` continues."""


def make_scheduler(space: SearchSpace, earlier: Sequence[TrialRecord]) -> Scheduler:
    """The scheduler of a space, with the learning curves of earlier trials."""
    settings = space.search
    if not prunes(space):
        return Stopping(FIFOScheduler())
    match settings.scheduler:
        case "median":
            return Stopping(_median(settings, earlier))
        case "asha":
            return Stopping(_asha(settings, space.default_config().num_epochs, earlier))
        case _:
            return Promotion(rungs(space), settings.reduction_factor, earlier)


def prunes(space: SearchSpace) -> bool:
    """Whether trials may be paused or stopped before their last epoch."""
    return space.search.scheduler != "none" and space.default_config().num_epochs > space.search.grace_period


def rungs(space: SearchSpace) -> list[int]:
    """The epochs at which trials pause; none without promotion."""
    settings, config = space.search, space.default_config()
    if settings.scheduler != "promotion":
        return []
    num_folds = config.evaluation.num_folds
    return rungs_of(settings.grace_period, settings.reduction_factor, config.train.max_epochs, num_folds)


def planned_epochs(space: SearchSpace, num_trials: int) -> int | None:
    """Expected number of epochs of all trials; None if it cannot be known beforehand."""
    longest = space.default_config().num_epochs
    if not prunes(space):
        return num_trials * longest
    if at := rungs(space):
        return expected_epochs(num_trials, at, space.search.reduction_factor, longest)
    return None


class Stopping:
    """A scheduler of Ray Tune. Trials that it stops have ended."""

    rungs: Sequence[int] = ()

    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler
        self._running: dict[str, _Scheduled] = {}

    def start(self, trial_id: str) -> None:
        """Add a trial."""
        self._running[trial_id] = trial = _Scheduled(trial_id)
        self._scheduler.on_trial_add(_NO_CONTROLLER, trial)

    def stops(self, trial_id: str, epoch: int, value: float) -> bool:
        """Whether a trial stops after this epoch."""
        trial = self._running[trial_id]
        trial.last = {"epoch": epoch, OBJECTIVE: value}
        return bool(self._scheduler.on_trial_result(_NO_CONTROLLER, trial, dict(trial.last)) == TrialScheduler.STOP)

    def end(self, trial_id: str, *, failed: bool) -> None:
        """Remove a trial; the results of one that failed do not count as those of a whole one."""
        trial = self._running.pop(trial_id)
        trial.status = "TERMINATED"
        if trial.last and not failed:
            self._scheduler.on_trial_complete(_NO_CONTROLLER, trial, dict(trial.last))

    def pause(self, trial_id: str) -> None:
        """Never called."""
        raise AssertionError(f"{trial_id}: a scheduler of Ray Tune pauses no trial")

    def best_waiting(self, *, are_all_started: bool) -> str | None:
        """None: what is stopped has ended."""
        return None

    def promote(self, trial_id: str) -> None:
        """Never called."""
        raise AssertionError(f"{trial_id}: a scheduler of Ray Tune promotes no trial")


class _Scheduled:
    """A trial for the schedulers of Tune, which use its name and whether it runs."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id, self.status = trial_id, "RUNNING"
        self.last: dict[str, float] = {}


_NO_CONTROLLER: Any = SimpleNamespace(get_live_trials=list)
"""Neither ASHA nor the median rule (which never pauses here) uses Tune's controller."""


def _asha(settings: SearchSettings, max_epochs: int, earlier: Sequence[TrialRecord]) -> TrialScheduler:
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=OBJECTIVE,
        mode="max",
        max_t=max_epochs,
        grace_period=settings.grace_period,
        reduction_factor=settings.reduction_factor,
    )
    for record in earlier:
        if record.state in ("completed", "pruned"):
            for epoch in record.epochs:
                # ASHA uses only the name of a trial.
                trial = SimpleNamespace(trial_id=record.trial_id)
                scheduler._brackets[0].on_result(trial, epoch.epoch, epoch.value)
    return scheduler


def _median(settings: SearchSettings, earlier: Sequence[TrialRecord]) -> TrialScheduler:
    scheduler = MedianStoppingRule(
        time_attr="epoch",
        metric=OBJECTIVE,
        mode="max",
        grace_period=settings.grace_period,
        min_samples_required=_FEWEST_FOR_A_MEDIAN,
        # Never pause a trial to start others: it would have to start again.
        min_time_slice=math.inf,
    )
    for record in earlier:
        if record.state in ("completed", "pruned") and record.epochs:
            # The rule uses a trial only as a key.
            trial = _Ended(record.trial_id)
            scheduler._results[trial] = [{"epoch": e.epoch, OBJECTIVE: e.value} for e in record.epochs]
    return scheduler


@dataclass(frozen=True)
class _Ended:
    trial_id: str
