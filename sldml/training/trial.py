"""One configuration from recordings to metrics, on one page."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sldml.config.trial import TrialConfig
from sldml.embedding.encoders import Encoder
from sldml.embedding.view import View
from sldml.journal import OBJECTIVE
from sldml.prepared.batches import Frames
from sldml.protocols.folds import fold_developments
from sldml.protocols.split import Development
from sldml.training.checkpoints import CheckpointFile
from sldml.training.loop import DivergedError, EpochStats, Training
from sldml.training.machine_load import GpuMeter
from sldml.training.validation import Validator

WORST = 0.0
"""What a diverged trial reports: finite, and no better than anything."""
Report = Callable[[dict[str, Any]], None]
WORKER = f"{socket.gethostname()}:{os.getpid()}"
"""Where this process runs."""


def run_trial(
    config: TrialConfig,
    development: Development,
    frames: Frames,
    *,
    report: Report,
    checkpoint: CheckpointFile | None = None,
    epochs_reported: int = 0,
) -> None:
    """Train on the training classes, score the validation classes after every epoch, report.

    With `config.evaluation.num_folds` above one it is one model a fold, epoch by epoch side by side, and what is
    reported is their mean.

    Args:
        config: What to do.
        development: Recordings to train on and to validate on; no other is within reach.
        frames: Those of the prepared set.
        report: Called once an epoch, with `state` completed in the last one, or diverged.
        checkpoint: Where to go on from, if something lies there, and what to write.
        epochs_reported: Reports that counted before an interruption: those that a checkpoint has beyond
            them are repeated, those it lacks are trained again.
    """
    folds = fold_developments(development, config.evaluation.num_folds)
    trainings = [Training(config, View(frames, fold.train)) for fold in folds]
    history: list[dict[str, Any]] = []
    saved = checkpoint.load(trainings[0].device) if checkpoint is not None else None
    if saved is not None:
        for training, state in zip(trainings, saved["trainings"], strict=True):
            training.load_state_dict(state)
        history = saved["history"]
        for past in history[epochs_reported:]:
            report(past)
    validators = [Validator(config, fold, frames) for fold in folds]
    usage = Usage(trainings[0].device)

    for epoch in range(len(history) + 1, config.train.max_epochs + 1):
        try:
            stats = [training.run_epoch() for training in trainings]
        except DivergedError as error:
            worst = {"epoch": epoch, "val/accuracy": WORST, OBJECTIVE: WORST}
            report({**worst, "state": "diverged", "error": str(error)})
            return

        started = time.perf_counter()
        scores = [validate(training.encoder) for validate, training in zip(validators, trainings, strict=True)]
        accuracy = float(np.mean([score["val/accuracy"] for score in scores]))
        best = max([accuracy, *(past[OBJECTIVE] for past in history)])
        evaluation_s = time.perf_counter() - started

        last = epoch == config.train.max_epochs
        metrics = {
            "epoch": epoch,
            "state": "completed" if last else "running",
            OBJECTIVE: best,
            **over_folds(scores),
            **describe(stats, evaluation_s),
            **usage.of_epoch(),
        }
        history.append(metrics)
        # Before the report: what has been reported can then be gone on from.
        if checkpoint is not None:
            state = {"trainings": [training.state_dict() for training in trainings], "history": history}
            if accuracy == best:
                checkpoint.save_best(trainings[0].encoder.state_dict())
            checkpoint.save(state, must=last or accuracy == best)
        report(metrics)


def over_folds(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What an epoch reports of its scores: of a single one everything.

    Of one a fold it is the means, the accuracy of each fold, and how far these lie apart (sample standard deviation).
    The folds then tell a difference from noise (`sldml.report.noise`), and nothing is told by class.
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


def describe(stats: Sequence[EpochStats], evaluation_s: float) -> dict[str, float]:
    """An epoch's statistics, of one model or of one a fold, under the names that they are reported by.

    Losses are means over the models; times and images are sums.
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


class Usage:
    """Which process trains, and how much of what it was given it uses."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = None
        if device.type == "cuda":
            self._gpu = GpuMeter(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def of_epoch(self) -> dict[str, Any]:
        """`worker` (host and process), `time/cpu_share`: of its threads' time since the last call, 0 to 1; and where a
        GPU is used `time/gpu_share`: how busy that has just been, by whomever."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        available_s = max(1e-9, (wall_s - self._wall_s) * torch.get_num_threads())
        share = min(1.0, (cpu_s - self._cpu_s) / available_s)
        self._wall_s, self._cpu_s = wall_s, cpu_s
        gpu_share = None if self._gpu is None else self._gpu.share()
        shares = {"time/cpu_share": share, "time/gpu_share": gpu_share}
        return {"worker": WORKER, **{name: value for name, value in shares.items() if value is not None}}


def run_final(
    config: TrialConfig,
    num_epochs: int,
    train: View,
    *,
    report: Report,
    checkpoint: CheckpointFile,
) -> None:
    """Train a final model: on auxiliary and validation classes together, for a number of epochs fixed before.

    The schedule is the trial's own, cut at `num_epochs`. Nothing is measured that could be chosen by. The
    trained weights are in the last checkpoint.
    """
    _run_fixed(config, num_epochs, train, report=report, checkpoint=checkpoint)


def run_fold(
    config: TrialConfig,
    num_epochs: int,
    fold: Development,
    frames: Frames,
    *,
    report: Report,
    checkpoint: CheckpointFile,
) -> None:
    """Train on one fold's classes as a final model is trained, and score its validation classes once, at the end.

    Only the last report has `val/accuracy`: with one measurement there is nothing to choose. The last checkpoint
    keeps the reports alone, for the model has done its work.
    """
    _run_fixed(
        config,
        num_epochs,
        View(frames, fold.train),
        report=report,
        checkpoint=checkpoint,
        measure=Validator(config, fold, frames),
    )


def _run_fixed(
    config: TrialConfig,
    num_epochs: int,
    train: View,
    *,
    report: Report,
    checkpoint: CheckpointFile,
    measure: Callable[[Encoder], dict[str, Any]] | None = None,
) -> None:
    """Train for `num_epochs` epochs; `measure` what came out, if asked to."""
    training = Training(config, train)
    usage = Usage(training.device)
    saved = checkpoint.load(training.device)
    history: list[dict[str, Any]] = []
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
        last = training.epoch == num_epochs
        metrics = {"epoch": training.epoch, "state": "completed" if last else "running"}
        started = time.perf_counter()
        measured = measure(training.encoder) if last and measure is not None else {}
        evaluation_s = time.perf_counter() - started
        history.append({**metrics, **measured, **describe([stats], evaluation_s), **usage.of_epoch()})
        state = {"history": history} if measured else {"training": training.state_dict(), "history": history}
        checkpoint.save(state, must=last)
        report(history[-1])
