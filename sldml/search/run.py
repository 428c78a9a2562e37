"""Trainings on the cluster: trials, final models, and class folds."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sldml.config.space import SearchSpace
from sldml.interruption import interruption
from sldml.journal import (
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldsScored,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialStarted,
)
from sldml.search.cluster import Slots
from sldml.search.final import FinalTraining, FoldTraining
from sldml.search.folders import has_final_weights
from sldml.search.hanging import HangWatch
from sldml.search.recorder import Recorder, epoch_fields
from sldml.search.searcher import Proposals
from sldml.search.trainable import Job, train_final, train_fold, train_trial
from sldml.search.watcher import Watcher

Config = Mapping[str, Any]
"""What a worker received, by Ray Tune."""
Result = Mapping[str, Any]
"""A worker's report, with Ray Tune's additions."""

_MACHINE_FAILURES = 2
"""How often a trial is tried again after its machine or process died."""
_MOST_LOST = 3
"""A trial that is lost in this many calls, each time after every retry, has failed."""


def run_trials(
    spaces: Mapping[str, SearchSpace],
    scheduler: TrialScheduler,
    job: Job,
    slots: Slots,
    recorder: Recorder,
    *,
    num_trials: int,
    deadline: float | None = None,
    first: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Run trials until `num_trials` of each choice have ended, or until `deadline` (seconds since 1970).

    Ended trials in the recorder's history are not run again; interrupted ones continue.

    Args:
        spaces: The space of each choice of a comparison (`History.by_choice`); a plain search has one.
        scheduler: Stops trials early, or none.
        job: What all trials share.
        slots: How many run side by side, and with which resources.
        recorder: Receives what happens.
        num_trials: Number of trials for each choice, earlier ones included.
        deadline: When to stop; unfinished trials can continue later.
        first: Configurations to begin with, by path.
    """
    proposals = Proposals(spaces, earlier=recorder.history.by_choice(), num_trials=num_trials, first=first)
    if not proposals.num_left:
        return
    stopper = _Deadline(deadline, proposals)
    _fit(
        train_trial,
        job,
        slots,
        events=_TrialEvents(recorder, stopper),
        say=recorder.say,
        stopper=stopper,
        tune_config={"search_alg": proposals, "scheduler": scheduler, "num_samples": proposals.num_left},
        param_space={},
    )


def run_finals(
    finals: Sequence[FinalTraining],
    job: Job,
    slots: Slots,
    recorder: Recorder,
    watcher: Watcher | None = None,
) -> None:
    """Train the final models that are not trained yet."""
    known = recorder.history.finals
    waiting = []
    for final in finals:
        record = known.get((final.trial_id, final.seed))
        # A trial that continued after an interruption may now be best at another epoch: its final models are new ones.
        is_trained = record is not None and record.state == "completed" and len(record.epochs) == final.num_epochs
        if not is_trained or not has_final_weights(job.storage, final.trial_id, final.seed, final.num_epochs):
            waiting.append(final)
    if not waiting:
        return
    if watcher is not None:
        watcher.training("final models", waiting, num_slots=slots.count)
    _fit_all(train_final, "final", waiting, job, slots, _FinalEvents(recorder), recorder.say)


def run_folds(
    plan: Sequence[FoldTraining],
    job: Job,
    slots: Slots,
    recorder: Recorder,
    watcher: Watcher | None = None,
) -> None:
    """Score configurations on all class folds, each fold a training of its own.

    Those with a score in the recorder's history are not run again.
    """
    has_folds = recorder.history.has_folds
    waiting = [fold for fold in plan if not has_folds(fold.trial_id, fold.num_epochs, fold.num_folds)]
    if not waiting:
        return
    if watcher is not None:
        watcher.training("class folds", waiting, num_slots=slots.count)
    _fit_all(train_fold, "fold", waiting, job, slots, _FoldEvents(recorder, watcher), recorder.say)


