"""Which trials go on: ASHA by epoch, knowing what earlier calls of the search saw."""

from __future__ import annotations

from types import SimpleNamespace

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sldml.journal import OBJECTIVE, TrialRecord
from sldml.search.searcher import MODE
from sldml.spaces import SearchSettings


def make_scheduler(settings: SearchSettings, max_epochs: int, earlier: list[TrialRecord]) -> TrialScheduler:
    """The scheduler that the space asks for; ASHA's rungs are filled with the curves of ended trials."""
    if settings.scheduler == "none" or max_epochs <= settings.grace_period:
        return FIFOScheduler()
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=OBJECTIVE,
        mode=MODE,
        max_t=max_epochs,
        grace_period=settings.grace_period,
        reduction_factor=settings.reduction_factor,
    )
    for record in earlier:
        if record.state in ("completed", "pruned"):
            for epoch in record.epochs:
                # ASHA looks at nothing of a trial but its name.
                trial = SimpleNamespace(trial_id=record.trial_id)
                scheduler._brackets[0].on_result(trial, epoch["epoch"], epoch[OBJECTIVE])
    return scheduler
