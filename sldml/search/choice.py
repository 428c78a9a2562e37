"""Which model a search ships, a trained one or a training-free way, and why.

Nothing here has seen a novel recording: the choice is made by validation, and with few auxiliary classes by the scores
on all class folds of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from sldml.journal import History
from sldml.protocols.folds import scored_folds
from sldml.protocols.split import Development
from sldml.recognition.one_shot import paired_ci95

FEWEST_CLASSES_TO_TRUST = 30
"""With fewer auxiliary classes, one set of validation classes is a coin toss: DTW on sets of three UTD-MHAD classes
has a standard deviation of .10, and a search that trusted them shipped .659 where DTW has .953."""

MOST_FOLDS = 5
"""Each fold costs every configuration one more training. With five a model still trains on four fifths of the classes,
and a fifth of 10 to 29 classes is 2 to 6 of them; more folds than five would hold fewer classes each and say little
more, for a paired interval of five differences is already narrow enough (Student's t 2.78) to show what matters."""

FEWEST_CLASSES_IN_A_FOLD = 2
"""With one class there is nothing to tell apart."""


@dataclass(frozen=True)
class Choice:
    """What ships."""

    trial_id: str | None
    """The configuration; None where a training-free way ships."""
    baseline: str
    """The best training-free way."""
    candidate: Mapping[str, Any]
    """Its `normalize`, `encoder` and `representation`."""
    reason: str
    """In words, for a person."""
    folds: dict[str, Any] | None
    """`num_folds` and `rows` of `fold_rows`, where class folds decided."""


def num_deciding_folds(development: Development) -> int:
    """Over how many class folds of the auxiliary classes it is decided what ships; 0 where they do not decide.

    They do where validation has classes of its own, but too few to be trusted: at most `MOST_FOLDS`, of at least
    `FEWEST_CLASSES_IN_A_FOLD` classes each (so that there must be four), each with a recording that is no exemplar.
    """
    num_auxiliary = _num_auxiliary(development)
    if development.measure != "one_shot_accuracy" or num_auxiliary >= FEWEST_CLASSES_TO_TRUST:
        return 0
    for num_folds in range(min(MOST_FOLDS, num_auxiliary // FEWEST_CLASSES_IN_A_FOLD), 1, -1):
        sides = [fold.validation for fold in scored_folds(development, num_folds)]
        if all(len(side) > len(side.classes) for side in sides):
            return num_folds
    return 0


def choose(development: Development, finals: Sequence[Mapping[str, Any]], history: History) -> Choice:
    """Decide what ships.

    - Where class folds decide, all that was scored on them is on a par: the configuration with the best mean stands
      for the trained models, the candidate with the best mean for the training-free ways, and the trained one ships
      if the paired 95 % interval of their difference lies above zero. That it is not always the first by validation
      is meant: a few validation classes put it there, and the folds know more. (Both stand out among several, the
      trained one among fewer. Folds share training classes, so that their differences are not independent, and the
      interval is rather too narrow than too wide: Bengio and Grandvalet, 2004.)
    - With many auxiliary classes, validation decides: the first configuration, if it is above every training-free way.
    - Without validation classes of their own, or with too few to deal out, nothing shows that training pays, and the
      best training-free way ships.

    Args:
        development: What the search trained and validated on.
        finals: The configurations that have final models, in the order of validation (`trial_id`, `val_accuracy`,
            `num_epochs`).
        history: Baselines, and the scores on class folds.
    """
    name, free = max(history.baselines.items(), key=lambda item: float(item[1]["val"]))
    num_auxiliary = _num_auxiliary(development)
    trained, value = finals[0]["val_accuracy"], free["val"]
    if num_folds := num_deciding_folds(development):
        return _choose_by_folds(finals, history, num_folds, num_auxiliary)
    if development.measure != "one_shot_accuracy":
        reason = "validation had no classes of its own, so it cannot tell whether training pays"
    elif num_auxiliary < FEWEST_CLASSES_TO_TRUST:
        reason = f"{num_auxiliary} auxiliary classes with their recordings are too few to tell whether training pays"
    elif trained <= value:
        reason = (
            f"no trained model is better than {name} on validation ({value:.3f}; the best trained one {trained:.3f})"
        )
    else:
        reason = f"best on validation ({trained:.3f}; the best training-free way, {name}: {value:.3f})"
        return Choice(finals[0]["trial_id"], name, free, reason, None)
    return Choice(None, name, free, reason, None)


def fold_rows(finals: Sequence[Mapping[str, Any]], history: History, num_folds: int) -> list[dict[str, Any]]:
    """What was scored on all class folds: the training-free ways, each by its best candidate, then configurations.

    Returns:
        For each `name` (of the trial or the baseline), `kind` (trained, training_free), `accuracies` (one a fold),
        their `mean` and `std` (sample standard deviation over the folds), `difference` of a trained one to the best
        training-free way (`mean` and paired `ci95`), and `error`: why a fold has failed, so that there are no scores.
        A training-free one has `normalize`, `encoder` and `representation`, too. Within each kind the best mean comes
        first, ties in the order of validation.
    """
    free = [
        {
            **_row(name, "training_free", candidate["accuracies"]),
            "normalize": candidate["normalize"],
            "encoder": candidate["encoder"],
            "representation": candidate.get("representation"),
        }
        for name, candidate in history.best_over_folds().items()
    ]
    free.sort(key=lambda row: row["mean"], reverse=True)
    trained = []
    for final in finals:
        trial_id = final["trial_id"]
        scored = history.has_folds(trial_id, final["num_epochs"], num_folds)
        record = history.folds.get(trial_id, {})
        row = _row(trial_id, "trained", record["accuracies"] if scored else None)
        if not scored:
            row["error"] = record.get("error") or "was not scored"
        else:
            difference, interval = paired_ci95(row["accuracies"], free[0]["accuracies"])
            row["difference"] = {"mean": difference, "ci95": list(interval)}
        trained.append(row)
    trained.sort(key=lambda row: -1.0 if row["mean"] is None else row["mean"], reverse=True)
    return [*free, *trained]


def _choose_by_folds(
    finals: Sequence[Mapping[str, Any]], history: History, num_folds: int, num_auxiliary: int
) -> Choice:
    rows = fold_rows(finals, history, num_folds)
    folds = {"num_folds": num_folds, "rows": rows}
    free = rows[0]
    over = f"over {num_folds} folds of the {num_auxiliary} auxiliary classes"
    trained = next((row for row in rows if row["kind"] == "trained" and row["mean"] is not None), None)
    if trained is None:
        reason = f"no trained model earned it: none was trained to its end {over}"
        return Choice(None, free["name"], free, reason, folds)
    low, high = trained["difference"]["ci95"]
    scores = f"{trained['name']} {trained['mean']:.3f}, {free['name']} without training {free['mean']:.3f}"
    interval = f"the difference, {trained['difference']['mean']:+.3f}, has the paired 95 % interval"
    if low > 0.0:
        reason = f"best {over} ({scores}): {interval} [{low:+.3f}, {high:+.3f}], which lies above zero"
        return Choice(trained["name"], free["name"], free, reason, folds)
    reason = (
        f"no trained model earned it {over} (the best, {scores}): {interval} [{low:+.3f}, {high:+.3f}], which does not "
        "lie above zero"
    )
    return Choice(None, free["name"], free, reason, folds)


def _row(name: str, kind: str, accuracies: list[float] | None) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "mean": None if accuracies is None else mean(accuracies),
        "std": None if accuracies is None else stdev(accuracies),
        "accuracies": accuracies,
        "difference": None,
        "error": None,
    }


def _num_auxiliary(development: Development) -> int:
    return len(set(development.train.classes) | set(development.validation.classes))
