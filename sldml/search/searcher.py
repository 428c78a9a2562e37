"""Optuna as Ray Tune's searcher: pruned trials are told as pruned, and an earlier history is put in first."""

from __future__ import annotations

import random
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState as StudyState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar, SpaceError
from sldml.journal import OBJECTIVE, TrialRecord
from sldml.training.trial import WORST

MODE = "max"
_FINISHED: Any = Searcher.FINISHED


class TrialNames:
    """Gives each new trial of a search the next name."""

    def __init__(self, num_named: int) -> None:
        self._num_named = num_named

    def next(self) -> str:
        """t0001, t0002 …"""
        self._num_named += 1
        return f"t{self._num_named:04d}"


class StudySearch(OptunaSearch):  # type: ignore[misc]
    """Proposes configurations of a search space.

    What Ray's own class does not do: it tells the study *pruned* for trials that the scheduler stopped or that
    diverged (told complete, their values would count as if they had been trained to the end); it takes
    finished trials of an earlier call; it hands out interrupted trials again under their own name before it
    asks the sampler for new ones; and it gives every trial an identity that survives the driver.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        earlier: list[TrialRecord],
        seed: int,
        first: Sequence[Mapping[str, Scalar]] = (),
        names: TrialNames | None = None,
    ) -> None:
        """
        Args:
            space: What is searched.
            earlier: Trials of an earlier call: ended ones are told to the study, unfinished ones handed out again.
            seed: Of the sampler.
            first: Configurations to begin with, by path; what one leaves open is sampled. As many as there are
                earlier trials have been handed out already.
            names: Of new trials, where several studies share a search.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        super().__init__(space=space, metric=OBJECTIVE, mode=MODE, sampler=make_sampler(space, seed))
        self._search_space = space
        self._unfinished = deque(record for record in earlier if not record.has_ended)
        self._names = names or TrialNames(len(earlier))
        given = grid_in_order(space) if space.search.sampler == "grid" else list(first)
        self._first = deque(given[len(earlier) :])
        self._stopping = False
        for record in earlier:
            if record.state in ("completed", "pruned", "diverged"):
                self._ot_study.add_trial(study_trial(space, record))

    def stop_telling(self) -> None:
        """From now on trials end because the search does: they stay unfinished, which is no result."""
        self._stopping = True

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, with the identity of its trial and how much of it is already known."""
        resumed = self._unfinished.popleft() if self._unfinished else None
        if resumed is not None:
            self._ot_study.enqueue_trial(resumed.params)
            name = resumed.trial_id
        else:
            if self._first:
                self._ot_study.enqueue_trial(dict(self._first.popleft()))
            elif self._search_space.search.sampler == "grid":
                return _FINISHED  # every combination has been handed out
            name = self._names.next()
        params = super().suggest(trial_id)
        return {
            "trial_id": name,
            "params": params,
            "config": self._search_space.configure(params).to_dict(),
            "epochs_reported": 0 if resumed is None else len(resumed.epochs),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the study the value at an epoch; a report that a retry repeats is not told twice."""
        told = self._ot_study._storage.get_trial(self._ot_trials[trial_id]._trial_id).intermediate_values
        if result["epoch"] not in told:
            self._ot_trials[trial_id].report(result[OBJECTIVE], result["epoch"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how a trial ended."""
        if trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        trial = self._ot_trials[trial_id]
        state = "failed" if error or not result else str(result.get("state", "failed"))
        if self._stopping and state == "running":
            state = "failed"
        if state == "failed":
            self._ot_study.tell(trial, state=StudyState.FAIL)
            return
        assert result is not None
        self.on_trial_result(trial_id, result)
        if state == "completed":
            self._ot_study.tell(trial, result[OBJECTIVE])
        else:
            self._ot_study.tell(trial, state=StudyState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a search is resumed from its journal, never from Tune's snapshot."""


def make_sampler(space: SearchSpace, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler that the space asks for."""
    match space.search.sampler:
        case "tpe":
            # multivariate and group: for conditional spaces; constant liar: for trials that run side by side.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.samplers.TPESampler(
                    seed=seed,
                    n_startup_trials=num_startup_trials(space.search.trials),
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                )
        case "qmc":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
        case "random" | "grid":  # of a grid, every trial is given
            return optuna.samplers.RandomSampler(seed=seed)


def num_startup_trials(num_trials: int) -> int:
    """So many random trials before TPE proposes any: an eighth, from 10 to 30.

    With ten, TPE often takes the first loss that did well for the best one and never leaves it.
    """
    return max(10, min(30, num_trials // 8))


def grid_in_order(space: SearchSpace) -> list[dict[str, Scalar]]:
    """Every combination of a space, shuffled by the space's seed: the first few are then a fair sample of all."""
    combinations = space.grid()
    random.Random(space.search.seed).shuffle(combinations)
    return combinations


def study_trial(space: SearchSpace, record: TrialRecord) -> optuna.trial.FrozenTrial:
    """A finished trial as the study keeps it.

    Raises:
        SpaceError: its parameters are not of this space.
    """
    completed = record.state == "completed"
    curve = {int(e["epoch"]): float(e[OBJECTIVE]) for e in record.epochs}
    if record.state == "diverged":
        curve = {max(curve, default=0): WORST}
    if completed and record.value is None:
        raise SpaceError(f"trial {record.trial_id} is said to be completed, but has no epoch")
    return optuna.trial.create_trial(
        state=StudyState.COMPLETE if completed else StudyState.PRUNED,
        value=record.value if completed else None,
        params=record.params,
        distributions=space.distributions(record.params),
        intermediate_values=curve,
    )
