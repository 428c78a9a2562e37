"""Saving the model of a search, loading it again, and checking it on the sealed test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sldml.config.data import DataConfig
from sldml.config.encoder import EncoderConfig
from sldml.config.training import EvaluationConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.view import View
from sldml.journal import AgainstBaseline, Candidate, History, Shipped, TestResults
from sldml.prepared.batches import Frames
from sldml.protocols.folds import MOST_TO_SCORE, fold_developments, scored_folds
from sldml.protocols.split import Split
from sldml.recognition.against import against_baseline
from sldml.recognition.baselines import baseline_matching
from sldml.recognition.latency import evenly, measure_latency
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, score_predictions
from sldml.recognition.recognizer import FEWEST_TO_CALIBRATE, NEVER_UNKNOWN, Calibration, Recognizer, calibrate
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.search.choice import ShippingDecision
from sldml.search.final import matching_scale, trained_matching
from sldml.search.novel_class_figures import confused_pairs, embedding_map

Weights = Mapping[str, Any]
_log = logging.getLogger(__name__)


def ship(
    folder: Path,
    history: History,
    results: TestResults,
    choice: ShippingDecision,
    *,
    split: Split,
    frames: Frames,
    data: DataConfig,
    load_final: Callable[[str, int], Weights],
    load_fold: Callable[[str, int], Weights],
    load_trial: Callable[[str], Weights],
    search_name: str,
) -> TestResults:
    """Save the model of the search, and score it on the sealed test.

    Args:
        folder: Where the model goes.
        history: Trials and baselines.
        results: Of `sldml.search.final.sealed_test`.
        choice: What is saved: a configuration's first seed, or the best baseline if no trained model is better.
        split: For the threshold (development classes that the model has not seen) and the check (sealed test).
        frames: Those of the prepared set.
        data: How raw files are read (`sldml.prepared.prepared_set.as_prepared`).
        load_final: From trial and seed to the weights of a final training.
        load_fold: From a trial and the number of class folds to the weights trained on the first fold of the first
            repeat, which have not seen its validation classes.
        load_trial: From a trial to its own weights, which have not seen the validation classes.
        search_name: Where the model comes from.

    Returns:
        `results` with what concerns the saved model.
    """
    winner = next((f for f in results.finals if f.trial_id == choice.trial_id), results.finals[0])
    config = TrialConfig.model_validate(winner.config)
    origin = {
        "search": search_name,
        "prepared": history.search.prepared.hash,
        "protocol": config.protocol.model_dump(mode="json", exclude_none=True),
        "train_classes": [] if choice.trial_id is None else list(split.development.merged().classes),
        "baselines": {name: known.best.candidate.normalize for name, known in history.baselines.items()},
        "best_baseline": choice.candidate.model_dump(mode="json", exclude_none=True),
    }
    exemplars, queries = View(frames, split.sealed.exemplars), View(frames, split.sealed.queries)
    calibrated: Matching | None
    merged = View(frames, split.development.merged())
    # A user's recordings have the rows of the test; the threshold comes from validation, which has those of training.
    if choice.trial_id is not None and choice.folds is not None:
        seed = winner.seeds[0]
        scale = matching_scale(config, merged)
        matching = trained_matching(config, load_final(winner.trial_id, seed), exemplars.layout, scale)
        num_folds = choice.folds.num_folds
        fold, weights = scored_folds(split.development, num_folds)[0], partial(load_fold, winner.trial_id, num_folds)
        if len(fold.validation.classes) < FEWEST_TO_CALIBRATE:
            fold = fold_developments(split.development, config.evaluation.num_folds)[0]
            weights = partial(load_trial, winner.trial_id)
        unseen = View(frames, fold.validation)
        scale = matching_scale(config, View(frames, fold.train))
        try:
            calibrated = trained_matching(config, weights(), unseen.layout, scale)
        except FileNotFoundError as error:
            _log.warning("%s: the threshold for unknown actions cannot be calibrated, none will be unknown", error)
            calibrated = None
        kind: dict[str, Any] = {"kind": "trained", "trial_id": winner.trial_id, "seed": seed}
        encoder: EncoderConfig | None = config.encoder
    else:
        found = choice.candidate.encoder
        encoder = None if found is None else EncoderConfig.model_validate(found)
        matching = baseline_matching(choice.candidate, exemplars.layout)
        # An untrained model has seen no class, and more classes give a better estimate for unknown actions.
        unseen = merged
        calibrated = baseline_matching(choice.candidate, unseen.layout)
        kind = {"kind": "training_free", "candidate": choice.candidate.model_dump()}

    calibration = None if calibrated is None else _calibration(calibrated, unseen, config.evaluation)
    threshold = NEVER_UNKNOWN if calibration is None else calibration.threshold
    model = Recognizer(
        matching, encoder=encoder, threshold=threshold, data=data, origin={**origin, **kind, "reason": choice.reason}
    )
    saved_exemplars = SavedExemplars.of_view(exemplars)
    model.save(folder, saved_exemplars)
    # The test uses the loaded model, as a user will.
    model = Recognizer.load(folder, enrolled=True)
    matching = model.matching
    distances = matching.between(exemplars, queries).cpu().numpy()
    predicted = exemplars.labels[distances.argmin(axis=0)]
    scored = score_predictions(queries.labels, predicted, exemplars.classes)
    some = [queries.recorded(i) for i in evenly(len(queries))]
    return results.model_copy(
        update={
            "against": None if choice.trial_id is None else _against(choice.candidate, exemplars, queries, predicted),
            "shipped": Shipped(
                **kind,
                reason=choice.reason,
                better_than_default=choice.better_than_default,
                better_than_baseline=choice.better_than_baseline,
                accuracy=scored.accuracy,
                threshold=threshold,
                known_rejected=None if calibration is None else calibration.known_rejected,
                unknown_accepted=None if calibration is None else calibration.unknown_accepted,
            ),
            "confusion": scored.confusion,
            "per_class": scored.per_class,
            "folds": choice.folds,
            "latency": measure_latency(model, saved_exemplars.signals, some),
            "embedding_map": embedding_map(matching, exemplars, queries, predicted),
            "confused": confused_pairs(matching, exemplars, queries, distances, predicted),
        }
    )


def _against(candidate: Candidate, exemplars: View, queries: View, predicted: NDArray[np.int64]) -> AgainstBaseline:
    """A model's predictions [Q] on the sealed test, compared with those of a candidate without training."""
    distances = baseline_matching(candidate, exemplars.layout).between(exemplars, queries).cpu().numpy()
    return against_baseline(candidate, predicted, exemplars.labels[distances.argmin(axis=0)], queries.labels)


def _calibration(matching: Matching, unseen: View, evaluation: EvaluationConfig) -> Calibration:
    view = unseen.sample_for_draws(MOST_TO_SCORE)
    draws = exemplar_draws(view.labels, evaluation.num_draws, evaluation.seed)
    return calibrate(matching.between(view, view), view.labels, draws)
