"""The history of a search: everything that its events say, event by event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sldml.config.dotted import ConfigTree
from sldml.journal.events import (
    AttemptBegun,
    AttemptEnded,
    BaselinesScored,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    SearchBegun,
    StageChanged,
    Tested,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
)
from sldml.journal.records import (
    ENDED,
    BaselineScore,
    Epoch,
    Params,
    TrialState,
)
from sldml.journal.results import Shipped, TestResults

ALL = ""
"""Stands for the choice of a search that compares none."""


@dataclass
class TrainingRecord:
    """A training and its progress."""

    trial_id: str
    config: ConfigTree
    """The whole configuration, nested."""
    started: float
    state: TrialState = "running"
    epochs: list[Epoch] = field(default_factory=list)
    ended: float | None = None
    error: str | None = None
    pauses: list[float] = field(default_factory=list)
    """When it paused, seconds since 1970."""

    @property
    def seconds(self) -> float:
        """Time spent in its epochs."""
        return sum(epoch.seconds(part) for epoch in self.epochs for part in ("data", "step", "evaluation"))

    @property
    def has_ended(self) -> bool:
        """Whether it needs no more training."""
        return self.state in ENDED

    def report(self, epoch: Epoch) -> None:
        """Add an epoch. A training resumed from a checkpoint repeats the epochs after it: the later report counts."""
        while self.epochs and self.epochs[-1].epoch >= epoch.epoch:
            self.epochs.pop()
        self.epochs.append(epoch)
        if self.state == "paused":
            self.state = "running"

    def end(self, event: TrialEnded | FinalEnded) -> None:
        """Set the end of the training; one that is paused trains no more since then."""
        self.ended = self.pauses[-1] if self.state == "paused" else event.time
        self.state, self.error = event.state, event.error


@dataclass
class TrialRecord(TrainingRecord):
    """A trial: one configuration of a search."""

    params: Params = field(default_factory=dict)
    """The sampled parameters."""
    num_lost: int = 0
    """Number of calls in which its process or machine died after every retry."""

    @property
    def best(self) -> Epoch | None:
        """The first epoch with the best validation accuracy over most class folds; None before the first epoch."""
        return max(self.epochs, key=lambda epoch: (epoch.num_folds, epoch.best), default=None)

    @property
    def num_folds(self) -> int:
        """Number of class folds whose mean `value` is."""
        return 1 if self.best is None else self.best.num_folds

    @property
    def value(self) -> float | None:
        """The best validation accuracy so far; None before the first epoch."""
        return None if self.best is None else self.best.best

    @property
    def best_epoch(self) -> int | None:
        """The first epoch that reached `value`."""
        return None if self.best is None else self.best.epoch

    @property
    def is_comparable(self) -> bool:
        """Whether its value can be compared: it reported an epoch, and neither diverged nor failed."""
        return bool(self.epochs) and self.state not in ("diverged", "failed")


@dataclass
class FinalRecord(TrainingRecord):
    """A final training (on auxiliary and validation classes) of one configuration with one seed."""

    seed: int = 0


@dataclass(frozen=True)
class Baseline:
    """A baseline: all of its candidates, of which the best on validation stands for it."""

    name: str
    scores: tuple[BaselineScore, ...]

    @property
    def best(self) -> BaselineScore:
        """The first candidate with the best validation accuracy."""
        return max(self.scores, key=lambda score: score.val)


@dataclass
class History:
    """The content of a journal."""

    begun: SearchBegun | None = None
    attempts: list[AttemptBegun] = field(default_factory=list)
    """The calls that worked on the search."""
    ended: AttemptEnded | None = None
    """How the last call ended; None while it runs, or if it was killed."""
    baselines: dict[str, Baseline] = field(default_factory=dict)
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    finals: dict[tuple[str, int], FinalRecord] = field(default_factory=dict)
    """By trial and seed."""
    folds: dict[tuple[str, int, int], FoldScored] = field(default_factory=dict)
    """The scores of finalists on class folds, by `FoldScored.key`, repeat and fold."""
    test: TestResults | None = None
    """The last sealed test."""
    num_tests: int = 0
    """Number of sealed tests: a search that is extended is tested again."""
    stages: list[StageChanged] = field(default_factory=list)
    updated: float = 0.0
    """The time of the last event."""

    @property
    def search(self) -> SearchBegun:
        """The first event.

        Raises:
            ValueError: the search has not begun.
        """
        if self.begun is None:
            raise ValueError("the search has not begun")
        return self.begun

    @property
    def shipped(self) -> Shipped | None:
        """The saved model."""
        return None if self.test is None else self.test.shipped

    def apply(self, event: Event) -> None:
        """Add an event.

        Raises:
            ValueError: it is of a training that never started.
        """
        self.updated = event.time
        match event:
            case SearchBegun():
                self.begun = event
            case AttemptBegun():
                self.attempts.append(event)
                self.ended = None
            case AttemptEnded():
                self.ended = event
            case StageChanged():
                self.stages.append(event)
            case BaselinesScored():
                names = dict.fromkeys(score.candidate.baseline for score in event.scores)
                self.baselines = {
                    name: Baseline(name, tuple(s for s in event.scores if s.candidate.baseline == name))
                    for name in names
                }
            case TrialStarted():
                self.trials[event.trial_id] = TrialRecord(event.trial_id, event.config, event.time, params=event.params)
            case FinalStarted():
                key = (event.trial_id, event.seed)
                self.finals[key] = FinalRecord(event.trial_id, event.config, event.time, seed=event.seed)
            case TrialEpoch() | FinalEpoch():
                self.training(event).report(event)
            case TrialEnded() | FinalEnded():
                self.training(event).end(event)
            case TrialPaused():
                paused = self.training(event)
                paused.state = "paused"
                paused.pauses.append(event.time)
            case TrialLost():
                record = self.training(event)
                assert isinstance(record, TrialRecord)
                record.num_lost, record.error = record.num_lost + 1, event.error
            case FoldScored():
                self.folds[event.key, event.repeat, event.fold] = event
            case Tested():
                self.test, self.num_tests = event.results, self.num_tests + 1

    def training(
        self, event: TrialEpoch | TrialPaused | TrialEnded | TrialLost | FinalStarted | FinalEpoch | FinalEnded
    ) -> TrainingRecord:
        """The training that an event is of.

        Raises:
            ValueError: it never started.
        """
        try:
            if isinstance(event, TrialEpoch | TrialPaused | TrialEnded | TrialLost):
                return self.trials[event.trial_id]
            return self.finals[event.trial_id, event.seed]
        except KeyError as error:
            raise ValueError(f"{event.event} of a training that never started: {error}") from error

    def trainings(self) -> Iterator[TrialRecord | FinalRecord]:
        """All trials, then all final trainings."""
        yield from self.trials.values()
        yield from self.finals.values()

    def choice_of(self, config: Mapping[str, Any]) -> str | None:
        """The compared choice that a configuration has; None if the search is not a comparison."""
        compare = self.search.compare
        if compare is None:
            return None
        part: Any = config
        for key in compare.axis.split("."):
            part = part[key]
        return str(part["name"])

    def by_choice(self) -> dict[str, list[TrialRecord]]:
        """The trials of each compared choice, in the order of the comparison; without one, all under `ALL`."""
        compare = None if self.begun is None else self.begun.compare
        if compare is None:
            return {ALL: list(self.trials.values())}
        trials: dict[str, list[TrialRecord]] = {choice: [] for choice in compare.choices}
        for record in self.trials.values():
            trials[str(self.choice_of(record.config))].append(record)
        return trials

    def counts(self) -> Counter[str]:
        """Number of trials in each state."""
        return Counter(record.state for record in self.trials.values())

    def comparable(self) -> list[TrialRecord]:
        """Trials whose values can be compared, in the order in which they started."""
        return [record for record in self.trials.values() if record.is_comparable]

    def ranked(self) -> list[TrialRecord]:
        """Trials whose values can be compared, best by validation first.

        Those with a value over more class folds come first: they were better than the others on the first folds. Among
        equal ones, completed trials come first, then earlier ones.
        """
        return sorted(
            self.comparable(), key=lambda r: (-r.num_folds, -(r.value or 0.0), r.state != "completed", r.trial_id)
        )

    @property
    def default_trial(self) -> TrialRecord | None:
        """The trial of the space's default configuration; None if it was not tried."""
        default = self.search.default
        return next((record for record in self.trials.values() if record.params == default), None)

    def fold_accuracies(self, key: str) -> list[float]:
        """The accuracies of a finalist (`FoldScored.key`) on class folds so far, in the order of the folds."""
        scored = sorted((place, event.accuracy) for (name, *place), event in self.folds.items() if name == key)
        return [accuracy for _, accuracy in scored if accuracy is not None]
