"""An Optuna study of one search space: it proposes configurations and records how their trials ended.

Trials that the scheduler stopped or paused, or that diverged, are recorded as pruned: recorded as complete, their
values would count as if they had been trained to the end. A paused trial that continues leaves the study until it stops
again.
"""

from __future__ import annotations

import random
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState as StudyState

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar, SpaceError
from sldml.journal import TrialRecord
from sldml.training.trial import WORST


class Study:
    """Proposes configurations of a search space, and learns from the trials that were made of them."""

    def __init__(
        self, space: SearchSpace, *, earlier: Sequence[TrialRecord], seed: int, first: Sequence[dict[str, Scalar]] = ()
    ) -> None:
        """
        Args:
            space: The search space.
            earlier: Trials of an earlier call. Ended and paused ones are added to the study, unfinished ones proposed
                again.
            seed: Seed of the sampler.
            first: Configurations to propose first, by path; parameters that are missing from one are sampled. As many
                as there are earlier trials were proposed before and are skipped.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self._sampler = make_sampler(space, seed)
        self._unfinished = deque(record for record in earlier if record.state == "running")
        given = grid_in_order(space) if space.search.sampler == "grid" else list(first)
        self._first = deque(given[len(earlier) :])
        self._running: dict[str, _Running] = {}
        self._stopped = {
            record.trial_id: study_trial(space, record)
            for record in earlier
            if record.state in ("completed", "pruned", "diverged", "paused")
        }
        """Those that the study contains, by name."""
        self._study = self._new_study()
        self._is_outdated = False

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials in the study."""
        trials: list[optuna.trial.FrozenTrial] = self._study.trials
        return trials

    def propose(self, key: str, new_name: Callable[[], str]) -> dict[str, Any] | None:
        """The next configuration, or None after the last one of a grid.

        Args:
            key: What `report` and `end` will call the trial.
            new_name: Makes the name of a new trial. One that continues keeps its own.

        Returns:
            `trial_id`, `params` (dotted path to value), `config` (nested), and `epochs_reported` before.
        """
        if self._is_outdated and self.space.search.sampler == "tpe":  # the others do not look at results
            self._renew()
        if self._unfinished:
            return self._begin(key, self._unfinished.popleft())
        if self._first:
            self._study.enqueue_trial(dict(self._first.popleft()))
        elif self.space.search.sampler == "grid":
            return None
        trial = self._study.ask()
        self.space(trial)
        self._running[key] = _Running(new_name(), trial)
        return self._proposal(key, 0)

    def resume(self, key: str, record: TrialRecord) -> dict[str, Any]:
        """Continue a paused trial; returns what `propose` does."""
        # Optuna cannot take back that it was pruned: the study is made again without it.
        self._stopped.pop(record.trial_id, None)
        self._is_outdated = True
        return self._begin(key, record)

    def _begin(self, key: str, record: TrialRecord) -> dict[str, Any]:
        """Propose the parameters of a trial that has begun before."""
        curve = {epoch.epoch: epoch.value for epoch in record.epochs}
        self._running[key] = _Running(record.trial_id, self._ask(record.params, curve), curve)
        return self._proposal(key, len(record.epochs))

    def _ask(self, params: Mapping[str, Scalar], curve: Mapping[int, float]) -> optuna.Trial:
        self._study.enqueue_trial(dict(params))
        trial = self._study.ask()
        self.space(trial)
        for epoch, value in curve.items():
            trial.report(value, epoch)
        return trial

    def _proposal(self, key: str, num_epochs: int) -> dict[str, Any]:
        running = self._running[key]
        params = dict(running.trial.params)
        return {
            "trial_id": running.name,
            "params": params,
            "config": self.space.configure(params).to_dict(),
            "epochs_reported": num_epochs,
        }

    def _renew(self) -> None:
        self._study, self._is_outdated = self._new_study(), False
        for running in self._running.values():
            running.trial = self._ask(running.trial.params, running.curve)

    def _new_study(self) -> optuna.Study:
        study = optuna.create_study(direction="maximize", sampler=self._sampler, pruner=optuna.pruners.NopPruner())
        study.add_trials(self._stopped.values())
        return study

    def report(self, key: str, epoch: int, value: float) -> None:
        """Record the value at an epoch. An epoch that a retry repeats is recorded once."""
        running = self._running.get(key)
        if running is not None and epoch not in running.curve:
            running.curve[epoch] = value
            running.trial.report(value, epoch)

    def end(self, key: str, state: str, value: float | None = None) -> None:
        """Record the end of a trial: `completed` (with its value), `failed`, or any other state as pruned."""
        running = self._running.pop(key, None)
        if running is None:
            return
        if state == "failed":
            self._study.tell(running.trial, state=StudyState.FAIL)
        elif state == "completed":
            self._stopped[running.name] = self._study.tell(running.trial, value)
        else:
            self._stopped[running.name] = self._study.tell(running.trial, state=StudyState.PRUNED)


@dataclass
class _Running:
    name: str
    trial: optuna.Trial
    curve: dict[int, float] = field(default_factory=dict)
    """The values reported so far, by epoch."""


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
        case "auto" | "random" | "grid":  # of a grid, every trial is given
            return optuna.samplers.RandomSampler(seed=seed)


def num_startup_trials(num_trials: int) -> int:
    """Number of random trials before TPE proposes any: an eighth of all, from 10 to 30.

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
    curve = {e.epoch: e.value for e in record.epochs}
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
