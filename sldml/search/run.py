"""The stages of a search that train trials and final models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sldml.config.space import SearchSpace
from sldml.journal import (
    OBJECTIVE,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    LeftOut,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
)
from sldml.search.beside import Together
from sldml.search.final import FinalTraining, is_trained
from sldml.search.folders import has_final_weights
from sldml.search.listed import Listed
from sldml.search.pool import Config, Pool, Result, Stage
from sldml.search.recorder import Recorder, epoch_fields
from sldml.search.scheduler import Scheduler, make_scheduler, rungs
from sldml.search.searcher import Proposals
from sldml.search.watcher import Watcher

_MOST_LOST = 3
"""A trial that is lost in this many calls, each time after every retry, has failed."""


def run_trials(
    spaces: Mapping[str, SearchSpace],
    pool: Pool,
    recorder: Recorder,
    *,
    num_trials: int,
    deadline: Callable[[], float | None] = lambda: None,
    first: Sequence[Mapping[str, Any]] = (),
    beside: Stage | None = None,
) -> None:
    """Run trials until `num_trials` of each choice have ended, or until their deadline.

    Ended trials in the recorder's history are not run again; interrupted and paused ones continue.

    Args:
        spaces: The space of each choice of a comparison (`History.by_choice`); a plain search has one.
        pool: The processes.
        recorder: Receives what happens.
        num_trials: Number of trials for each choice, earlier ones included.
        deadline: When to stop, seconds since 1970; asked again and again. Unfinished trials can continue later.
        first: Configurations to begin with, by path.
        beside: Other work, which shares the slots; it is over, too, when this returns before the deadline.
    """
    history = recorder.history
    space = next(iter(spaces.values()))  # all choices have the same scheduler
    at = rungs(space)
    for record in [record for record in history.trials.values() if record.state == "running" and record.epochs]:
        if record.epochs[-1].epoch in at:  # interrupted before it was recorded as paused
            recorder.record(TrialPaused(trial_id=record.trial_id))
    proposals = Proposals(spaces, earlier=history.by_choice(), num_trials=num_trials, first=first)
    stage = _TrialStage(proposals, make_scheduler(space, list(history.trials.values())), recorder, deadline)
    whole: Stage = stage if beside is None else Together(stage, beside, pool.num_slots)
    if not whole.is_over():
        pool.run(whole)
    if stage.is_over():
        end_paused(recorder)
    elif deadline() is not None:
        wanted, ended = len(spaces) * num_trials, sum(record.has_ended for record in history.trials.values())
        begun = len(history.trials) - ended
        recorder.record(LeftOut(what=f"{wanted - ended} of {wanted} trials ({begun} of them begun)"))


def end_paused(recorder: Recorder) -> None:
    """Trials that are not promoted end as pruned."""
    for record in [record for record in recorder.history.trials.values() if record.state == "paused"]:
        recorder.record(TrialEnded(trial_id=record.trial_id, state="pruned"))


def run_finals(
    finals: Sequence[FinalTraining],
    storage: str,
    pool: Pool,
    recorder: Recorder,
    watcher: Watcher | None = None,
    *,
    deadline: float | None = None,
    expected_s: Callable[[FinalTraining], float] = lambda final: 0.0,
) -> None:
    """Train the final models that are not trained yet.

    Args:
        finals: All of them, the most important one first.
        storage: The search's folder.
        pool: The processes.
        recorder: Receives what happens.
        watcher: Shows it.
        deadline: When to stop, seconds since 1970. Except the first one, a model that would not be trained by then is
            not begun.
        expected_s: How long a training will take.
    """
    waiting = [
        final
        for final in finals
        if not is_trained(recorder.history, final)
        or not has_final_weights(storage, final.trial_id, final.seed, final.num_epochs)
    ]
    if not waiting:
        return
    if watcher is not None:
        watcher.training("final models", waiting, num_slots=pool.num_slots)
    pool.run(_FinalStage(waiting, recorder, deadline, expected_s))
    left = [final.name for final in waiting if not is_trained(recorder.history, final)]
    if deadline is not None and left:
        recorder.record(LeftOut(what=f"{len(left)} of {len(finals)} final models ({', '.join(left)})"))


class _TrialStage:
    """The trials of a search."""

    def __init__(
        self,
        proposals: Proposals,
        scheduler: Scheduler,
        recorder: Recorder,
        deadline: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._proposals, self._scheduler, self._recorder = proposals, scheduler, recorder
        self._deadline = deadline
        self._running: set[str] = set()

    def next(self, key: str) -> Config | None:
        config = self._promoted(key) or self._proposals.suggest(key)
        if config is None:
            return None
        self._running.add(key)
        self._scheduler.start(config["trial_id"])
        return {**config, "rungs": self._scheduler.rungs}

    def _promoted(self, key: str) -> Config | None:
        """A paused trial that continues."""
        trial_id = self._scheduler.best_waiting(are_all_started=not self._proposals.num_left)
        if trial_id is None:
            return None
        self._scheduler.promote(trial_id)
        return self._proposals.resume(key, self._recorder.history.trials[trial_id])

    def is_over(self) -> bool:
        if self._running or self._proposals.num_left:
            return False
        return self._scheduler.best_waiting(are_all_started=True) is None

    def has_expired(self) -> bool:
        deadline = self._deadline()
        return deadline is not None and time.time() > deadline

    def stops(self, key: str, config: Config, result: Result) -> bool:
        if result.get("state") != "running":
            return False
        return self._scheduler.stops(config["trial_id"], result["epoch"], result[OBJECTIVE])

    def started(self, config: Config) -> None:
        trial_id = config["trial_id"]
        if trial_id not in self._recorder.history.trials:  # else it continues
            self._recorder.record(TrialStarted(trial_id=trial_id, params=config["params"], config=config["config"]))

    def reported(self, key: str, config: Config, result: Result) -> None:
        if result.get("state") != "failed":
            self._recorder.record(TrialEpoch(trial_id=config["trial_id"], **epoch_fields(result)))
            self._proposals.reported(key, result)

    def ended(self, key: str, config: Config, result: Result) -> None:
        state, trial_id = result.get("state", "failed"), config["trial_id"]
        if state == "running" and self._scheduler.rungs:
            self._recorder.record(TrialPaused(trial_id=trial_id))
            self._scheduler.pause(trial_id)
            self._running.discard(key)
            self._proposals.ended(key, "paused", result)
            return
        if state == "running":  # the scheduler stopped it
            state = "pruned"
        self._recorder.record(TrialEnded(trial_id=trial_id, state=state, error=result.get("error")))
        self._end(key, config, state, result)

    def retried(self, config: Config, error: str) -> None:
        self._recorder.retried(config["trial_id"], error)

    def lost(self, key: str, config: Config, error: str) -> None:
        trial_id = config["trial_id"]
        if self._recorder.history.trials[trial_id].num_lost + 1 < _MOST_LOST:
            self._recorder.record(TrialLost(trial_id=trial_id, error=error))
        else:  # in several calls: then it is the configuration that kills its process
            self._recorder.record(TrialEnded(trial_id=trial_id, state="failed", error=error))
        self._end(key, config, "failed", {})

    def _end(self, key: str, config: Config, state: str, result: Result) -> None:
        self._running.discard(key)
        self._scheduler.end(config["trial_id"], failed=state == "failed")
        self._proposals.ended(key, state, result)


class _FinalStage(Listed[FinalTraining]):
    """Final models."""

    def __init__(
        self,
        waiting: Sequence[FinalTraining],
        recorder: Recorder,
        deadline: float | None = None,
        expected_s: Callable[[FinalTraining], float] = lambda final: 0.0,
    ) -> None:
        super().__init__("final", waiting, deadline)
        self._recorder, self._expected_s, self._first = recorder, expected_s, waiting[0]

    def next(self, key: str) -> Config | None:
        if self._waiting and not self._fits(self._waiting[0]):
            self._waiting.clear()
        return super().next(key)

    def _fits(self, final: FinalTraining) -> bool:
        """Whether a model will be trained at the deadline; the first one is begun in any case."""
        if self._deadline is None or final == self._first:
            return True
        return time.time() + self._expected_s(final) <= self._deadline

    def started(self, config: Config) -> None:
        final: FinalTraining = config["final"]
        known = self._recorder.history.finals.get((final.trial_id, final.seed))
        if known is None or known.has_ended:  # one that starts again after its end is a new one
            self._recorder.record(FinalStarted(trial_id=final.trial_id, seed=final.seed, config=final.config))

    def reported(self, key: str, config: Config, result: Result) -> None:
        final: FinalTraining = config["final"]
        if result.get("state") in ("running", "completed"):
            epoch = FinalEpoch(trial_id=final.trial_id, seed=final.seed, **epoch_fields(result))
            self._recorder.record(epoch)

    def ended(self, key: str, config: Config, result: Result) -> None:
        super().ended(key, config, result)
        final: FinalTraining = config["final"]
        state = result.get("state", "failed")
        if state != "running":
            error = result.get("error")
            self._recorder.record(FinalEnded(trial_id=final.trial_id, seed=final.seed, state=state, error=error))

    def retried(self, config: Config, error: str) -> None:
        self._recorder.retried(config["final"].name, error)

    def lost(self, key: str, config: Config, error: str) -> None:
        # A resume trains what is not completed.
        self.ended(key, config, {"state": "failed", "error": error})
