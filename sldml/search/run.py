"""Running trials on the cluster: the search, the final trainings, and the class folds that decide what ships."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sldml.config.space import SearchSpace
from sldml.interruption import interruption
from sldml.journal import TrialState
from sldml.search.cluster import Slots
from sldml.search.comparing import ComparisonSearch
from sldml.search.recorder import Recorder
from sldml.search.scheduler import make_scheduler
from sldml.search.searcher import StudySearch
from sldml.search.trainable import Job, train_final, train_fold, train_trial
from sldml.search.watcher import Watcher

_MACHINE_FAILURES = 2
"""So often is a trial tried again after its machine or process died."""


def run_search(
    space: SearchSpace,
    job: Job,
    slots: Slots,
    recorder: Recorder,
    *,
    num_trials: int,
    deadline: float | None,
    first: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Search until `num_trials` trials in all have ended, or until `deadline` (seconds since 1970).

    Trials that the recorder's history has are not run again; interrupted ones go on. The search begins with the
    configurations of `first`.
    """
    earlier = list(recorder.history.trials.values())
    remaining = num_trials - sum(record.has_ended for record in earlier)
    if remaining < 1:
        return
    max_epochs = space.default_config().train.max_epochs
    searcher = StudySearch(space, earlier=earlier, seed=space.search.seed + len(earlier), first=first)
    scheduler = make_scheduler(space.search, max_epochs, earlier)
    _run_trials(searcher, scheduler, remaining, job, slots, recorder, deadline)


def run_comparison(
    spaces: Mapping[str, SearchSpace],
    job: Job,
    slots: Slots,
    recorder: Recorder,
    *,
    num_trials: int,
    deadline: float | None,
    first: Sequence[Mapping[str, Any]] = (),
) -> None:
    """As `run_search`, with `num_trials` trials for each choice of a comparison, all of them to their last epoch.

    `spaces`: the space of each choice.
    """
    searcher = ComparisonSearch(spaces, earlier=recorder.history.by_choice(), num_trials=num_trials, first=first)
    if searcher.num_left:
        _run_trials(searcher, FIFOScheduler(), searcher.num_left, job, slots, recorder, deadline)


def _run_trials(
    searcher: StudySearch | ComparisonSearch,
    scheduler: TrialScheduler,
    num_trials: int,
    job: Job,
    slots: Slots,
    recorder: Recorder,
    deadline: float | None,
) -> None:
    stopper = _Deadline(deadline, searcher)
    _fit(
        train_trial,
        job,
        slots,
        callback=_SearchCallback(recorder, stopper),
        stopper=stopper,
        tune_config={"search_alg": searcher, "scheduler": scheduler, "num_samples": num_trials},
        param_space={},
    )


def run_finals(
    finals: Sequence[Mapping[str, Any]],
    job: Job,
    slots: Slots,
    recorder: Recorder,
    watcher: Watcher | None = None,
) -> None:
    """Train the final models; each of `finals` has `trial_id`, `seed`, `config` and `num_epochs`."""
    known = recorder.history.finals
    waiting = []
    for final in finals:
        record = known.get((final["trial_id"], final["seed"]))
        # A trial that went on after an interruption may be best at another epoch now: then its models are anew.
        if record is None or record.state != "completed" or len(record.epochs) != final["num_epochs"]:
            waiting.append(dict(final))
    if not waiting:
        return
    if watcher is not None:
        watcher.training("final models", waiting, num_slots=slots.count)
    _fit(
        train_final,
        job,
        slots,
        callback=_FinalCallback(recorder),
        stopper=_Deadline(),
        tune_config={"num_samples": 1},
        param_space={"final": tune.grid_search(waiting)},
    )


def run_folds(
    plan: Sequence[Mapping[str, Any]],
    job: Job,
    slots: Slots,
    recorder: Recorder,
    watcher: Watcher | None = None,
) -> None:
    """Score configurations on all class folds, each fold a training of its own.

    Each of `plan` has `trial_id`, `config`, `num_epochs` and `num_folds`. Those that the recorder's history has are
    not run again.
    """
    waiting = [
        {**entry, "fold": fold}
        for entry in plan
        if not recorder.history.has_folds(entry["trial_id"], entry["num_epochs"], entry["num_folds"])
        for fold in range(1, entry["num_folds"] + 1)
    ]
    if not waiting:
        return
    if watcher is not None:
        watcher.training("class folds", waiting, num_slots=slots.count)
    _fit(
        train_fold,
        job,
        slots,
        callback=_FoldCallback(recorder, watcher),
        stopper=_Deadline(),
        tune_config={"num_samples": 1},
        param_space={"fold": tune.grid_search(waiting)},
    )


