"""Optuna as Ray Tune's searcher: pruned trials are told as pruned, and an earlier history is put in first."""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any

import optuna
from optuna.trial import TrialState as StudyState
from ray.tune.search.optuna import OptunaSearch

from sldml.journal import OBJECTIVE, TrialRecord
from sldml.spaces import SearchSpace, SpaceError
from sldml.trial import WORST

MODE = "max"


class StudySearch(OptunaSearch):  # type: ignore[misc]
    """Proposes configurations of a search space.

    What Ray's own class does not do: it tells the study *pruned* for trials that the scheduler stopped or that
    diverged (told complete, their values would count as if they had been trained to the end); it takes
    finished trials of an earlier call; it hands out interrupted trials again under their own name before it
    asks the sampler for new ones; and it gives every trial an identity that survives the driver.
    """

    def __init__(self, space: SearchSpace, *, earlier: list[TrialRecord], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        super().__init__(space=space, metric=OBJECTIVE, mode=MODE, sampler=make_sampler(space, seed))
        self._search_space = space
        self._unfinished = deque(record for record in earlier if record.state == "running")
        self._num_named = len(earlier)
        self._stopping = False
        for record in earlier:
            if record.state in ("completed", "pruned", "diverged"):
                self._ot_study.add_trial(study_trial(space, record))

    def stop_telling(self) -> None:
        """From now on trials end because the search does: they stay unfinished, which is no result."""
        self._stopping = True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next configuration, with the identity of its trial and how much of it is already known."""
        resumed = self._unfinished.popleft() if self._unfinished else None
        if resumed is not None:
            self._ot_study.enqueue_trial(resumed.params)
            name = resumed.trial_id
        else:
            self._num_named += 1
            name = f"t{self._num_named:04d}"
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
                return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)


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
