"""The trainings after the trials: those on class folds, and the final models with their sealed test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sldml.config.dotted import ConfigTree
from sldml.config.training import EvaluationConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import build_encoder, without_download
from sldml.embedding.view import View
from sldml.journal import Accuracy, Candidate, ConfusionMatrix, FinalResult, History, TestResults, TrialRecord
from sldml.prepared.batches import Frames
from sldml.protocols.split import Sealed, Split
from sldml.recognition.matching import Matching, signal_scale
from sldml.recognition.one_shot import confusion, mean_ci95
from sldml.recordings import Layout


class NothingToTrainError(RuntimeError):
    """No trial of the search has a usable result."""


@dataclass(frozen=True)
class FinalTraining:
    """A final model to train."""

    trial_id: str
    config: ConfigTree
    """With its seed."""
    num_epochs: int
    seed: int

    @property
    def name(self) -> str:
        """Its displayed name."""
        return f"{self.trial_id} seed {self.seed}"


@dataclass(frozen=True)
class FoldTraining:
    """A configuration to train on the auxiliary classes of all class folds of a repeat but one."""

    trial_id: str
    config: ConfigTree
    """With the seed of the fold, and the exemplar draws that all finalists are scored with."""
    num_epochs: int
    num_folds: int
    repeat: int
    """From 1."""
    fold: int
    """From 1."""

    @property
    def name(self) -> str:
        """Its displayed name."""
        return f"{self.trial_id} fold {self.fold}, repeat {self.repeat}"


@dataclass(frozen=True)
class FoldScoring:
    """A candidate without training to score on a class fold."""

    candidate: Candidate
    label: str
    """Short and unique among the finalists."""
    evaluation: EvaluationConfig
    """The exemplar draws that all finalists are scored with."""
    num_folds: int
    repeat: int
    fold: int
    num_epochs: int = 1
    """For the progress display, as if it were a training."""
    config: ConfigTree = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its displayed name."""
        return f"{self.label} fold {self.fold}, repeat {self.repeat}"


def whole_schedule(record: TrialRecord) -> int:
    """Number of epochs of a configuration's schedule, for all of which final models and those on folds are trained.

    A model at the end of the schedule is better on new classes than one that is cut at the trial's best epoch: it ends
    on a low learning rate, and the best epoch of few validation classes is partly luck.
    """
    return int(record.config["train"]["max_epochs"])


def plan_finals(order: Sequence[TrialRecord], top_k: int, num_seeds: int) -> list[FinalTraining]:
    """The final models of the first `top_k` configurations, each with several seeds and its whole schedule.

    Raises:
        NothingToTrainError: there is no configuration, because every trial failed or diverged.
    """
    if not order:
        raise NothingToTrainError("no trial has a result: all of them failed or diverged")
    return [
        FinalTraining(record.trial_id, {**record.config, "seed": seed}, whole_schedule(record), seed)
        for record in order[:top_k]
        for seed in range(1, num_seeds + 1)
    ]


def is_trained(history: History, final: FinalTraining) -> bool:
    """Whether a final model is trained, by the journal, for as many epochs as planned."""
    record = history.finals.get((final.trial_id, final.seed))
    return record is not None and record.state == "completed" and len(record.epochs) == final.num_epochs


def can_be_tested(history: History, plan: Sequence[FinalTraining]) -> bool:
    """Whether there is a final model for the sealed test, and a baseline to compare it with."""
    return bool(history.baselines) and any(is_trained(history, final) for final in plan)


def was_tested(test: TestResults, plan: Sequence[FinalTraining]) -> bool:
    """Whether the sealed test was run with exactly the models of `plan`."""
    tested = [(final.trial_id, seed, final.num_epochs) for final in test.finals for seed in final.seeds]
    return tested == [(final.trial_id, final.seed, final.num_epochs) for final in plan]


def trained_matching(
    config: TrialConfig, weights: Mapping[str, Any], layout: Layout, raw_scale: float = 1.0
) -> Matching:
    """How a trained encoder matches recordings whose rows `layout` describes (`raw_scale`: `matching_scale`)."""
    shape = input_shape(config.encoder, config.representation, layout)
    encoder = build_encoder(without_download(config.encoder), shape)
    encoder.load_state_dict(dict(weights))
    return Matching("encoder", layout, config.normalize, config.representation, encoder, config.matcher, raw_scale)


def matching_scale(config: TrialConfig, train: View) -> float:
    """The unit of the DTW distance that a configuration's matcher adds, of what the model was trained on; 1 if none."""
    if config.matcher.raw_weight == 0.0:
        return 1.0
    return signal_scale(train, config.normalize)


def predict(matching: Matching, sealed: Sealed, frames: Frames) -> NDArray[np.int64]:
    """The class of the nearest exemplar of each query [Q]."""
    distances = matching.between(View(frames, sealed.exemplars), View(frames, sealed.queries))
    predicted: NDArray[np.int64] = sealed.exemplars.labels[distances.argmin(dim=0).cpu().numpy()]
    return predicted


def sealed_test(
    history: History,
    plan: Sequence[FinalTraining],
    split: Split,
    frames: Frames,
    load_weights: Callable[[str, int], Mapping[str, Any]],
) -> TestResults:
    """Score the final models on the novel classes. The list of configurations keeps the order of the plan.

    Args:
        history: Its trials and completed final trainings.
        plan: The final models.
        split: Its sealed test, and its development recordings, all of which the final models were trained on.
        frames: Those of the prepared set.
        load_weights: From trial and seed to the trained encoder's state.

    Returns:
        The results without a saved model.

    Raises:
        NothingToTrainError: no final training completed.
    """
    sealed, train = split.sealed, View(frames, split.development.merged())
    test_layout, num_classes = View(frames, sealed.exemplars).layout, len(sealed.exemplars.classes)
    finals = []
    for trial_id in dict.fromkeys(final.trial_id for final in plan):
        record = history.trials[trial_id]
        planned = [history.finals.get((trial_id, final.seed)) for final in plan if final.trial_id == trial_id]
        done = [final for final in planned if final is not None and final.state == "completed"]
        matrices = []
        scale = matching_scale(TrialConfig.model_validate(record.config), train)
        for final in done:
            config = TrialConfig.model_validate(final.config)
            matching = trained_matching(config, load_weights(final.trial_id, final.seed), test_layout, scale)
            matrices.append(confusion(sealed.queries.labels, predict(matching, sealed, frames), num_classes))
        if not matrices:
            continue
        values = [float(matrix.trace() / matrix.sum()) for matrix in matrices]
        mean, interval = mean_ci95(values)
        finals.append(
            FinalResult(
                trial_id=record.trial_id,
                config=record.config,
                val_accuracy=record.value or 0.0,
                num_epochs=len(done[0].epochs),
                seeds=tuple(final.seed for final in done),
                test_accuracy=Accuracy(mean=mean, ci95=interval if len(values) > 1 else None, values=tuple(values)),
                confusions=tuple(
                    ConfusionMatrix(labels=sealed.exemplars.classes, matrix=matrix.tolist()) for matrix in matrices
                ),
            )
        )
    if not finals:
        raise NothingToTrainError("no final training completed")
    return TestResults(
        num_queries=len(sealed.queries),
        num_classes=num_classes,
        num_exemplars=len(sealed.exemplars),
        finals=tuple(finals),
    )
