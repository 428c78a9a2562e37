"""The metrics of one epoch, as a training reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sldml.training.loop import EpochStats

Metrics = dict[str, Any]
"""What a training reports: numbers by name (`val/accuracy`), numbers of each class as lists, and its state."""
Report = Callable[[Metrics], None]
"""Called with the metrics of each epoch."""


def mean_over_folds(scores: Sequence[Mapping[str, Any]]) -> Metrics:
    """Validation scores of one model per class fold, as one.

    Args:
        scores: Of `Validator`, one per fold.

    Returns:
        The score itself if there is one fold. Otherwise the means, `val/accuracy_fold_1` … and their sample standard
        deviation, `val/accuracy_fold_std`; scores by class are left out.
    """
    if len(scores) == 1:
        return dict(scores[0])
    means = {
        name: float(np.mean([score[name] for score in scores]))
        for name in ("val/accuracy", "val/accuracy_std", "val/map_at_r")
    }
    accuracies = [score["val/accuracy"] for score in scores]
    each = {f"val/accuracy_fold_{fold}": accuracy for fold, accuracy in enumerate(accuracies, start=1)}
    return {**means, **each, "val/accuracy_fold_std": float(np.std(accuracies, ddof=1))}


def training_metrics(stats: Sequence[EpochStats], evaluation_s: float) -> dict[str, float]:
    """Losses, learning rate, times and throughput of an epoch, of one model or of one per class fold.

    Losses are means over the models; times (seconds) and numbers of images are sums.
    """
    data_s, step_s = sum(s.data_s for s in stats), sum(s.step_s for s in stats)
    return {
        "train/loss": float(np.mean([s.loss for s in stats])),
        "train/metric_loss": float(np.mean([s.metric_loss for s in stats])),
        "train/head_loss": float(np.mean([s.head_loss for s in stats])),
        "train/lr": stats[0].lr,
        "time/data_s": data_s,
        "time/step_s": step_s,
        "time/evaluation_s": evaluation_s,
        "images_per_s": sum(s.num_images for s in stats) / max(data_s + step_s, 1e-9),
    }
