"""A trial: one configuration from recordings to metrics.

development recordings → class folds → for each, a training and a validator → epochs: train, validate, save, report.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sldml.config.trial import TrialConfig
from sldml.embedding.view import View
from sldml.journal import OBJECTIVE
from sldml.prepared.batches import Frames
from sldml.protocols.folds import fold_developments
from sldml.protocols.split import Development
from sldml.training.checkpoints import CheckpointFile
from sldml.training.epoch_metrics import Metrics, Report, objective, training_metrics
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
    rungs: Sequence[int] = (),
) -> None:
    """Train on the training classes, score the validation classes after every epoch, and report.

    With `config.evaluation.num_folds` above one, a model is trained for each class fold, one after another, and epochs
    are counted through. Weak trials can then be stopped after the first fold.

    Args:
        config: The configuration.
        development: Recordings to train on and to validate on; there are no others.
        frames: Frames of the prepared set.
        report: Called once per epoch. `state` is `running`, `completed` in the last epoch, or `diverged`.
        checkpoint: Where the trial is continued from, if there is a state, and saved to.
        epochs_reported: Number of reports that counted before an interruption. Epochs of the checkpoint beyond these
            are reported again; epochs that the checkpoint lacks are trained again.
        rungs: Epochs after which the trial may be stopped to continue later; always saved.
    """
    folds = fold_developments(development, config.evaluation.num_folds)
    per_fold = config.train.max_epochs

    # Continue from the checkpoint.
    device = View(frames, folds[0].train).device
    history: list[Metrics] = []
    saved = checkpoint.load(device) if checkpoint is not None else None
    if saved is not None:
        history = saved["history"]
        # A trial whose last report was lost with its end has nothing left to train: it reports its last epoch again.
        is_over = len(history) == config.num_epochs
        for past in history[min(epochs_reported, len(history) - is_over) :]:
            report(past)

    usage = Usage(device)
    for number, fold in enumerate(folds, start=1):
        # One model for each fold.
        if len(history) >= number * per_fold:
            continue
        training, validate = Training(config, View(frames, fold.train)), Validator(config, fold, frames)
        if saved is not None and len(history) > (number - 1) * per_fold:
            training.load_state_dict(saved["training"])

        for epoch in range(len(history) + 1, number * per_fold + 1):
            # Train.
            try:
                stats = training.run_epoch()
            except DivergedError as error:
                report({"epoch": epoch, OBJECTIVE: WORST, "state": "diverged", "error": str(error)})
                return

            # Validate.
            started = time.perf_counter()
            scores = validate(training.encoder)
            evaluation_s = time.perf_counter() - started
            is_last = epoch == config.num_epochs
            history.append(
                {
                    "epoch": epoch,
                    "state": "completed" if is_last else "running",
                    **objective(scores, history, per_fold, len(folds)),
                    **training_metrics(stats, evaluation_s),
                    **usage.of_epoch(),
                }
            )

            # Save before the report, so that a trial can be continued from whatever was reported.
            if checkpoint is not None:
                if epoch == per_fold:
                    checkpoint.save_weights(training.encoder.state_dict())
                state = {"training": training.state_dict(), "history": history}
                checkpoint.save(state, must=is_last or epoch in rungs)
            report(history[-1])
