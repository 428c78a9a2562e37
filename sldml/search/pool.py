"""A pool of worker processes that run the trainings of all stages of a search.

Ray Tune runs once, from the first training to the last. Processes are kept between stages, because a new process needs
seconds for its imports. A `Stage` provides trainings and receives their reports.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from sldml.interruption import interruption
from sldml.search.cluster import Slots
from sldml.search.hanging import HangWatch
from sldml.search.trainable import WARM_UP, Job, train

Config = Mapping[str, Any]
"""What a worker receives, by Ray Tune."""
Result = Mapping[str, Any]
"""A worker's report, with Ray Tune's additions."""

_MACHINE_FAILURES = 2
"""How often a training is tried again after its machine or process died."""
_LOOK_S = 0.1
_OTHERS_START_S = 15.0
"""How long a process that is ready waits for the others: they start side by side, unless a node is missing."""
_INTERRUPT_S = 5.0
"""Time for the trainings of an expired stage to end at their next report, so that their processes are kept."""
_END_S = 2.0
"""Time for processes to end by themselves before they are killed."""
_FINISHED: Any = Searcher.FINISHED
_DIED_IN_RAY = "Worker unexpectedly exits with a connection error"
_DIED = "its process crashed or was killed, for example for lack of memory"


class Stage(Protocol):
    """The trainings of one stage. `config` is always the one that the worker received."""

    def next(self, key: str) -> Config | None:
        """The configuration of the next training, called `key` from then on; None if there is none at the moment."""

    def is_over(self) -> bool:
        """Whether every training has ended, and no more will come."""

    def has_expired(self) -> bool:
        """Whether the running trainings are to be interrupted now."""

    def stops(self, key: str, config: Config, result: Result) -> bool:
        """Whether to end a training after this report."""

    def started(self, config: Config) -> None:
        """A training starts, or starts again."""

    def reported(self, key: str, config: Config, result: Result) -> None:
        """A training reported an epoch."""

    def ended(self, key: str, config: Config, result: Result) -> None:
        """A training ended; `result` is its last report."""

    def retried(self, config: Config, error: str) -> None:
        """The process or the machine of a training died; it starts again."""

    def lost(self, key: str, config: Config, error: str) -> None:
        """The process or the machine of a training died, again after every retry."""


class Pool:
    """Runs the trainings of one stage after the other in the same processes.

    Ray Tune runs in a thread of its own. Stages are called by that thread, under the pool's lock.
    """

    def __init__(self, job: Job, slots: Slots, say: Callable[[str], None]) -> None:
        """
        Args:
            job: What all trainings share.
            slots: How many run side by side, and with which resources.
            say: Shows a line.
        """
        self._job, self._slots, self._say = job, slots, say
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._stage: Stage | None = None
        self._stage_of: dict[str, Stage] = {}
        self._interrupted: set[str] = set()
        """Trainings of expired stages. Nobody is told of them any more."""
        self._num_out = 0
        """Number of trainings that Tune has taken and that have not ended."""
        self._running: dict[str, Trial] = {}
        self._warm_ups_left = 0
        self._ready: dict[str, float] = {}
        """Processes that are ready for their first training: when they said so first."""
        self._error: BaseException | None = None
        self._is_closing = False

    @property
    def num_slots(self) -> int:
        """How many trainings run side by side."""
        return self._slots.count

    def __getstate__(self) -> Config:
        """Nothing: Tune's snapshot is never restored."""
        return {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the processes now, so that they are ready when the first stage begins."""
        with self._changed:
            if self._thread is None:
                self._is_closing, self._error, self._num_out = False, None, 0
                self._warm_ups_left = self._slots.count
                self._thread = threading.Thread(target=self._fit, name="trainings", daemon=True)
                self._thread.start()

    def run(self, stage: Stage) -> None:
        """Run a stage to its end, or until it expires.

        Raises:
            KeyboardInterrupt: a signal arrived.
        """
        if stage.has_expired():
            return
        expired = False
        with self._changed:
            self._stage = stage
            self.start()
            self._changed.notify_all()
            try:
                while not stage.is_over():
                    interruption.check()
                    if self._error is not None:
                        raise self._error
                    if expired := stage.has_expired():
                        break
                    self._changed.wait(_LOOK_S)
            finally:
                self._stage = None
        if expired:
            self._interrupt()

    def _interrupt(self) -> None:
        """End all trainings: at their next report, or else with their processes."""
        with self._changed:
            self._interrupted.update(self._stage_of)
            self._stage_of.clear()
            end = time.monotonic() + _INTERRUPT_S
            while self._num_out and self._error is None and time.monotonic() < end:
                interruption.check()
                self._changed.wait(_LOOK_S)
            are_kept = not self._num_out
        if not are_kept:
            self.close()

    def close(self) -> None:
        """End all processes. The next stage starts new ones."""
        with self._changed:
            thread, self._thread, self._is_closing = self._thread, None, True
            self._changed.notify_all()
        if thread is None:
            return
        if interruption.failure is None:
            thread.join(_END_S)
        # In the middle of an epoch, or of an import. Without Ray's head it waits for ever.
        while thread.is_alive() and interruption.failure is None:
            for trial in list(self._running.values()):
                if (actor := trial.temporary_state.ray_actor) is not None:
                    ray.kill(actor)
            thread.join(_END_S)
        self._running.clear()
        self._stage_of.clear()
        self._interrupted.clear()
        self._ready.clear()

    # --------------------------------------------------------------------------------------------- in the thread

    def _fit(self) -> None:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module="ray.tune")
        try:
            with tempfile.TemporaryDirectory(prefix="sldml-tune-") as folder:
                tune.Tuner(
                    tune.with_resources(tune.with_parameters(train, job=self._job), self._slots.resources),
                    tune_config=tune.TuneConfig(
                        search_alg=_Trainings(self),
                        scheduler=_KeepProcesses(self._slots.count),
                        num_samples=-1,
                        max_concurrent_trials=self._slots.count,
                        reuse_actors=True,
                        trial_dirname_creator=_short_name,
                    ),
                    run_config=tune.RunConfig(
                        # What Tune itself writes is not needed afterwards: the journal is the truth.
                        storage_path=folder,
                        name="tune",
                        callbacks=[_Callback(self, HangWatch(self._say))],
                        stop=_Stopper(self),
                        failure_config=tune.FailureConfig(max_failures=_MACHINE_FAILURES),
                        verbose=0,
                        # Not Ray's own for notebooks, which clears the output of the cell.
                        progress_reporter=tune.CLIReporter(),
                    ),
                ).fit()
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if not self._is_closing and self._error is None:
                self._error = error
            self._changed.notify_all()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Hold the lock. An error ends the search; Tune would count it as an error of the current training."""
        with self._changed:
            try:
                yield
            except BaseException as error:
                self._fail(error)
            self._changed.notify_all()

    def _suggest(self, key: str) -> Any:
        """The next training. Waits for one if Tune has none: by itself it would look once a second."""
        with self._changed:
            while not self._is_closing and self._error is None:
                if self._warm_ups_left:
                    self._warm_ups_left -= 1
                    self._num_out += 1
                    return {WARM_UP: True}
                if self._stage is not None and not self._stage.has_expired():
                    with self._telling():
                        if (config := self._stage.next(key)) is not None:
                            self._stage_of[key] = self._stage
                            self._num_out += 1
                            return dict(config)
                if self._num_out:
                    return None
                self._changed.wait(1.0)
            return _FINISHED

    def _told_stage(self, trial: Trial) -> Stage | None:
        """The stage to tell of a training; None of a process that is starting, and for all while the pool closes."""
        return None if self._is_closing else self._stage_of.get(trial.trial_id)

    def _take_back(self, trial: Trial) -> Stage | None:
        """The same for a training that ended."""
        stage = self._told_stage(trial)
        self._num_out -= 1
        self._running.pop(trial.trial_id, None)
        self._stage_of.pop(trial.trial_id, None)
        self._interrupted.discard(trial.trial_id)
        return stage

    def _is_warm(self, key: str) -> bool:
        """Whether a process that is ready can start its first training.

        It waits until all are ready, because Tune would give it the trainings of processes that are still starting,
        and end these.
        """
        now = time.monotonic()
        self._ready.setdefault(key, now)
        return len(self._ready) == self._slots.count or now - min(self._ready.values()) > _OTHERS_START_S


def _short_name(trial: Trial) -> str:
    return str(trial.trial_id)


class _Trainings(Searcher):  # type: ignore[misc]
    """Hands the trainings of the current stage to Tune."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def suggest(self, trial_id: str) -> Any:
        return self._pool._suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: Result | None = None, error: bool = False) -> None:
        """Nothing: the callback tells the stage."""

    def save(self, checkpoint_path: str) -> None:
        """Writes nothing: a search is resumed from its journal, not from Tune's snapshot."""


class _KeepProcesses(FIFOScheduler):  # type: ignore[misc]
    """Keeps all idle processes; by default, Tune keeps one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if self._count:
            tune_controller._tune_controller._actor_cache.increase_max(trial.placement_group_factory, self._count)
            self._count = 0


class _Stopper(tune.Stopper):  # type: ignore[misc]
    """Ends a training that its stage stops, and all of them when the pool closes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __call__(self, trial_id: str, result: Result) -> bool:
        pool, stops = self._pool, False
        with pool._telling():
            stage, trial = pool._stage_of.get(trial_id), pool._running.get(trial_id)
            if trial_id in pool._interrupted:
                stops = True
            elif stage is None:
                stops = pool._is_warm(trial_id)
            elif trial is not None:
                stops = stage.stops(trial_id, trial.config, result)
        return stops

    def stop_all(self) -> bool:
        return self._pool._is_closing or self._pool._error is not None


class _Callback(tune.Callback):  # type: ignore[misc]
    """Tells stages what happens to their trainings."""

    def __init__(self, pool: Pool, watch: HangWatch) -> None:
        self._pool, self._watch = pool, watch

    def __getstate__(self) -> Config:
        """Nothing: Tune's snapshot is never restored, and a journal cannot be pickled."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._watch.look()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if WARM_UP not in trial.config:
            self._watch.started(trial)
        with self._pool._telling():
            self._pool._running[trial.trial_id] = trial
            if stage := self._pool._told_stage(trial):
                stage.started(trial.config)

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: Result, **info: Any) -> None:
        self._watch.reported(trial, result.get("worker"))
        with self._pool._telling():
            if stage := self._pool._told_stage(trial):
                stage.reported(trial.trial_id, trial.config, result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.ended(trial)
        with self._pool._telling():
            stage = self._pool._take_back(trial)
            if stage is not None:
                stage.ended(trial.trial_id, trial.config, trial.last_result or {"state": "failed"})

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.ended(trial)  # until it starts again, which may take as long as a machine is missing
        with self._pool._telling():
            if stage := self._pool._told_stage(trial):
                stage.retried(trial.config, _one_line(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.ended(trial)
        if trial.status != Trial.ERROR:
            return
        with self._pool._telling():
            stage = self._pool._take_back(trial)
            if stage is not None:
                stage.lost(trial.trial_id, trial.config, _one_line(trial))


def _one_line(trial: Trial) -> str:
    """The last error of a training. `trial.get_error()` reads a copy of its file that Tune makes later."""
    file = trial.error_file
    lines = Path(file).read_text(encoding="utf-8", errors="replace").split("\n") if file else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), _DIED)
    return _DIED if _DIED_IN_RAY in last else last[:500]
