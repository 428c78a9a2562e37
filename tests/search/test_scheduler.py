"""Which trials are stopped early: by what the scheduler is told, also of earlier calls of the search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from support.made_history import epoch

from sldml.config.space import SearchSettings
from sldml.journal import OBJECTIVE, TrialRecord, TrialState
from sldml.search.scheduler import make_scheduler, prunes


def settings(**changes: Any) -> SearchSettings:
    return SearchSettings.model_validate({"scheduler": "asha", "grace_period": 2, "reduction_factor": 2, **changes})


def record(name: str, *values: float, state: TrialState = "completed") -> TrialRecord:
    epochs = [epoch(number, value) for number, value in enumerate(values, start=1)]
    return TrialRecord(name, {}, 0.0, state, epochs)


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "expected"),
    [("asha", 3, True), ("asha", 2, False), ("median", 9, True), ("none", 9, False)],
)
def test_trials_may_be_stopped_where_they_are_longer_than_the_grace_period(
    scheduler: str, max_epochs: int, expected: bool
) -> None:
    chosen = settings(scheduler=scheduler)
    assert prunes(chosen, max_epochs) is expected
    assert (type(make_scheduler(chosen, max_epochs, [])) is FIFOScheduler) is not expected


def decided(scheduler: ASHAScheduler, name: str, epoch: int, value: float) -> str:
    """What ASHA says of a new trial that reports this value."""
    trial: Any = SimpleNamespace(trial_id=name, config={})
    scheduler.on_trial_add(None, trial)
    decision: str = scheduler.on_trial_result(None, trial, {"epoch": epoch, OBJECTIVE: value})
    return decision


def test_asha_knows_what_earlier_calls_saw() -> None:
    earlier = [record("a", 0.5, 0.8), record("b", 0.5, 0.6, state="pruned"), record("c", 0.9, 0.9, state="running")]
    fresh, resumed = (make_scheduler(settings(), 8, known) for known in ([], earlier))
    # At the first rung (epoch 2) the upper half goes on: of 0.8 and 0.6 that is what is above 0.7. Unfinished trials
    # report again and do not count yet.
    assert decided(fresh, "t", 2, 0.65) == TrialScheduler.CONTINUE
    assert decided(resumed, "t", 2, 0.65) == TrialScheduler.STOP
    assert decided(resumed, "u", 2, 0.85) == TrialScheduler.CONTINUE
