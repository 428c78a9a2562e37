"""The metrics of one epoch, as a training reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from sldml.training.loop import EpochStats

Metrics = dict[str, Any]
"""What a training reports: numbers by name (`val/accuracy`), numbers of each class as lists, and its state."""
Report = Callable[[Metrics], None]
"""Called with the metrics of each epoch."""


def objective(scores: Mapping[str, Any], history: Sequence[Metrics], per_fold: int, num_folds: int) -> Metrics:
    """The validation metrics of an epoch.

    Over class folds, `val/accuracy` is the mean over the folds that are done, each at its last epoch. During the first
    one, it is that of this one.

    Args:
        scores: Of `Validator`, after this epoch.
        history: The metrics of all epochs before, over all folds.
        per_fold: Number of epochs of a fold.
        num_folds: Number of folds.

    Returns:
        `scores`, with one fold. Otherwise also `val/num_folds` (the number of folds in that mean),
        `val/accuracy_fold_1` … and, over those that are done, their sample standard deviation `val/accuracy_fold_std`;
        scores by class are left out, for they are of one fold.
    """
    if num_folds == 1:
        return dict(scores)
    fold, done_in_fold = divmod(len(history), per_fold)
    before = history[-1] if history else {}
    names = [f"val/accuracy_fold_{number}" for number in range(1, fold + 2)]
    each = {**{name: before[name] for name in names[:-1]}, names[-1]: scores["val/accuracy"]}
    is_done = done_in_fold + 1 == per_fold or fold == 0
    done = [each[name] for name in (names if is_done else names[:-1])]
    plain = {name: value for name, value in scores.items() if not isinstance(value, list)}
    spread = {"val/accuracy_fold_std": stdev(done)} if len(done) > 1 else {}
    return {**plain, "val/accuracy": mean(done), "val/num_folds": len(done), **each, **spread}


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
