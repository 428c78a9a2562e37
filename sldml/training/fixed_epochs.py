"""Trainings for a number of epochs that is fixed beforehand: final models, and models scored on a class fold."""

from __future__ import annotations

import time
from collections.abc import Callable

from sldml.config.trial import TrialConfig
from sldml.embedding.encoders import Encoder
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.protocols.split import Development
from sldml.training.checkpoints import CheckpointFile
from sldml.training.epoch_metrics import Metrics, Report, training_metrics
from sldml.training.loop import DivergedError, Training
from sldml.training.usage import Usage
from sldml.training.validation import Validator


def run_final(config: TrialConfig, num_epochs: int, train: View, *, report: Report, checkpoint: CheckpointFile) -> None:
    """Train a final model on auxiliary and validation classes together.

    Nothing is scored, so nothing can be chosen afterwards. The trained weights are in the last checkpoint.
    """
    _run(config, num_epochs, train, report=report, checkpoint=checkpoint)


def run_fold(
    config: TrialConfig,
    num_epochs: int,
    fold: Development,
    frames: Frames,
    *,
    report: Report,
    checkpoint: CheckpointFile,
    keeps_weights: bool = False,
) -> None:
    """Train on the training classes of a fold as a final model is trained; score its validation classes at the end.

    Only the last report has `val/accuracy`. The last checkpoint keeps the reports (`history`) and, with
    `keeps_weights`, the state of the trained encoder (`encoder`).
    """
    score = Validator(config, fold, frames)
    train = View(frames, fold.train)
    _run(config, num_epochs, train, report=report, checkpoint=checkpoint, score=score, keeps_weights=keeps_weights)


def _run(
    config: TrialConfig,
    num_epochs: int,
    train: View,
    *,
    report: Report,
    checkpoint: CheckpointFile,
    score: Callable[[Encoder], Metrics] | None = None,
    keeps_weights: bool = False,
) -> None:
    """Train for `num_epochs` epochs; with `score`, score the model after the last one."""
    training = Training(config, train)
    usage = Usage(training.device)
    saved = checkpoint.load(training.device)
    history: list[Metrics] = []
    if saved is not None:
        if "training" in saved:
            training.load_state_dict(saved["training"])
        history = saved["history"]
        for past in history:
            report(past)

    while len(history) < num_epochs:
        try:
            stats = training.run_epoch()
        except DivergedError as error:
            report({"epoch": training.epoch, "state": "diverged", "error": str(error)})
            return
        is_last = training.epoch == num_epochs
        started = time.perf_counter()
        scores = score(training.encoder) if is_last and score is not None else {}
        evaluation_s = time.perf_counter() - started
        metrics = {"epoch": training.epoch, "state": "completed" if is_last else "running"}
        history.append({**metrics, **scores, **training_metrics(stats, evaluation_s), **usage.of_epoch()})
        state = {"history": history, **({} if scores else {"training": training.state_dict()})}
        if scores and keeps_weights:
            state["encoder"] = training.encoder.state_dict()
        checkpoint.save(state, must=is_last)
        report(history[-1])
