"""The finalists of a search: who is scored on class folds, and in which order they leave the race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sldml.config.space import SearchSettings
from sldml.config.training import EvaluationConfig
from sldml.journal import Candidate, History, TrialRecord
from sldml.search.final import FoldScoring, FoldTraining, NothingToTrainError, whole_schedule
from sldml.search.race import Finalist, FoldTask, Race, Standing

MOST_CANDIDATES = 3
"""Candidates of one baseline."""
AS_GOOD_AS_BEST = 0.05
"""A candidate of a baseline is a finalist if its validation is at most this far below that of the best one."""
_FIRST_FOLD_SEED = 1_000_000
"""Far from the seeds of trials and final models: those would favour the configurations that were chosen with them."""


@dataclass(frozen=True)
class Finalists:
    """Configurations and candidates without training."""

    trials: tuple[TrialRecord, ...]
    """Best by validation first."""
    candidates: tuple[Candidate, ...]
    num_folds: int
    """Class folds in one repeat; 0 if there are none."""
    num_repeats: int
    """Most repeats."""

    @classmethod
    def of(cls, history: History, settings: SearchSettings, num_folds: int) -> Finalists:
        """The best configurations by validation, the default one, and the best candidates of each baseline.

        Raises:
            NothingToTrainError: every trial failed or diverged.
        """
        ranked, count = history.ranked(), settings.finalists
        if not ranked:
            raise NothingToTrainError("no trial has a result: all of them failed or diverged")
        default = history.default_trial
        others = [record for record in ranked[count:] if record is default]
        candidates: list[Candidate] = []
        for baseline in history.baselines.values():
            best_first = sorted(baseline.scores, key=lambda score: -score.val)[:MOST_CANDIDATES]
            least = best_first[0].val - AS_GOOD_AS_BEST
            candidates += [score.candidate for score in best_first if score.val >= least]
        return cls((*ranked[:count], *others), tuple(candidates), num_folds, settings.fold_repeats)

    def race(self, history: History, *, tries_again: bool = False) -> Race | None:
        """The race as far as it has come; None without class folds.

        Args:
            history: With the scores so far.
            tries_again: Leaves out failures, so that what failed is scored again.
        """
        if not self.num_folds:
            return None
        finalists = [Finalist(record.trial_id, True, whole_schedule(record)) for record in self.trials]
        finalists += [Finalist(candidate.key, False) for candidate in self.candidates]
        scores: dict[tuple[str, int, int], float | str] = {}
        for place, event in history.folds.items():
            if event.num_folds == self.num_folds and event.accuracy is not None:
                scores[place] = event.accuracy
            elif event.num_folds == self.num_folds and not tries_again:
                scores[place] = f"fold {event.fold}, repeat {event.repeat}: {event.error}"
        return Race(
            finalists,
            num_folds=self.num_folds,
            num_repeats=self.num_repeats,
            max_epochs=sum(len(record.epochs) for record in history.trials.values()),
            scores=scores,
        )

    def order(self, race: Race | None) -> list[TrialRecord]:
        """The configurations, best first: by the race, or by validation without one.

        First those that stayed in the race to its end, by the lower end of their interval against the best candidate
        without training; then those that were dropped, the last one first; then those that failed on a fold.
        """
        if race is None:
            return list(self.trials)
        free = race.best_free()

        def place(record: TrialRecord) -> tuple[bool, bool, int, float]:
            standing = race.standing(record.trial_id)
            value = standing.mean if free is None else race.difference(record.trial_id, free).ci95[0]
            return standing.error is not None, standing.dropped, -len(standing.accuracies), -value

        return sorted(self.trials, key=place)

    def names(self) -> dict[str, str]:
        """Short names of all finalists, by key: the trial, or the baseline, numbered if it has several candidates."""
        names = {record.trial_id: record.trial_id for record in self.trials}
        counted = Counter[str]()
        for candidate in self.candidates:
            counted[candidate.baseline] += 1
            number = counted[candidate.baseline]
            names[candidate.key] = candidate.baseline + (f" {number}" if number > 1 else "")
        return names

    def to_score(self, task: FoldTask, evaluation: EvaluationConfig) -> FoldTraining | FoldScoring:
        """What a worker does for a task; `evaluation`: the exemplar draws, the same for all finalists."""
        shared = evaluation.model_copy(update={"num_folds": 1})
        key = task.finalist.key
        if not task.finalist.is_trained:
            candidate = next(candidate for candidate in self.candidates if candidate.key == key)
            return FoldScoring(candidate, self.names()[key], shared, self.num_folds, task.repeat, task.fold)
        record = next(record for record in self.trials if record.trial_id == key)
        seed = fold_seed(task.repeat, task.fold)
        config = {**record.config, "evaluation": shared.model_dump(), "seed": seed}
        return FoldTraining(key, config, task.finalist.num_epochs, self.num_folds, task.repeat, task.fold)


def fold_seed(repeat: int, fold: int) -> int:
    """The seed of the trainings on a class fold, the same for all finalists."""
    return _FIRST_FOLD_SEED + 1_000 * repeat + fold


def best_of_each_baseline(candidates: Sequence[Candidate], race: Race) -> list[tuple[Candidate, Standing]]:
    """The candidate of each baseline with the most folds and, among these, the best mean; best first."""
    best: dict[str, tuple[Candidate, Standing]] = {}
    for candidate in candidates:
        standing = race.standing(candidate.key)
        known = best.get(candidate.baseline)
        if known is None or _rank(standing) > _rank(known[1]):
            best[candidate.baseline] = (candidate, standing)
    return sorted(best.values(), key=lambda found: _rank(found[1]), reverse=True)


def _rank(standing: Standing) -> tuple[int, float]:
    return len(standing.accuracies), standing.mean
