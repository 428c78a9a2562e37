"""Whether a difference of two validation values is more than chance.

What matters is whether one configuration would be above the other on *other* classes too, so classes are what is
counted, never recordings, and never exemplar draws:

- With class folds (`evaluation.num_folds`) each fold is one observation: the differences of two configurations, fold by
  fold, have a mean, and Student's t its 95 % interval (`sldml.recognition.one_shot.paired_ci95`).
- With one set of validation classes each class is one observation: the difference of the two accuracies on the queries
  of that class, the mean over the exemplar draws. The interval is that of the mean over classes, weighted by their
  queries: a ratio estimate (Cochran, *Sampling Techniques*, 1977, chapter 6), which with classes of equal size is the
  paired t interval.

Both are paired: a class that is hard for both, and the draws, which are the same for all trials, fall out. The spread
over the exemplar draws (`val/accuracy_std`) is told beside a value, for it says what another exemplar of each class may
change, but it decides nothing: the draws are made from the same recordings of the same classes, so that a hundred of
them are not a hundred observations, and the spread would shrink with their number as far as one likes.

An interval is rather too narrow than too wide. Classes are confused with one another and folds share training classes,
so neither are independent; the best of many trials is best partly by luck, and is compared with many; and another seed
of the training would change a value again. Within the noise therefore means that nothing tells two configurations
apart; beyond it does not yet prove that they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from sldml.journal import History, TrialRecord
from sldml.recognition.one_shot import paired_ci95


@dataclass(frozen=True)
class Score:
    """A validation value, and what it is made of; a fraction each."""

    value: float
    draw_std: float | None
    """Spread over the exemplar draws; None where there were none."""
    folds: tuple[float, ...] = ()
    """The accuracy on each class fold."""
    right: tuple[float, ...] = ()
    """With one set of validation classes: how many queries of each are named right, the mean over the draws."""
    queries: tuple[float, ...] = ()
    """Of how many."""

    @property
    def fold_std(self) -> float | None:
        """Sample standard deviation over the class folds."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None


@dataclass(frozen=True)
class Difference:
    """How far one validation value lies above another (below: negative), and within which limits that may be so."""

    value: float
    ci95: tuple[float, float] | None
    """None where nothing is known of the noise."""

    @property
    def is_noise(self) -> bool | None:
        """Whether the interval holds zero; None where nothing is known."""
        return None if self.ci95 is None else self.ci95[0] <= 0.0 <= self.ci95[1]


def trial_score(record: TrialRecord) -> Score | None:
    """The score of a trial at its best epoch; None before its first one."""
    best = next((epoch for epoch in record.epochs if epoch["epoch"] == record.best_epoch), None)
    if best is None or record.value is None:
        return None
    folds: list[float] = []
    while (name := f"val/accuracy_fold_{len(folds) + 1}") in best:
        folds.append(float(best[name]))
    return Score(
        record.value,
        best.get("val/accuracy_std") or None,
        tuple(folds),
        tuple(best.get("val/right_per_class", ())),
        tuple(best.get("val/queries_per_class", ())),
    )


def baseline_score(result: Mapping[str, Any]) -> Score:
    """The score of a training-free way, as `BaselineScorer.validate` tells it."""
    return Score(
        float(result["val"]),
        result.get("val_std") or None,
        tuple(result.get("val_folds", ())),
        tuple(result.get("val_right_per_class", ())),
        tuple(result.get("val_queries_per_class", ())),
    )


def difference(score: Score, other: Score) -> Difference:
    """How far `score` lies above `other`, with the paired 95 % interval over class folds, or else over classes.

    Of two values over different classes, or of which no parts are known, there is no interval.
    """
    value = score.value - other.value
    if score.folds or other.folds:
        if len(score.folds) != len(other.folds):
            return Difference(value, None)
        return Difference(value, paired_ci95(score.folds, other.folds)[1])
    if not score.queries or len(score.queries) != len(other.queries):
        return Difference(value, None)
    half = _half_width_over_classes(score, other)
    return Difference(value, (max(-1.0, value - half), min(1.0, value + half)))


def _half_width_over_classes(score: Score, other: Score) -> float:
    """Half the 95 % interval of the mean difference over classes, each weighted by its queries.

    A class without queries says nothing and does not count; with a single class anything is possible.
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
    """Of each other trial that is ranked, the best first, how far it lies below the best one (so: negative, or 0)."""
    ranked = [(record.trial_id, score) for record in history.ranked() if (score := trial_score(record)) is not None]
    return {trial_id: difference(score, ranked[0][1]) for trial_id, score in ranked[1:]}


def within_noise(differences: Mapping[str, Difference]) -> list[str] | None:
    """Those of `against_best` that validation cannot tell from the best; None where nothing is known of any."""
    if all(d.is_noise is None for d in differences.values()):
        return None
    return [trial_id for trial_id, d in differences.items() if d.is_noise]


def _names(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def noise_in_words(best: TrialRecord, num_others: int, alike: Sequence[str] | None) -> str | None:
    """In a sentence, how many of the other configurations are within the noise of the best; None without others.

    Args:
        best: The first by validation.
        num_others: How many other configurations have a value.
        alike: Those of them that `within_noise` found.
    """
    score = trial_score(best)
    if score is None or not num_others:
        return None
    if alike is None:
        return "How far chance moves a validation value is not known here: small differences may be noise."
    spreads = {"exemplar draws": score.draw_std, "class folds": score.fold_std}
    known = ", ".join(f"± {std:.3f} over {units}" for units, std in spreads.items() if std is not None)
    name = f"{best.trial_id} ({f'{score.value:.3f} {known}'.strip()})"
    units = f"{len(score.folds)} class folds" if score.folds else f"{len(score.queries)} validation classes"
    if not alike:
        return f"{name} lies above all {num_others} others by more than the noise over {units}."
    many = f"All {num_others}" if len(alike) == num_others else f"{len(alike)} of the {num_others}"
    return (
        f"{many} other configurations are within the noise of the best, {name}: the 95 % "
        f"intervals of their differences over the {units} hold zero ({_names(alike)})."
    )
