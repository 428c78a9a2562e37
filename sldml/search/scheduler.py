"""Early stopping by ASHA or the median rule, including the trials of earlier calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sldml.config.space import SearchSettings
from sldml.journal import OBJECTIVE, TrialRecord

_FEWEST_FOR_A_MEDIAN = 3


def make_scheduler(settings: SearchSettings, max_epochs: int, earlier: list[TrialRecord]) -> TrialScheduler:
    """The scheduler of the space, with the learning curves of earlier trials."""
    if not prunes(settings, max_epochs):
        return FIFOScheduler()
    if settings.scheduler == "median":
        return _median(settings, earlier)
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
                scheduler._brackets[0].on_result(trial, epoch.epoch, epoch.best)
    return scheduler


def prunes(settings: SearchSettings, max_epochs: int) -> bool:
    """Whether trials may be stopped before their last epoch."""
    return settings.scheduler != "none" and max_epochs > settings.grace_period


def _median(settings: SearchSettings, earlier: list[TrialRecord]) -> TrialScheduler:
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
            scheduler._results[trial] = [{"epoch": e.epoch, OBJECTIVE: e.best} for e in record.epochs]
    return scheduler


@dataclass(frozen=True)
class _Ended:
    trial_id: str
