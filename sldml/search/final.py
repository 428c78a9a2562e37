"""The final models of a search and their sealed test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sldml.config.dotted import ConfigTree
from sldml.config.training import EvaluationConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import build_encoder, without_download
from sldml.embedding.view import View
from sldml.journal import Accuracy, ConfusionMatrix, FinalResult, History, TestResults
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
    """A configuration to train on the auxiliary classes of all class folds but one, from 1."""

    trial_id: str
    config: ConfigTree
    num_epochs: int
    num_folds: int
    fold: int

    @property
    def name(self) -> str:
        """Its displayed name."""
        return f"{self.trial_id} fold {self.fold}"


def plan_finals(history: History, top_k: int, num_seeds: int) -> list[FinalTraining]:
    """The final models: the best configurations by validation, each with several seeds and its best epoch as length.

    Raises:
        NothingToTrainError: every trial failed or diverged.
    """
    ranked = history.ranked()[:top_k]
    if not ranked:
        raise NothingToTrainError("no trial has a result: all of them failed or diverged")
    return [
        FinalTraining(record.trial_id, {**record.config, "seed": seed}, record.best_epoch or 0, seed)
        for record in ranked
        for seed in range(1, num_seeds + 1)
    ]


def plan_folds(plan: Sequence[FinalTraining], num_folds: int, evaluation: EvaluationConfig) -> list[FoldTraining]:
    """The configurations of `plan_finals`, to be scored on all class folds.

    Each uses its first final seed, which is that of the saved model and was not used for selection, the epochs of its
    final models, and the exemplar draws of the baselines (`evaluation`).
    """
    first = {final.trial_id: final for final in reversed(plan)}
    shared = {"evaluation": {**evaluation.model_dump(), "num_folds": 1}}
    return [
        FoldTraining(trial_id, {**first[trial_id].config, **shared}, first[trial_id].num_epochs, num_folds, fold)
        for trial_id in dict.fromkeys(final.trial_id for final in plan)
        for fold in range(1, num_folds + 1)
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
    split: Split,
    frames: Frames,
    load_weights: Callable[[str, int], Mapping[str, Any]],
) -> TestResults:
    """Score every final model on the novel classes. The list keeps the order of validation.

    Args:
        history: Its trials and completed final trainings.
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
    for record in history.ranked():
        done = [f for f in history.finals.values() if f.trial_id == record.trial_id and f.state == "completed"]
        done.sort(key=lambda final: final.seed)  # the journal has them as they began, side by side
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
                num_epochs=record.best_epoch or 0,
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
