"""`--time-budget`: when trials, class folds and final models have to end, so that the report is written in time.

Times are seconds since 1970, durations are seconds. What is still to come is estimated from the pace of the trials.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from sldml.config.dotted import ConfigTree
from sldml.config.space import SearchSpace
from sldml.config.trial import TrialConfig
from sldml.journal import History
from sldml.protocols.folds import MOST_TO_SCORE, fold_developments
from sldml.protocols.split import Split

TRIALS_SHARE = 0.55
"""The trials end after this share of the budget, preparation included."""
FEWEST_TRIALS_SHARE = 0.25
"""They have at least this share, however long a final model takes."""
CLOSING_S = 30.0
"""For the saved model, the report and tracking."""
MOST_CLOSING_SHARE = 0.25
"""The sealed test and the report have at most this share of the budget."""
_BASELINES_SHARE = 0.3
"""Baselines that are left after the trials have this share of the time until the sealed test."""
_START_S = 2.0
"""From the start of a training to its first step, and from its last step to its end."""
_MARGIN = 1.2
"""Estimates are multiplied by it: an epoch also has checkpoints and reports, and a machine may become busier."""
_PACE_OVER_EPOCHS = 10
_RENEWED_S = 5.0
"""The deadline of the trials is computed again when the journal has grown for this long."""


class Planned(Protocol):
    """A training that is planned: of a final model or of a class fold."""

    @property
    def trial_id(self) -> str:
        """The trial of its configuration."""

    @property
    def config(self) -> ConfigTree:
        """Its configuration, nested."""

    @property
    def num_epochs(self) -> int:
        """Its length."""


@dataclass(frozen=True)
class TimeBudget:
    """The time of one call."""

    started: float
    """When the command started, before the preparation."""
    seconds: float

    @property
    def end(self) -> float:
        """When the report is to be there."""
        return self.started + self.seconds

    def closing_s(self, test_s: float) -> float:
        """Time for the sealed test, which is expected to take `test_s`, and for the report."""
        return min(CLOSING_S + test_s, MOST_CLOSING_SHARE * self.seconds)

    def trainings_end(self, test_s: float) -> float:
        """When the last training has to end."""
        return self.end - self.closing_s(test_s)

    def trials_end(self, first_final_s: float, test_s: float) -> float:
        """When the trials have to end, if the first final model is expected to take `first_final_s`."""
        latest = min(self.started + TRIALS_SHARE * self.seconds, self.trainings_end(test_s) - first_final_s)
        return max(latest, self.started + FEWEST_TRIALS_SHARE * self.seconds)


def share_s(available_s: float, own_s: float, later_s: float, least_later_s: float) -> float:
    """How much of the available time a stage may take.

    All but what the later stages need, if there is enough for both; otherwise a share in proportion to the needs. The
    later ones keep at least `least_later_s`.
    """
    needed = own_s + later_s
    in_proportion = available_s * (own_s / needed if needed > 0 else 0.5)
    return max(0.0, min(max(in_proportion, available_s - later_s), available_s - least_later_s))


def wall_s(durations: Sequence[float], num_slots: int) -> float:
    """How long trainings take that are started in order, each in the slot that is free first."""
    slots = [0.0] * num_slots
    for duration in durations:
        heapq.heapreplace(slots, slots[0] + duration)
    return max(slots)


def images_per_s(history: History, trial_id: str) -> float | None:
    """The pace of a trial over its last epochs, or else that of all trials; None if no epoch was measured."""
    record = history.trials.get(trial_id)
    own = [] if record is None else [e.metrics["images_per_s"] for e in record.epochs if "images_per_s" in e.metrics]
    paces = own[-_PACE_OVER_EPOCHS:] or [
        e.metrics["images_per_s"] for r in history.trials.values() for e in r.epochs if "images_per_s" in e.metrics
    ]
    return median(paces) if paces else None


def training_s(planned: Planned, pace: float, num_recordings: int, num_classes: int) -> float:
    """How long a training is expected to take.

    Args:
        planned: The training.
        pace: Recordings per second, as in the epochs of trials.
        num_recordings: Number of recordings that it trains on.
        num_classes: Number of their classes.
    """
    config = TrialConfig.model_validate(planned.config)
    batch = min(config.batch.num_classes, num_classes) * config.batch.samples_per_class
    steps = max(config.train.min_steps_per_epoch, round(num_recordings / batch))
    return _START_S + _MARGIN * planned.num_epochs * steps * batch / max(pace, 1e-9)


@dataclass(frozen=True)
class Sizes:
    """Numbers of recordings, for estimates."""

    num_recordings: int
    """That final models train on: auxiliary and validation classes."""
    num_classes: int
    num_validated: int
    """That the candidates of the baselines are scored on."""
    num_sealed: int
    """Of the sealed test, exemplars included."""

    @classmethod
    def of(cls, split: Split, space: SearchSpace) -> Sizes:
        """Those of a search."""
        merged, sealed = split.development.merged(), split.sealed
        folds = fold_developments(split.development, space.default_config().evaluation.num_folds)
        return cls(
            num_recordings=len(merged),
            num_classes=len(merged.classes),
            num_validated=sum(min(MOST_TO_SCORE, len(fold.validation)) for fold in folds),
            num_sealed=len(sealed.exemplars) + len(sealed.queries),
        )


class Deadlines:
    """When the stages of a search have to end, by its journal so far; without a budget they have no deadline."""

    def __init__(self, budget: TimeBudget | None, history: History, sizes: Sizes, num_slots: int) -> None:
        self._budget, self._history, self._sizes, self._num_slots = budget, history, sizes, num_slots
        self._trials_end: tuple[float, float] | None = None
        """The last answer, and the time in the journal for which it was computed."""

    @property
    def end(self) -> float | None:
        """The end of the budget."""
        return None if self._budget is None else self._budget.end

    def trials_end(self, first_final_epochs: int | None) -> float | None:
        """The deadline of the trials.

        Args:
            first_final_epochs: Number of epochs of the final models that are to follow; None if there are none.
        """
        budget = self._budget
        if budget is None:
            return None
        if first_final_epochs is None:
            return budget.end - budget.closing_s(0.0)
        updated = self._history.updated
        if self._trials_end is None or updated - self._trials_end[1] > _RENEWED_S:
            best = next(iter(self._history.ranked()), None)
            first = 0.0 if best is None else self.expected_s(_Length(best.trial_id, best.config, first_final_epochs))
            self._trials_end = budget.trials_end(first, self.test_s()), updated
        return self._trials_end[0]

    def baselines_end(self, now: float) -> float | None:
        """The deadline of baselines that are left after the trials."""
        budget = self._budget
        return None if budget is None else now + _BASELINES_SHARE * (self._trainings_end(budget) - now)

    def stage_end(self, now: float, own: Sequence[Planned], later: Sequence[Planned] = ()) -> float | None:
        """The deadline of a stage of trainings.

        Args:
            now: When it starts.
            own: Its trainings.
            later: The trainings of the stages after it, the most important one first.
        """
        budget = self._budget
        if budget is None:
            return None
        least = self.expected_s(later[0]) if later else 0.0
        available = self._trainings_end(budget) - now
        return now + share_s(available, self._wall_s(own), self._wall_s(later), least)

    def expected_s(self, planned: Planned) -> float:
        """How long a training is expected to take; 0 if no epoch was measured."""
        pace = images_per_s(self._history, planned.trial_id)
        return 0.0 if pace is None else training_s(planned, pace, self._sizes.num_recordings, self._sizes.num_classes)

    def test_s(self) -> float:
        """How long the sealed test of all candidates of the baselines is expected to take."""
        scored_s = sum(event.seconds for event in self._history.scorings)
        return scored_s * self._sizes.num_sealed / max(1, self._sizes.num_validated)

    def has_time_for_test(self, now: float) -> bool:
        """Whether the sealed test of all candidates of the baselines fits."""
        return self._budget is None or now + self.test_s() + CLOSING_S <= self._budget.end

    def _trainings_end(self, budget: TimeBudget) -> float:
        return budget.trainings_end(self.test_s())

    def _wall_s(self, trainings: Sequence[Planned]) -> float:
        return wall_s([self.expected_s(planned) for planned in trainings], self._num_slots)


@dataclass(frozen=True)
class _Length:
    trial_id: str
    config: ConfigTree
    num_epochs: int
