"""Which model a search saves, a trained one or a baseline, and why.

Novel recordings are not used: the decision is made by validation or, with few auxiliary classes, by the scores on all
class folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sldml.journal import Candidate, FinalResult, FoldRow, FoldTable, History, PairedDifference
from sldml.protocols.folds import scored_folds
from sldml.protocols.split import Development
from sldml.recognition.one_shot import paired_ci95

FEWEST_CLASSES_TO_TRUST = 30
"""With fewer auxiliary classes, one set of validation classes is too small: DTW on sets of three UTD-MHAD classes
has a standard deviation of .10, and a search that trusted them shipped .659 where DTW has .953."""

MOST_FOLDS = 5
"""Each fold costs one more training of every configuration. With five, a model still trains on four fifths of the
classes, and a fifth of 10 to 29 classes is 2 to 6 of them. More folds would have fewer classes each and add little: a
paired interval of five differences is narrow enough (Student's t 2.78)."""

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
    folds: FoldTable | None
    """The scores, if class folds decided."""


def num_deciding_folds(development: Development) -> int:
    """Number of class folds of the auxiliary classes that decide which model is saved; 0 if validation decides.

    Folds decide if validation has separate classes, but too few: at most `MOST_FOLDS` folds of at least
    `FEWEST_CLASSES_IN_A_FOLD` classes (four in total), each with a recording besides the exemplars.
    """
    num_auxiliary = _num_auxiliary(development)
    if development.measure != "one_shot_accuracy" or num_auxiliary >= FEWEST_CLASSES_TO_TRUST:
        return 0
    for num_folds in range(min(MOST_FOLDS, num_auxiliary // FEWEST_CLASSES_IN_A_FOLD), 1, -1):
        sides = [fold.validation for fold in scored_folds(development, num_folds)]
        if all(len(side) > len(side.classes) for side in sides):
            return num_folds
    return 0


def choose(development: Development, finals: Sequence[FinalResult], history: History) -> ShippingDecision:
    """Decide which model is saved.

    - If class folds decide, the configuration with the best mean over folds is compared with the baseline candidate
      with the best mean. The configuration is saved if the paired 95 % interval of their difference is above zero. It
      need not be the first by validation, which has fewer classes than the folds. (Both are maxima, the trained one
      over fewer candidates. Folds share training classes, so their differences are not independent, and the interval
      is rather too narrow than too wide: Bengio and Grandvalet, 2004.)
    - With many auxiliary classes, validation decides: the first configuration, if it is above every baseline.
    - Without separate validation classes, or with too few for folds, a benefit of training cannot be shown, and the
      best baseline is saved.

    Args:
        development: The recordings that the search trained and validated on.
        finals: The configurations that have final models, in the order of validation.
        history: Baselines, and the scores on class folds.
    """
    free = max((baseline.best for baseline in history.baselines.values()), key=lambda score: score.val)
    name, num_auxiliary = free.candidate.baseline, _num_auxiliary(development)
    trained, value = finals[0].val_accuracy, free.val
    if num_folds := num_deciding_folds(development):
        return _choose_by_folds(finals, history, num_folds, num_auxiliary)
    if development.measure != "one_shot_accuracy":
        reason = "validation has no separate classes, so a benefit of training cannot be shown"
    elif num_auxiliary < FEWEST_CLASSES_TO_TRUST:
        reason = f"too few validation classes to choose reliably ({num_auxiliary} auxiliary classes)"
    elif trained <= value:
        reason = (
            f"no trained model is better than {name} on validation ({value:.3f}; the best trained one {trained:.3f})"
        )
    else:
        reason = f"best on validation ({trained:.3f}; best baseline {name}: {value:.3f})"
        return ShippingDecision(finals[0].trial_id, free.candidate, reason, None)
    return ShippingDecision(None, free.candidate, reason, None)


def fold_rows(finals: Sequence[FinalResult], history: History, num_folds: int) -> list[FoldRow]:
    """The scores on all class folds: baselines, each with its best candidate, then configurations.

    Within each kind the best mean comes first, ties in the order of validation.
    """
    free = [
        FoldRow(name=name, kind="training_free", accuracies=best.accuracies, candidate=best.candidate)
        for name, best in history.best_over_folds().items()
    ]
    free.sort(key=_mean, reverse=True)
    trained = []
    for final in finals:
        trial_id, found = final.trial_id, history.folds.get(final.trial_id)
        if found is None or found.accuracies is None or not history.has_folds(trial_id, final.num_epochs, num_folds):
            error = (found.error if found is not None else None) or "was not scored"
            trained.append(FoldRow(name=trial_id, kind="trained", accuracies=None, error=error))
            continue
        difference, interval = paired_ci95(found.accuracies, free[0].accuracies or ())
        paired = PairedDifference(mean=difference, ci95=interval)
        trained.append(FoldRow(name=trial_id, kind="trained", accuracies=found.accuracies, difference=paired))
    trained.sort(key=_mean, reverse=True)
    return [*free, *trained]


def _mean(row: FoldRow) -> float:
    return -1.0 if row.mean is None else row.mean


def _choose_by_folds(
    finals: Sequence[FinalResult], history: History, num_folds: int, num_auxiliary: int
) -> ShippingDecision:
    rows = fold_rows(finals, history, num_folds)
    folds, free = FoldTable(num_folds=num_folds, rows=tuple(rows)), rows[0]
    assert free.candidate is not None
    over = f"over {num_folds} folds of the {num_auxiliary} auxiliary classes"
    trained = next((row for row in rows if row.difference is not None), None)
    if trained is None or trained.difference is None:
        return ShippingDecision(None, free.candidate, f"no trained model completed {over}", folds)
    low, high = trained.difference.ci95
    scores = f"{trained.name} {trained.mean:.3f}, best baseline {free.name} {free.mean:.3f}"
    interval = f"difference {trained.difference.mean:+.3f}, paired 95 % interval [{low:+.3f}, {high:+.3f}]"
    if low > 0.0:
        return ShippingDecision(trained.name, free.candidate, f"best {over} ({scores}; {interval})", folds)
    reason = f"no trained model was significantly better {over} (best {scores}; {interval})"
    return ShippingDecision(None, free.candidate, reason, folds)


def _num_auxiliary(development: Development) -> int:
    return len(set(development.train.classes) | set(development.validation.classes))
