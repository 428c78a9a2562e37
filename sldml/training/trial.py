"""A trial: one configuration from recordings to metrics.

development recordings → class folds → one training and one validator each → epochs: train, validate, save, report.
"""

from __future__ import annotations

import time

from sldml.config.trial import TrialConfig
from sldml.embedding.view import View
from sldml.journal import OBJECTIVE
from sldml.prepared.batches import Frames
from sldml.protocols.folds import fold_developments
from sldml.protocols.split import Development
from sldml.training.checkpoints import CheckpointFile
from sldml.training.epoch_metrics import Metrics, Report, mean_over_folds, training_metrics
from sldml.training.loop import DivergedError, Training
from sldml.training.usage import Usage
from sldml.training.validation import Validator

WORST = 0.0
"""What a diverged trial reports: finite, and no better than any other trial."""


def run_trial(
    config: TrialConfig,
    development: Development,
    frames: Frames,
    *,
    report: Report,
    checkpoint: CheckpointFile | None = None,
    epochs_reported: int = 0,
) -> None:
    """Train on the training classes, score the validation classes after every epoch, and report.

    With `config.evaluation.num_folds` above one, a model is trained for each class fold, side by side, and their mean
    is reported.

    Args:
        config: The configuration.
        development: Recordings to train on and to validate on; there are no others.
        frames: Frames of the prepared set.
        report: Called once per epoch. `state` is `running`, `completed` in the last epoch, or `diverged`.
        checkpoint: Where the trial is continued from, if there is a state, and saved to.
        epochs_reported: Number of reports that counted before an interruption. Epochs of the checkpoint beyond these
            are reported again; epochs that the checkpoint lacks are trained again.
    """
    # One model, or one for each class fold.
    folds = fold_developments(development, config.evaluation.num_folds)
    trainings = [Training(config, View(frames, fold.train)) for fold in folds]
    validators = [Validator(config, fold, frames) for fold in folds]

    # Continue from the checkpoint.
    history: list[Metrics] = []
    saved = checkpoint.load(trainings[0].device) if checkpoint is not None else None
    if saved is not None:
        for training, state in zip(trainings, saved["trainings"], strict=True):
            training.load_state_dict(state)
        history = saved["history"]
        # A trial whose last report was lost with its end has nothing left to train: it reports its last epoch again.
        is_over = len(history) == config.train.max_epochs
        for past in history[min(epochs_reported, len(history) - is_over) :]:
            report(past)

    usage = Usage(trainings[0].device)
    for epoch in range(len(history) + 1, config.train.max_epochs + 1):
        # Train.
        try:
            stats = [training.run_epoch() for training in trainings]
        except DivergedError as error:
            worst = {"epoch": epoch, "val/accuracy": WORST, OBJECTIVE: WORST}
            report({**worst, "state": "diverged", "error": str(error)})
            return

        # Validate. The objective is the best accuracy so far.
        started = time.perf_counter()
        scores = mean_over_folds(
            [validate(training.encoder) for validate, training in zip(validators, trainings, strict=True)]
        )
        evaluation_s = time.perf_counter() - started
        accuracy = scores["val/accuracy"]
        best = max([accuracy, *(past[OBJECTIVE] for past in history)])
        is_best, is_last = accuracy == best, epoch == config.train.max_epochs
        history.append(
            {
                "epoch": epoch,
                "state": "completed" if is_last else "running",
                OBJECTIVE: best,
                **scores,
                **training_metrics(stats, evaluation_s),
                **usage.of_epoch(),
            }
        )

        # Save before the report, so that a trial can be continued from whatever was reported.
        if checkpoint is not None:
            if is_best:
                checkpoint.save_best(trainings[0].encoder.state_dict())
            state = {"trainings": [training.state_dict() for training in trainings], "history": history}
            checkpoint.save(state, must=is_best or is_last)
        report(history[-1])
