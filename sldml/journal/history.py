"""The history of a search: everything that its events say, event by event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    LeftOut,
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
    def last(self) -> Epoch | None:
        """The last epoch; None before the first one."""
        return self.epochs[-1] if self.epochs else None

    @property
    def value(self) -> float | None:
        """The validation accuracy after the last epoch; None before the first one.

        Not the best one so far: that is partly luck, the more the more epochs there are, and models are trained for the
        whole schedule afterwards.
        """
        return None if self.last is None else self.last.value

    @property
    def rank(self) -> tuple[int, float]:
        """What trials are ranked by, the greatest first: number of epochs, then value.

        At the epochs that they share, trials that were trained for longer were better than those that were stopped, and
        values after different numbers of epochs cannot be compared.
        """
        return len(self.epochs), self.value or 0.0

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
    left_out: list[str] = field(default_factory=list)
    """What did not fit into the time budget of the last call."""
    baselines: dict[str, Baseline] = field(default_factory=dict)
    """By name, with the candidates scored so far."""
    scorings: list[BaselinesScored] = field(default_factory=list)
    """The work of scoring candidates on validation."""
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
                self.ended, self.left_out = None, []
            case AttemptEnded():
                self.ended = event
            case StageChanged():
                self.stages.append(event)
            case BaselinesScored():
                self._add_scores(event.scores)
                if event.worker is not None:
                    self.scorings.append(event)
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
            case LeftOut():
                self.left_out.append(event.what)
            case Tested():
                self.test, self.num_tests = event.results, self.num_tests + 1

    def _add_scores(self, scores: Sequence[BaselineScore]) -> None:
        """Add scores of candidates, in the order of the space, in whatever order they arrive."""
        new = [score.candidate for score in scores]
        known = [score for baseline in self.baselines.values() for score in baseline.scores]
        ordered = sorted([*(s for s in known if s.candidate not in new), *scores], key=lambda score: score.place)
        names = dict.fromkeys(score.candidate.baseline for score in ordered)
        self.baselines = {
            name: Baseline(name, tuple(score for score in ordered if score.candidate.baseline == name))
            for name in names
        }

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

        See `TrialRecord.rank`; among equal ones, earlier trials come first.
        """
        return sorted(sorted(self.comparable(), key=lambda r: r.trial_id), key=lambda r: r.rank, reverse=True)

    @property
    def default_trial(self) -> TrialRecord | None:
        """The trial of the space's default configuration; None if it was not tried."""
        default = self.search.default
        return next((record for record in self.trials.values() if record.params == default), None)

    def standing(self) -> list[BaselineScore]:
        """The scores of the candidates that stand for their baselines, and of those that are scored on class folds."""
        on_folds = {key for key, _, _ in self.folds}
        return [
            score
            for baseline in self.baselines.values()
            for score in baseline.scores
            if score is baseline.best or score.candidate.key in on_folds
        ]

    def fold_accuracies(self, key: str) -> list[float]:
        """The accuracies of a finalist (`FoldScored.key`) on class folds so far, in the order of the folds."""
        scored = sorted((place, event.accuracy) for (name, *place), event in self.folds.items() if name == key)
        return [accuracy for _, accuracy in scored if accuracy is not None]
