"""The metrics of one epoch, as a training reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from sldml.journal import OBJECTIVE
from sldml.training.loop import EpochStats

Metrics = dict[str, Any]
"""What a training reports: numbers by name (`val/accuracy`), numbers of each class as lists, and its state."""
Report = Callable[[Metrics], None]
"""Called with the metrics of each epoch."""


def objective(scores: Mapping[str, Any], history: Sequence[Metrics], per_fold: int, num_folds: int) -> Metrics:
    """The validation metrics of an epoch, with the best so far as the objective.

    Over class folds, the objective is the mean over the folds that are done, each with its best epoch. During the first
    one, it is the best of that one so far.

    Args:
        scores: Of `Validator`, after this epoch.
        history: The metrics of all epochs before, over all folds.
        per_fold: Number of epochs of a fold.
        num_folds: Number of folds.

    Returns:
        `scores`, `val/accuracy_best` and, with more than one fold, `val/num_folds` (the number of folds in that mean),
        `val/accuracy_fold_1` … and their sample standard deviation, `val/accuracy_fold_std`; scores by class are then
        left out, for they are of one fold.
    """
    accuracies = [*(past["val/accuracy"] for past in history), scores["val/accuracy"]]
    best = [max(accuracies[start : start + per_fold]) for start in range(0, len(accuracies), per_fold)]
    if num_folds == 1:
        return {**scores, OBJECTIVE: best[0]}
    if len(best) > 1 and len(accuracies) % per_fold:
        best.pop()  # not done yet
    plain = {name: value for name, value in scores.items() if not isinstance(value, list)}
    each = {f"val/accuracy_fold_{fold}": accuracy for fold, accuracy in enumerate(best, start=1)}
    spread = {"val/accuracy_fold_std": stdev(best)} if len(best) > 1 else {}
    return {**plain, OBJECTIVE: mean(best), "val/num_folds": len(best), **each, **spread}


def training_metrics(stats: EpochStats, evaluation_s: float) -> dict[str, float]:
    """Losses, learning rate, times (seconds) and throughput of an epoch."""
    return {
        "train/loss": stats.loss,
        "train/metric_loss": stats.metric_loss,
        "train/head_loss": stats.head_loss,
        "train/lr": stats.lr,
        "time/data_s": stats.data_s,
        "time/step_s": stats.step_s,
        "time/evaluation_s": evaluation_s,
        "images_per_s": stats.num_images / max(stats.data_s + stats.step_s, 1e-9),
    }
