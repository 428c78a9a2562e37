"""Whether a difference of two validation values may be chance.

The question is whether one configuration would also be better on *other* classes, so observations are classes, not
recordings or exemplar draws:

- With class folds (`evaluation.num_folds`) each fold is one observation. The interval is the paired 95 % interval
  (Student's t) of the differences over folds (`sldml.recognition.one_shot.paired_ci95`).
- With one set of validation classes each class is one observation: the difference of the two accuracies on its queries,
  averaged over the exemplar draws. The interval is that of the mean over classes, weighted by their queries: a ratio
  estimate (Cochran, *Sampling Techniques*, 1977, chapter 6), equal to the paired t interval for classes of equal size.

Both are paired, so the difficulty of a class and the draws, which are the same for all trials, cancel. The spread over
the exemplar draws (`val/accuracy_std`) is reported with a value, because it shows the effect of other exemplars, but it
is not used here: a hundred draws from the same recordings are not a hundred observations.

The intervals are rather too narrow than too wide: classes are confused with one another and folds share training
classes, so neither are independent; the best of many trials is partly lucky; and another training seed would change a
value. An interval that contains zero means that two configurations are not distinguishable; one that excludes zero does
not prove that they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import scipy.special

from sldml.journal import BaselineScore, History, TrialRecord
from sldml.recognition.one_shot import paired_ci95


@dataclass(frozen=True)
class Score:
    """A validation value and its parts, as fractions."""

    value: float
    draw_std: float | None
    """Standard deviation over the exemplar draws; None without draws."""
    folds: tuple[float, ...] = ()
    """The accuracy on each class fold."""
    right: tuple[float, ...] = ()
    """With one set of validation classes: correct queries of each class, averaged over the draws."""
    queries: tuple[float, ...] = ()
    """Number of queries of each class."""

    @property
    def fold_std(self) -> float | None:
        """Sample standard deviation over the class folds."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None


@dataclass(frozen=True)
class Difference:
    """The difference of two validation values (positive: the first is better) and its interval."""

    value: float
    ci95: tuple[float, float] | None
    """None if it cannot be estimated."""

    @property
    def may_be_chance(self) -> bool | None:
        """Whether the interval contains zero; None without an interval."""
        return None if self.ci95 is None else self.ci95[0] <= 0.0 <= self.ci95[1]


def trial_score(record: TrialRecord) -> Score | None:
    """The score of a trial after its last epoch; None before its first epoch."""
    last = record.last
    if last is None:
        return None
    names = [f"val/accuracy_fold_{number}" for number in range(1, last.num_folds + 1)]
    folds = [last.metrics[name] for name in names if name in last.metrics]
    std = last.metrics.get("val/accuracy_std") or None
    return Score(last.value, std, tuple(folds), last.right_per_class, last.queries_per_class)


def baseline_score(score: BaselineScore) -> Score:
    """The score of a candidate of a baseline."""
    return Score(score.val, score.val_std or None, score.val_folds, score.right_per_class, score.queries_per_class)


def difference(score: Score, other: Score) -> Difference:
    """The difference `score` - `other` with its paired 95 % interval over class folds, or else over classes.

    Over class folds, those count that both have. There is no interval for values over different classes or with unknown
    parts.
    """
    value = score.value - other.value
    if score.folds or other.folds:
        common = min(len(score.folds), len(other.folds))  # a trial that was stopped has seen the first ones only
        if common == 0:
            return Difference(value, None)
        own, others = score.folds[:common], other.folds[:common]
        return Difference(mean(own) - mean(others), paired_ci95(own, others)[1])
    if not score.queries or len(score.queries) != len(other.queries):
        return Difference(value, None)
    half = _half_width_over_classes(score, other)
    return Difference(value, (max(-1.0, value - half), min(1.0, value + half)))


def _half_width_over_classes(score: Score, other: Score) -> float:
    """Half the 95 % interval of the mean difference over classes, each weighted by its queries.

    Classes without queries are ignored; with a single class the interval is unbounded.
    """
    counted = (np.array(score.queries) > 0) & (np.array(other.queries) > 0)
    weights = np.array(score.queries, dtype=float)[counted]
    if len(weights) < 2:
        return 2.0
    own, others = (np.array(s.right)[counted] / np.array(s.queries)[counted] for s in (score, other))
    weights /= weights.sum()
    differences = own - others
    residuals = weights * (differences - weights @ differences)
    error = float(np.sqrt(len(weights) / (len(weights) - 1) * (residuals @ residuals)))
    return float(scipy.special.stdtrit(len(weights) - 1, 0.975)) * error


def against_best(history: History) -> dict[str, Difference]:
    """The difference to the best trial (negative or 0) of each other one that was trained for as long, best first."""
    ranked = history.ranked()
    longest = [(r.trial_id, score) for r in ranked if r.rank[0] == ranked[0].rank[0] and (score := trial_score(r))]
    return {trial_id: difference(score, longest[0][1]) for trial_id, score in longest[1:]}


def indistinguishable(differences: Mapping[str, Difference]) -> list[str] | None:
    """The trials of `against_best` that are not distinguishable from the best; None without any interval."""
    if all(d.may_be_chance is None for d in differences.values()):
        return None
    return [trial_id for trial_id, d in differences.items() if d.may_be_chance]


def _names(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def noise_sentence(best: TrialRecord, num_others: int, alike: Sequence[str] | None) -> str | None:
    """A sentence on how many configurations are not distinguishable from the best; None without others.

    Args:
        best: The best trial by validation.
        num_others: Number of other configurations that were trained for as long.
        alike: The result of `indistinguishable`.
    """
    score = trial_score(best)
    if score is None or not num_others:
        return None
    if alike is None:
        return "The uncertainty of validation values is unknown: small differences may be chance."
    spreads = {"exemplar draws": score.draw_std, "class folds": score.fold_std}
    known = ", ".join(f"± {std:.3f} over {units}" for units, std in spreads.items() if std is not None)
    name = f"{best.trial_id} ({f'{score.value:.3f} {known}'.strip()})"
    units = f"{len(score.folds)} class folds" if score.folds else f"{len(score.queries)} validation classes"
    if not alike:
        others = f"all {num_others} others that were trained for as long"
        return f"{name} is better than {others} (95 % intervals over {units})."
    many = f"All {num_others}" if len(alike) == num_others else f"{len(alike)} of the {num_others}"
    return (
        f"{many} other configurations that were trained for as long are not distinguishable from the best, {name}, by "
        f"the 95 % intervals of their differences over {units} ({_names(alike)})."
    )
