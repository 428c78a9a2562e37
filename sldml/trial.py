"""One configuration from recordings to metrics, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sldml.batches import Signals
from sldml.checkpoints import CheckpointFile
from sldml.config import TrialConfig
from sldml.embedding import embed
from sldml.journal import OBJECTIVE
from sldml.oneshot import exemplar_draws, map_at_r, score_embeddings
from sldml.protocols import Development, Subset
from sldml.signals import Layout
from sldml.training import DivergedError, EpochStats, Training

WORST = 0.0
"""What a diverged trial reports: finite, and no better than anything."""
Report = Callable[[dict[str, Any]], None]


def run_trial(
    config: TrialConfig,
    development: Development,
    signals: Signals,
    layout: Layout,
    *,
    report: Report,
    checkpoint: CheckpointFile | None = None,
    epochs_reported: int = 0,
) -> None:
    """Train on the training classes, score the validation classes after every epoch, report.

    Args:
        config: What to do.
        development: Recordings to train on and to validate on; no other is within reach.
        signals: The prepared set's frames.
        layout: What its rows mean.
        report: Called once an epoch, with `state` completed in the last one, or diverged.
        checkpoint: Where to go on from, if something lies there, and what to write.
        epochs_reported: Reports that counted before an interruption: those that a checkpoint has beyond
            them are repeated, those it lacks are trained again.
    """
    training = Training(config, development.train, signals, layout)
    history: list[dict[str, Any]] = []
    saved = checkpoint.load(training.device) if checkpoint is not None else None
    if saved is not None:
        training.load_state_dict(saved["training"])
        history = saved["history"]
        for past in history[epochs_reported:]:
            report(past)
    validation = development.validation
    draws = exemplar_draws(validation.labels, config.evaluation.num_draws, config.evaluation.seed)

    while training.epoch < config.train.max_epochs:
        try:
            stats = training.run_epoch()
        except DivergedError as error:
            worst = {"epoch": training.epoch, "val/accuracy": WORST, OBJECTIVE: WORST}
            report({**worst, "state": "diverged", "error": str(error)})
            return

        started = time.perf_counter()
        embeddings = embed(training.encoder, signals, validation, config.normalize, config.representation, layout)
        accuracy, spread = score(embeddings, validation, development.measure, draws)
        best = max([accuracy, *(past[OBJECTIVE] for past in history)])
        evaluation_s = time.perf_counter() - started

        last = training.epoch == config.train.max_epochs
        metrics = {
            "epoch": training.epoch,
            "state": "completed" if last else "running",
            "val/accuracy": accuracy,
            "val/accuracy_std": spread,
            OBJECTIVE: best,
            "val/map_at_r": map_at_r(embeddings, validation.labels),
            **describe(stats, evaluation_s),
        }
        history.append(metrics)
        # Before the report: what has been reported can then be gone on from.
        if checkpoint is not None:
            state = {"training": training.state_dict(), "history": history}
            if accuracy == best:
                checkpoint.save_best(training.encoder.state_dict())
            checkpoint.save(state, must=last or accuracy == best)
        report(metrics)


def score(embeddings: Tensor, validation: Subset, measure: str, draws: NDArray[np.int64]) -> tuple[float, float]:
    """The objective and its spread over the exemplar draws (0 where there are none)."""
    if measure == "map_at_r":
        return map_at_r(embeddings, validation.labels), 0.0
    result = score_embeddings(embeddings, validation.labels, draws)
    return result.mean, result.std


def describe(stats: EpochStats, evaluation_s: float) -> dict[str, float]:
    """An epoch's statistics under the names that they are reported by."""
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


def run_final(
    config: TrialConfig,
    num_epochs: int,
    train: Subset,
    signals: Signals,
    layout: Layout,
    *,
    report: Report,
    checkpoint: CheckpointFile,
) -> None:
    """Train a final model: on auxiliary and validation classes together, for a number of epochs fixed before.

    The schedule is the trial's own, cut at `num_epochs`. Nothing is measured that could be chosen by. The
    trained weights are in the last checkpoint.
    """
    training = Training(config, train, signals, layout)
    saved = checkpoint.load(training.device)
    history: list[dict[str, Any]] = []
    if saved is not None:
        training.load_state_dict(saved["training"])
        history = saved["history"]
        for past in history:
            report(past)
    while training.epoch < num_epochs:
        try:
            stats = training.run_epoch()
        except DivergedError as error:
            report({"epoch": training.epoch, "state": "diverged", "error": str(error)})
            return
        last = training.epoch == num_epochs
        history.append({"epoch": training.epoch, "state": "completed" if last else "running", **describe(stats, 0.0)})
        checkpoint.save({"training": training.state_dict(), "history": history}, must=last)
        report(history[-1])
