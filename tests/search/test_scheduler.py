"""Which trials are stopped early: by what the scheduler is told, also of earlier calls of the search."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_history import epoch

from sldml.config.space import SearchSpace
from sldml.config.space_file import read_space
from sldml.journal import TrialRecord, TrialState
from sldml.search.promotion import Promotion
from sldml.search.scheduler import Scheduler, Stopping, make_scheduler, planned_epochs, prunes


def space_of(max_epochs: int, **changes: Any) -> SearchSpace:
    settings = {"scheduler": "asha", "grace_period": 2, "reduction_factor": 2, **changes}
    return read_space({"search": settings, "fixed": {"train": {"max_epochs": max_epochs}}})


def record(name: str, *values: float, state: TrialState = "completed") -> TrialRecord:
    epochs = [epoch(number, value) for number, value in enumerate(values, start=1)]
    return TrialRecord(name, {}, 0.0, state, epochs)


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "expected"),
    [("promotion", 3, True), ("promotion", 2, False), ("asha", 3, True), ("asha", 2, False), ("median", 9, True),
     ("none", 9, False)],
)  # fmt: skip
def test_trials_may_be_stopped_where_they_are_longer_than_the_grace_period(
    scheduler: str, max_epochs: int, expected: bool
) -> None:
    space = space_of(max_epochs, scheduler=scheduler)
    assert prunes(space) is expected
    made = make_scheduler(space, [])
    assert isinstance(made, Promotion) is (scheduler == "promotion" and expected)
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.1)):
        made.start(name)
        if not isinstance(made, Promotion):
            assert not made.stops(name, 1, value)
    stopped = [name for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.1)) if made.stops(name, 2, value)]
    assert bool(stopped) is expected


def test_the_epochs_of_a_search_are_planned_where_they_can_be_known() -> None:
    assert planned_epochs(space_of(8, scheduler="none"), 10) == 80
    assert planned_epochs(space_of(8), 10) is None
    assert planned_epochs(space_of(16, scheduler="promotion"), 8) == 8 * 2 + 4 * 2 + 2 * 4 + 2 * 8


def stops(scheduler: Scheduler, name: str, epoch: int, value: float) -> bool:
    """What is said of a new trial that reports this value."""
    scheduler.start(name)
    return scheduler.stops(name, epoch, value)


def test_asha_knows_what_earlier_calls_saw() -> None:
    earlier = [record("a", 0.5, 0.8), record("b", 0.5, 0.6, state="pruned"), record("c", 0.9, 0.9, state="running")]
    fresh, resumed = (make_scheduler(space_of(8), known) for known in ([], earlier))
    # At the first rung (epoch 2) the upper half goes on: of 0.8 and 0.6 that is what is above 0.7. Unfinished trials
    # report again and do not count yet.
    assert not stops(fresh, "t", 2, 0.65)
    assert stops(resumed, "t", 2, 0.65)
    assert not stops(resumed, "u", 2, 0.85)


def test_median_compares_with_the_running_means_of_earlier_trials() -> None:
    earlier = [record(name, *[value] * 8) for name, value in (("a", 0.5), ("b", 0.6), ("c", 0.7))]
    for failed in (False, True):
        scheduler = make_scheduler(space_of(9, scheduler="median"), earlier)
        assert stops(scheduler, "t", 3, 0.55)
        assert not stops(scheduler, "u", 3, 0.65)
        scheduler.end("u", failed=failed)


def test_a_scheduler_of_ray_neither_pauses_nor_promotes() -> None:
    scheduler = make_scheduler(space_of(8), [])
    assert isinstance(scheduler, Stopping)
    assert scheduler.best_waiting(are_all_started=True) is None
    with pytest.raises(AssertionError, match="pauses no trial"):
        scheduler.pause("t")
    with pytest.raises(AssertionError, match="promotes no trial"):
        scheduler.promote("t")
