"""The stage of a search that scores the finalists on class folds."""

from __future__ import annotations

import time

from sldml.config.training import EvaluationConfig
from sldml.journal import FoldScored, LeftOut
from sldml.search.final import FoldScoring, FoldTraining
from sldml.search.finalists import Finalists, fold_seed
from sldml.search.pool import Config, Pool, Result
from sldml.search.race import FoldTask, Race
from sldml.search.recorder import Recorder
from sldml.search.watcher import Watcher


def run_folds(
    finalists: Finalists,
    race: Race,
    evaluation: EvaluationConfig,
    pool: Pool,
    recorder: Recorder,
    watcher: Watcher | None = None,
    *,
    deadline: float | None = None,
) -> None:
    """Score the finalists on class folds until the race is over, or until `deadline` (seconds since 1970).

    A fold that was interrupted continues from its checkpoint.

    Args:
        finalists: Who races.
        race: Their race, with the scores of the recorder's history.
        evaluation: The exemplar draws.
        pool: The processes.
        recorder: Receives what happens.
        watcher: Shows what runs.
        deadline: When to interrupt what runs.
    """
    if race.ending is not None:
        return
    if watcher is not None:
        watcher.training("class folds", _first_repeat(finalists, race, evaluation, recorder), num_slots=pool.num_slots)
    stage = _FoldStage(finalists, race, evaluation, recorder, watcher, deadline)
    pool.run(stage)
    if race.ending is not None:
        recorder.say(f"class folds: ended after {race.num_scored} folds, because {race.ending}")
    elif deadline is not None:
        recorder.record(LeftOut(what=f"class folds after the first {race.num_scored}"))


def _first_repeat(
    finalists: Finalists, race: Race, evaluation: EvaluationConfig, recorder: Recorder
) -> list[FoldTraining | FoldScoring]:
    """What is left of the first repeat, which is scored in any case."""
    return [
        finalists.to_score(FoldTask(standing.finalist, 1, fold), evaluation)
        for fold in range(1, race.num_folds + 1)
        for standing in race.standings()
        if (standing.finalist.key, 1, fold) not in recorder.history.folds
    ]


class _FoldStage:
    """Hands out the tasks of a race. It is over with the race: what still runs then ends after its next report."""

    def __init__(
        self,
        finalists: Finalists,
        race: Race,
        evaluation: EvaluationConfig,
        recorder: Recorder,
        watcher: Watcher | None,
        deadline: float | None,
    ) -> None:
        self._finalists, self._race, self._evaluation = finalists, race, evaluation
        self._recorder, self._watcher, self._deadline = recorder, watcher, deadline
        self._tasks: dict[str, FoldTask] = {}
        self._names = finalists.names()

    def next(self, key: str) -> Config | None:
        task = self._race.next()
        if task is None:
            return None
        self._tasks[key] = task
        found = self._finalists.to_score(task, self._evaluation)
        return {"fold" if isinstance(found, FoldTraining) else "scoring": found}

    def is_over(self) -> bool:
        return self._race.ending is not None

    def has_expired(self) -> bool:
        return self._deadline is not None and time.time() > self._deadline

    def stops(self, key: str, config: Config, result: Result) -> bool:
        return not self._race.needs(self._tasks[key])

    def started(self, config: Config) -> None:
        self._show(config, None)

    def reported(self, key: str, config: Config, result: Result) -> None:
        if "epoch" in result:  # else it says only that the process is alive
            self._show(config, result)

    def ended(self, key: str, config: Config, result: Result) -> None:
        task, state = self._tasks.pop(key), result.get("state", "failed")
        if not self._race.needs(task):
            self._show(config, {"state": "pruned"})
            return
        if "epoch" not in result:  # no report said so before
            self._show(config, {"state": "failed"})
        if state == "completed":
            self._enter(task, config, accuracy=float(result["val/accuracy"]))
        else:
            self._enter(task, config, error=result.get("error") or "it did not end")

    def retried(self, config: Config, error: str) -> None:
        self._recorder.retried(_found(config).name, error)

    def lost(self, key: str, config: Config, error: str) -> None:
        self.ended(key, config, {"state": "failed", "error": error})

    def _enter(
        self, task: FoldTask, config: Config, *, accuracy: float | None = None, error: str | None = None
    ) -> None:
        """Record a score, and enter it in the race."""
        found = _found(config)
        is_trained = isinstance(found, FoldTraining)
        event = FoldScored(
            trial_id=found.trial_id if isinstance(found, FoldTraining) else None,
            candidate=found.candidate if isinstance(found, FoldScoring) else None,
            repeat=task.repeat,
            fold=task.fold,
            num_folds=self._race.num_folds,
            seed=fold_seed(task.repeat, task.fold) if is_trained else None,
            accuracy=accuracy,
            error=error,
        )
        self._recorder.record(event)
        score = accuracy if accuracy is not None else f"fold {task.fold}, repeat {task.repeat}: {event.error}"
        dropped = self._race.scored(task, score)
        if dropped:
            names = ", ".join(self._names[key] for key in dropped)
            self._recorder.say(f"class folds after {self._race.num_scored}: dropped {names}")

    def _show(self, config: Config, result: Result | None) -> None:
        if self._watcher is not None and not self.is_over():  # else another stage is shown
            self._watcher.fold_happened(_found(config), result)


def _found(config: Config) -> FoldTraining | FoldScoring:
    found: FoldTraining | FoldScoring = config["fold"] if "fold" in config else config["scoring"]
    return found