def _fit_all(
    trainable: Any,
    key: str,
    waiting: Sequence[FinalTraining | FoldTraining],
    job: Job,
    slots: Slots,
    events: _Events,
    say: Callable[[str], None],
) -> None:
    """Run `trainable` once with each of `waiting` under `key` of its configuration."""
    _fit(
        trainable,
        job,
        slots,
        events=events,
        say=say,
        stopper=_Deadline(),
        tune_config={"num_samples": 1},
        param_space={key: tune.grid_search(list(waiting))},
    )


def _fit(
    trainable: Any,
    job: Job,
    slots: Slots,
    *,
    events: _Events,
    say: Callable[[str], None],
    stopper: tune.Stopper,
    tune_config: Mapping[str, Any],
    param_space: Mapping[str, Any],
) -> None:
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="ray.tune")
    with tempfile.TemporaryDirectory(prefix="sldml-tune-") as folder:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, job=job), slots.resources),
            param_space=dict(param_space),
            tune_config=tune.TuneConfig(
                max_concurrent_trials=slots.count,
                reuse_actors=True,
                trial_dirname_creator=_short_name,
                **tune_config,
            ),
            run_config=tune.RunConfig(
                # What Tune itself writes is not needed afterwards: the journal is the truth.
                storage_path=folder,
                name="tune",
                callbacks=[_Callback(events, HangWatch(say))],
                stop=stopper,
                failure_config=tune.FailureConfig(max_failures=_MACHINE_FAILURES),
                verbose=0,
                # Not Ray's own for notebooks, which clears the output of the cell.
                progress_reporter=tune.CLIReporter(),
            ),
        ).fit()


def _short_name(trial: Trial) -> str:
    return str(trial.trial_id)


class _Deadline(tune.Stopper):  # type: ignore[misc]
    """Ends all trials at a deadline; they stay unfinished and can continue.

    Also raises KeyboardInterrupt for a Ctrl-C that came while Tune ran code of its own.
    """

    def __init__(self, deadline: float | None = None, proposals: Proposals | None = None) -> None:
        self._deadline, self._proposals = deadline, proposals
        self.reached = False

    def __call__(self, trial_id: str, result: Result) -> bool:
        return False

    def stop_all(self) -> bool:
        interruption.check()
        if self._deadline is not None and not self.reached and time.time() > self._deadline:
            self.reached = True
            if self._proposals is not None:
                self._proposals.abandon_running()
        return self.reached


class _Events(Protocol):
    """What happens to the trainings of one kind; `config` is the one that the worker received."""

    def started(self, config: Config) -> None: ...

    def reported(self, config: Config, result: Result) -> None: ...

    def ended(self, config: Config, result: Result) -> None:
        """`result` is the last report."""

    def lost(self, config: Config, error: str) -> None:
        """The process or the machine died, again after every retry."""


