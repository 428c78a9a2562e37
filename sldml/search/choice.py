"""Which model a search saves, a trained one or a baseline, and why.

Novel recordings are not used: the decision is made by the scores of the finalists on class folds of the auxiliary
classes. Validation selects the finalists, and decides nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sldml.journal import Candidate, FoldRow, FoldTable, History
from sldml.protocols.folds import have_queries, scored_folds
from sldml.protocols.split import Development
from sldml.search.finalists import Finalists, best_of_each_baseline
from sldml.search.race import Race

MOST_FOLDS = 5
"""Each fold costs one more training of every finalist. With five, a model still trains on four fifths of the classes,
and a fifth of 10 classes is two of them. Repeats with other folds are better than more folds of fewer classes."""

FEWEST_CLASSES_IN_A_FOLD = 2
"""One class alone cannot be confused."""


@dataclass(frozen=True)
class ShippingDecision:
    """Which model is saved."""

    trial_id: str | None
    """The configuration; None if a baseline is saved."""
    candidate: Candidate
    """The best one without training."""
    reason: str
    """As text."""
    better_than_default: float | None = None
    """Probability that what is saved is better than the default configuration."""
    better_than_baseline: float | None = None
    """Probability that it is better than `candidate`."""
    folds: FoldTable | None = None
    """The scores over class folds, if there are any."""


def num_class_folds(development: Development) -> int:
    """Number of class folds of the auxiliary classes in one repeat; 0 if a benefit of training cannot be shown.

    There are at most `MOST_FOLDS` folds of at least `FEWEST_CLASSES_IN_A_FOLD` classes (four in total), each with a
    recording besides the exemplars. There are none if validation has no separate classes.
    """
    if development.measure != "one_shot_accuracy":
        return 0
    for num_folds in range(min(MOST_FOLDS, _num_auxiliary(development) // FEWEST_CLASSES_IN_A_FOLD), 1, -1):
        if have_queries(scored_folds(development, num_folds)):
            return num_folds
    return 0


def choose(development: Development, tested: Sequence[str], history: History, finalists: Finalists) -> ShippingDecision:
    """Decide which model is saved.

    The first configuration in the order of the race is saved if its paired 95 % interval against the best candidate
    without training is above zero; else that candidate is. Without class folds, the best candidate by validation is.

    Args:
        development: The recordings that the search trained and validated on.
        tested: The configurations that have final models.
        history: With the baselines on validation, and the scores on class folds.
        finalists: Who raced.
    """
    race = finalists.race(history)
    by_validation = max((baseline.best for baseline in history.baselines.values()), key=lambda score: score.val)
    if race is None:
        return ShippingDecision(None, by_validation.candidate, _reason_without_folds(development))
    free = race.best_free()
    candidate = next((c for c in finalists.candidates if c.key == free), by_validation.candidate)
    table = fold_table(history, finalists, race)
    over = f"over {race.num_scored} class folds of the {_num_auxiliary(development)} auxiliary classes"
    if free is None or not race.num_scored:
        return ShippingDecision(None, candidate, f"no baseline was compared {over}", folds=table)
    order = [r.trial_id for r in finalists.order(race) if r.trial_id in tested]
    scored = [trial_id for trial_id in order if race.standing(trial_id).error is None]
    if not scored:
        return ShippingDecision(None, candidate, f"no trained model completed {over}", folds=table)
    name = scored[0]
    trained, against = race.standing(name), race.difference(name, free)
    low, high = against.ci95
    scores = f"{name} {trained.mean:.3f}, best baseline {candidate.baseline} {race.standing(free).mean:.3f}"
    interval = f"difference {against.mean:+.3f}, 95 % interval [{low:+.3f}, {high:+.3f}]"
    default = None if history.default_trial is None else history.default_trial.trial_id
    if low > 0.0:
        return ShippingDecision(
            name,
            candidate,
            f"best {over} ({scores}; {interval})",
            better_than_default=_probability(race, name, default),
            better_than_baseline=_probability(race, name, free),
            folds=table,
        )
    return ShippingDecision(
        None,
        candidate,
        f"no trained model was clearly better {over} (best {scores}; {interval})",
        better_than_default=_probability(race, free, default),
        folds=table,
    )


def fold_table(history: History, finalists: Finalists, race: Race) -> FoldTable:
    """The scores of the finalists: the best candidate of each baseline, then the configurations, best first."""
    free, default = race.best_free(), history.default_trial
    rows = []
    for candidate, standing in best_of_each_baseline(finalists.candidates, race):
        rows.append(
            FoldRow(
                name=candidate.baseline,
                kind="training_free",
                accuracies=standing.accuracies,
                dropped=standing.dropped,
                error=standing.error,
                candidate=candidate,
            )
        )
    for record in finalists.order(race):
        standing = race.standing(record.trial_id)
        is_compared = free is not None and standing.accuracies
        rows.append(
            FoldRow(
                name=record.trial_id,
                kind="trained",
                accuracies=standing.accuracies,
                difference=race.difference(record.trial_id, str(free)) if is_compared else None,
                dropped=standing.dropped,
                error=standing.error,
                is_default=record is default,
            )
        )
    return FoldTable(
        num_folds=race.num_folds,
        num_scored=race.num_scored,
        ending=race.ending or "the time was up",
        rows=tuple(rows),
    )


def _probability(race: Race, name: str, other: str | None) -> float | None:
    """Probability that a finalist is better than another one; None if it is the same, or if they were not compared."""
    if other is None or other == name or other not in race:
        return None
    if min(len(race.standing(key).accuracies) for key in (name, other)) < 2:
        return None
    return race.difference(name, other).better


def _reason_without_folds(development: Development) -> str:
    if development.measure != "one_shot_accuracy":
        return "validation has no separate classes, so a benefit of training cannot be shown"
    return f"too few auxiliary classes ({_num_auxiliary(development)}) for class folds"


def _num_auxiliary(development: Development) -> int:
    return len(set(development.train.classes) | set(development.validation.classes))