def _fit(
    trainable: Any,
    job: Job,
    slots: Slots,
    *,
    callback: tune.Callback,
    stopper: tune.Stopper,
    tune_config: dict[str, Any],
    param_space: dict[str, Any],
) -> None:
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="ray.tune")
    with tempfile.TemporaryDirectory(prefix="sldml-tune-") as folder:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, job=job), slots.resources),
            param_space=param_space,
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
                callbacks=[callback],
                stop=stopper,
                failure_config=tune.FailureConfig(max_failures=_MACHINE_FAILURES),
                verbose=0,
            ),
        ).fit()


def _short_name(trial: Trial) -> str:
    return str(trial.trial_id)


class _Deadline(tune.Stopper):  # type: ignore[misc]
    """Ends all trials when the time is over; they stay unfinished and can go on.

    It sees to it, too, that no Ctrl-C is lost in what Tune calls.
    """

    def __init__(self, deadline: float | None = None, searcher: StudySearch | ComparisonSearch | None = None) -> None:
        self._deadline, self._searcher = deadline, searcher
        self.reached = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        interruption.check()
        if self._deadline is not None and not self.reached and time.time() > self._deadline:
            self.reached = True
            if self._searcher is not None:
                self._searcher.stop_telling()
        return self.reached


class _SearchCallback(tune.Callback):  # type: ignore[misc]
    """Hands over to the recorder what Tune says of trials, before the searcher hears how they ended."""

    def __init__(self, recorder: Recorder, stopper: _Deadline) -> None:
        self._recorder, self._stopper = recorder, stopper

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune's snapshot is never restored, and a journal cannot be pickled."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        config = trial.config
        self._recorder.trial_started(config["trial_id"], config["params"], config["config"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("state") != "failed":
            self._recorder.epoch(trial.config["trial_id"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result or {}
        state: TrialState = result.get("state", "failed")
        if state == "running" and not self._stopper.reached:
            state = "pruned"
        self._recorder.trial_ended(trial.config["trial_id"], state, result.get("error"))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.status == Trial.ERROR:
            self._recorder.trial_ended(trial.config["trial_id"], "failed", _one_line(trial))


class _FinalCallback(tune.Callback):  # type: ignore[misc]
    """The same for final trainings."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        final = trial.config["final"]
        self._recorder.final_started(final["trial_id"], final["seed"], final["config"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        final = trial.config["final"]
        if result.get("state") in ("running", "completed"):
            self._recorder.final_epoch(final["trial_id"], final["seed"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        final, result = trial.config["final"], trial.last_result or {}
        self._recorder.final_ended(final["trial_id"], final["seed"], result.get("state", "failed"), result.get("error"))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.status == Trial.ERROR:
            final = trial.config["final"]
            self._recorder.final_ended(final["trial_id"], final["seed"], "failed", _one_line(trial))


class _FoldCallback(tune.Callback):  # type: ignore[misc]
    """Gathers the folds of each configuration, and hands them over to the recorder when the last one is there."""

    def __init__(self, recorder: Recorder, watcher: Watcher | None = None) -> None:
        self._recorder, self._watcher = recorder, watcher
        self._accuracies: dict[str, dict[int, float]] = {}
        self._errors: dict[str, dict[int, str]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watched(trial, None)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._watched(trial, result)

    def _watched(self, trial: Trial, result: dict[str, Any] | None) -> None:
        if self._watcher is not None:
            self._watcher.fold_happened(trial.config["fold"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result or {}
        if result.get("state") == "completed":
            self._ended(trial.config["fold"], result["val/accuracy"], None)
        else:
            self._ended(trial.config["fold"], None, result.get("error") or "it did not end")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.status == Trial.ERROR:
            self._watched(trial, {"state": "failed"})
            self._ended(trial.config["fold"], None, _one_line(trial))

    def _ended(self, fold: Mapping[str, Any], accuracy: float | None, error: str | None) -> None:
        trial_id, number, num_folds = fold["trial_id"], fold["fold"], fold["num_folds"]
        accuracies, errors = self._accuracies.setdefault(trial_id, {}), self._errors.setdefault(trial_id, {})
        if accuracy is not None:
            accuracies[number] = float(accuracy)
        else:
            errors[number] = f"fold {number}: {error}"
        if len(accuracies) + len(errors) < num_folds:
            return
        self._recorder.folds(
            trial_id,
            num_epochs=fold["num_epochs"],
            num_folds=num_folds,
            accuracies=None if errors else [accuracies[f] for f in range(1, num_folds + 1)],
            error="; ".join(errors[f] for f in sorted(errors)) or None,
        )


def _one_line(trial: Trial) -> str:
    lines = str(trial.get_error() or "the process of the trial died").strip().splitlines()
    return lines[-1][:500]
