"""The race of finalists over repeated class folds: what is scored next, who is dropped, and when it ends.

Round n is fold n of the first repeat, then of the second one, and so on. Decisions use only rounds on which every
finalist in the race has a score, in their order, so that they do not depend on which score arrived first: a race that
is rebuilt from a journal decides as it did before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from sldml.journal import PairedDifference
from sldml.search.fold_statistics import paired_over_folds

WORST_CHANCE = 0.05
"""A finalist whose probability of being better than the leader is below this is dropped."""


@dataclass(frozen=True)
class Finalist:
    """A finalist."""

    key: str
    """Unique, as `FoldScored.key`."""
    is_trained: bool
    num_epochs: int = 0
    """What one fold costs."""


@dataclass(frozen=True)
class FoldTask:
    """One finalist on one class fold."""

    finalist: Finalist
    repeat: int
    """From 1."""
    fold: int
    """From 1."""


@dataclass(frozen=True)
class Standing:
    """A finalist in the race."""

    finalist: Finalist
    accuracies: tuple[float, ...]
    """By round, as far as they count: up to the last whole round, or up to the one after which it was dropped."""
    dropped: bool
    error: str | None

    @property
    def is_racing(self) -> bool:
        """Whether it has neither failed nor been dropped."""
        return not self.dropped and self.error is None

    @property
    def mean(self) -> float:
        """Mean accuracy; 0 without any."""
        return mean(self.accuracies) if self.accuracies else 0.0


class Race:
    """Scores finalists round by round, until it is clear which is best or the epochs are spent."""

    def __init__(
        self,
        finalists: Sequence[Finalist],
        *,
        num_folds: int,
        num_repeats: int,
        max_epochs: int,
        scores: Mapping[tuple[str, int, int], float | str] | None = None,
    ) -> None:
        """
        Args:
            finalists: The finalists; of equal ones the first counts as better.
            num_folds: Folds in a repeat.
            num_repeats: Most repeats.
            max_epochs: Ends after the first repeat once the folds have cost this many epochs.
            scores: What is known already, by key, repeat and fold: an accuracy, or why there is none.
        """
        self._finalists = {finalist.key: finalist for finalist in finalists}
        self.num_folds, self._num_rounds = num_folds, num_folds * num_repeats
        self._max_epochs = max_epochs
        self._scores: dict[str, dict[int, float]] = {key: {} for key in self._finalists}
        self._failed: dict[str, tuple[int, str]] = {}
        """The round in which a finalist failed, and why."""
        self._dropped: dict[str, int] = {}
        """The number of rounds after which a finalist was dropped."""
        self._handed_out: set[tuple[str, int]] = set()
        self.num_scored = 0
        """Number of whole rounds."""
        self.ending: str | None = None
        """Why the race is over; None before."""
        for (key, repeat, fold), score in (scores or {}).items():
            if key in self._finalists:
                self._enter(key, self._round_of(repeat, fold), score)
        self._advance()

    def next(self) -> FoldTask | None:
        """What to score next; None if there is nothing at the moment.

        The first repeat is handed out as a whole. From then on, the next round begins while the last one still runs,
        so that no slot waits for the slowest.
        """
        if self.ending is not None:
            return None
        last = max(self.num_scored + 1, self.num_folds)
        for number in range(self.num_scored, min(last + 1, self._num_rounds)):
            is_extra = number >= self.num_folds and number > self.num_scored
            if is_extra and self._num_epochs(number) >= self._max_epochs:
                return None
            for key, finalist in self._finalists.items():
                is_open = number not in self._scores[key] and (key, number) not in self._handed_out
                if is_open and self._is_in(key, number):
                    self._handed_out.add((key, number))
                    repeat, fold = divmod(number, self.num_folds)
                    return FoldTask(finalist, repeat + 1, fold + 1)
        return None

    def needs(self, task: FoldTask) -> bool:
        """Whether the result of this task still counts."""
        return self.ending is None and self._is_in(task.finalist.key, self._round_of(task.repeat, task.fold))

    def scored(self, task: FoldTask, score: float | str) -> list[str]:
        """Enter the accuracy of a task, or why there is none. Returns the keys of those who are dropped by it."""
        before = set(self._dropped)
        self._enter(task.finalist.key, self._round_of(task.repeat, task.fold), score)
        self._advance()
        return [key for key in self._dropped if key not in before]

    def __contains__(self, key: str) -> bool:
        return key in self._finalists

    def standing(self, key: str) -> Standing:
        """The standing of a finalist."""
        failed_in, error = self._failed.get(key, (self.num_scored, None))
        error = error if failed_in <= self.num_scored and key not in self._dropped else None
        end = min(self._dropped.get(key, self.num_scored), failed_in)
        scores = self._scores[key]
        accuracies = tuple(scores[number] for number in range(end) if number in scores)
        return Standing(self._finalists[key], accuracies, key in self._dropped, error)

    def standings(self) -> list[Standing]:
        """The standings of all finalists, in the order in which they were entered."""
        return [self.standing(key) for key in self._finalists]

    def difference(self, first: str, second: str) -> PairedDifference:
        """The difference of two finalists over the rounds that both have."""
        pairs = list(zip(self.standing(first).accuracies, self.standing(second).accuracies, strict=False))
        return paired_over_folds([a for a, _ in pairs], [b for _, b in pairs], self.num_folds)

    def best_free(self) -> str | None:
        """The candidate without training that has the best mean over all whole rounds; None if none has one."""
        free = [standing for standing in self._racing() if not standing.finalist.is_trained and standing.accuracies]
        return free[0].finalist.key if free else None

    # ------------------------------------------------------------------------------------------------ its rules

    def _round_of(self, repeat: int, fold: int) -> int:
        return (repeat - 1) * self.num_folds + fold - 1

    def _enter(self, key: str, number: int, score: float | str) -> None:
        if isinstance(score, str):
            self._failed[key] = min(self._failed.get(key, (number, score)), (number, score))
        else:
            self._scores[key][number] = score

    def _is_in(self, key: str, number: int) -> bool:
        """Whether a finalist is to be scored in this round."""
        return key not in self._dropped and (key not in self._failed or number < self._failed[key][0])

    def _racing(self) -> list[Standing]:
        """Those still in the race, best first."""
        standings = [standing for standing in self.standings() if standing.is_racing]
        return sorted(standings, key=lambda standing: -standing.mean)

    def _num_epochs(self, num_rounds: int) -> int:
        """What the first rounds cost, with what is still to be trained of them."""
        return sum(
            finalist.num_epochs
            for key, finalist in self._finalists.items()
            for number in range(min(num_rounds, self._dropped.get(key, num_rounds)))
            if number in self._scores[key] or self._is_in(key, number)
        )

    def _advance(self) -> None:
        """Close the rounds on which everybody has a score, and decide after each."""
        while self.ending is None:
            waited_for = [key for key in self._finalists if self._is_in(key, self.num_scored)]
            if any(self.num_scored not in self._scores[key] for key in waited_for):
                return
            self.num_scored += 1
            if self.num_scored >= self.num_folds:
                self._drop()
                self.ending = self._reason_to_end()

    def _drop(self) -> None:
        """Drop those who are hardly better than the leader, except the best of each kind, which are compared."""
        racing = self._racing()
        kept = _firsts(racing)
        for standing in racing[1:]:
            key = standing.finalist.key
            if key not in kept and self.difference(key, racing[0].finalist.key).better < WORST_CHANCE:
                self._dropped[key] = self.num_scored

    def _reason_to_end(self) -> str | None:
        racing = self._racing()
        trained = [standing.finalist.key for standing in racing if standing.finalist.is_trained]
        if not trained:
            return "no trained configuration is left"
        free = self.best_free()
        others = [*trained[1:2], *([free] if free is not None else [])]
        if all(_excludes_zero(self.difference(trained[0], other)) for other in others):
            return "the differences of the best configuration to the second and to the best baseline are clear"
        if self.num_scored == self._num_rounds:
            return "all repeats are done"
        if self._num_epochs(self.num_scored) >= self._max_epochs:
            return "the folds have cost as many epochs as the trials"
        return None


def _firsts(ranked: Iterable[Standing]) -> set[str]:
    """The first trained and the first untrained one."""
    firsts: dict[bool, str] = {}
    for standing in ranked:
        firsts.setdefault(standing.finalist.is_trained, standing.finalist.key)
    return set(firsts.values())


def _excludes_zero(difference: PairedDifference) -> bool:
    low, high = difference.ci95
    return low > 0.0 or high < 0.0