class _Callback(tune.Callback):  # type: ignore[misc]
    """Passes Tune's callbacks on, before the searcher is called with how a trial ended."""

    def __init__(self, events: _Events, watch: HangWatch) -> None:
        self._events, self._watch = events, watch

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._watch.look()

    def __getstate__(self) -> Config:
        """Nothing: Tune's snapshot is never restored, and a journal cannot be pickled."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.started(trial)
        self._events.started(trial.config)

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: Result, **info: Any) -> None:
        self._watch.reported(trial, result.get("worker"))
        self._events.reported(trial.config, result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.ended(trial)
        self._events.ended(trial.config, trial.last_result or {"state": "failed"})

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.ended(trial)
        if trial.status == Trial.ERROR:
            self._events.lost(trial.config, _one_line(trial))


class _TrialEvents:
    """Trials of the search."""

    def __init__(self, recorder: Recorder, stopper: _Deadline) -> None:
        self._recorder, self._stopper = recorder, stopper

    def started(self, config: Config) -> None:
        trial_id = config["trial_id"]
        if trial_id not in self._recorder.history.trials:  # else it resumes after an interruption
            self._recorder.record(TrialStarted(trial_id=trial_id, params=config["params"], config=config["config"]))

    def reported(self, config: Config, result: Result) -> None:
        if result.get("state") != "failed":
            self._recorder.record(TrialEpoch(trial_id=config["trial_id"], **epoch_fields(result)))

    def ended(self, config: Config, result: Result) -> None:
        state = result.get("state", "failed")
        if state == "running":
            if self._stopper.reached:  # interrupted, it can be resumed
                return
            state = "pruned"
        self._recorder.record(TrialEnded(trial_id=config["trial_id"], state=state, error=result.get("error")))

    def lost(self, config: Config, error: str) -> None:
        trial_id = config["trial_id"]
        if self._recorder.history.trials[trial_id].num_lost + 1 < _MOST_LOST:
            self._recorder.record(TrialLost(trial_id=trial_id, error=error))
        else:  # in several calls: then it is the configuration that kills its process
            self._recorder.record(TrialEnded(trial_id=trial_id, state="failed", error=error))


class _FinalEvents:
    """Final models."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def started(self, config: Config) -> None:
        final: FinalTraining = config["final"]
        known = self._recorder.history.finals.get((final.trial_id, final.seed))
        if known is None or known.has_ended:  # one that starts again after its end is a new one
            self._recorder.record(FinalStarted(trial_id=final.trial_id, seed=final.seed, config=final.config))

    def reported(self, config: Config, result: Result) -> None:
        final: FinalTraining = config["final"]
        if result.get("state") in ("running", "completed"):
            epoch = FinalEpoch(trial_id=final.trial_id, seed=final.seed, **epoch_fields(result))
            self._recorder.record(epoch)

    def ended(self, config: Config, result: Result) -> None:
        final: FinalTraining = config["final"]
        state = result.get("state", "failed")
        if state != "running":
            error = result.get("error")
            self._recorder.record(FinalEnded(trial_id=final.trial_id, seed=final.seed, state=state, error=error))

    def lost(self, config: Config, error: str) -> None:
        self.ended(config, {"state": "failed", "error": error})  # a resume trains what is not completed


class _FoldEvents:
    """Class folds: gathers those of a configuration, and records its score after the last one."""

    def __init__(self, recorder: Recorder, watcher: Watcher | None = None) -> None:
        self._recorder, self._watcher = recorder, watcher
        self._ended: dict[str, dict[int, float | str]] = {}
        """By trial and fold, its accuracy or its error."""

    def started(self, config: Config) -> None:
        if self._watcher is not None:
            self._watcher.fold_happened(config["fold"], None)

    def reported(self, config: Config, result: Result) -> None:
        if self._watcher is not None:
            self._watcher.fold_happened(config["fold"], result)

    def ended(self, config: Config, result: Result) -> None:
        fold: FoldTraining = config["fold"]
        number, ended = fold.fold, self._ended.setdefault(fold.trial_id, {})
        if result.get("state") == "completed":
            ended[number] = float(result["val/accuracy"])
        else:
            if "epoch" not in result and self._watcher is not None:  # no report said so before
                self._watcher.fold_happened(fold, {"state": "failed"})
            ended[number] = f"fold {number}: {result.get('error') or 'it did not end'}"
        if len(ended) < fold.num_folds:
            return
        in_order = [ended[place] for place in sorted(ended)]
        errors = [found for found in in_order if isinstance(found, str)]
        accuracies = tuple(found for found in in_order if not isinstance(found, str))
        self._recorder.record(
            FoldsScored(
                trial_id=fold.trial_id,
                num_epochs=fold.num_epochs,
                num_folds=fold.num_folds,
                accuracies=None if errors else accuracies,
                error="; ".join(errors) or None,
            )
        )

    def lost(self, config: Config, error: str) -> None:
        self.ended(config, {"state": "failed", "error": error})  # a resume scores what has no score


def _one_line(trial: Trial) -> str:
    lines = str(trial.get_error() or "the process of the trial died").strip().splitlines()
    return lines[-1][:500]
