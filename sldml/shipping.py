"""Shipping the model that a search stands for: saved, loaded again, and checked on the sealed test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sldml.baselines import described, training_free
from sldml.batches import Signals
from sldml.choice import choose
from sldml.config import EncoderConfig, EvaluationConfig, TrialConfig
from sldml.final import describe_predictions, matching_scale, predict, trained_matching
from sldml.folds import MOST_TO_SCORE, fold_developments
from sldml.journal import History
from sldml.matching import Matching
from sldml.oneshot import exemplar_draws
from sldml.protocols import Development, Split
from sldml.recognizer import Recognizer, calibrate
from sldml.signals import Layout

Weights = Mapping[str, Any]


def ship(
    folder: Path,
    history: History,
    results: Mapping[str, Any],
    *,
    split: Split,
    signals: Signals,
    layout: Layout,
    load_final: Callable[[str, int], Weights],
    load_trial: Callable[[str], Weights],
    search_name: str,
) -> dict[str, Any]:
    """Save the model that the search stands for, and describe how it does on the sealed test.

    Which one that is says `sldml.choice.choose`: a configuration's first seed, or the best training-free way, for a
    model must never be worse than none.

    Args:
        folder: Where the model goes.
        history: Trials, baselines, and their scores on class folds where these decide.
        results: Of `sldml.final.sealed_test`.
        split: For the threshold (validation) and the check (sealed test).
        signals: The prepared set's frames.
        layout: What its rows mean.
        load_final: From trial and seed to the weights of a final training.
        load_trial: From a trial to its own weights, which have not seen the validation classes.
        search_name: Where the model comes from.

    Returns:
        `shipped` (kind, reason, accuracy, threshold …), `confusion` and `per_class` of the shipped model, and `folds`,
        the scores on class folds where these decided (else None).
    """
    choice = choose(split.development, results["finals"], history)
    winner = next((f for f in results["finals"] if f["trial_id"] == choice.trial_id), results["finals"][0])
    origin = {"search": search_name, "prepared": history.search.get("prepared", {}).get("hash")}
    config = TrialConfig.model_validate(winner["config"])
    # A person's recordings have the test's rows; the threshold comes from validation, which has the training's.
    test_layout = layout.part(split.sealed.exemplars.rows)
    # A trial over class folds keeps the best model of its first fold, which knows the classes of the others.
    development = fold_developments(split.development, config.evaluation.num_folds)[0]
    validation_layout = layout.part(development.validation.rows)
    if choice.trial_id is not None:
        seed = winner["seeds"][0]
        scale = matching_scale(config, split.development.merged(), signals, layout)
        matching = trained_matching(config, load_final(winner["trial_id"], seed), test_layout, scale)
        scale = matching_scale(config, development.train, signals, layout)
        calibrated = trained_matching(config, load_trial(winner["trial_id"]), validation_layout, scale)
        shipped = {"kind": "trained", "trial_id": winner["trial_id"], "seed": seed, "reason": choice.reason}
        encoder: EncoderConfig | None = config.encoder
    else:
        free = described(choice.candidate)
        encoder = free[1]
        matching, calibrated = (training_free(choice.baseline, free, x) for x in (test_layout, validation_layout))
        shipped = {"kind": "training_free", "baseline": choice.baseline, "reason": choice.reason}
        shipped |= {key: choice.candidate.get(key) for key in ("normalize", "encoder", "representation")}

    threshold = _threshold(calibrated, development, signals, config.evaluation)
    model = Recognizer(matching, encoder=encoder, threshold=threshold, origin={**origin, **shipped})
    model.save(folder)
    # What ships is what a person will load: it is the loaded model that the test's confusion belongs to.
    found = describe_predictions(predict(Recognizer.load(folder).matching, split.sealed, signals), split.sealed)
    return {
        "shipped": {**shipped, "accuracy": found["accuracy"], "threshold": threshold},
        "confusion": found["confusion"],
        "per_class": found["per_class"],
        "folds": choice.folds,
    }


def _threshold(matching: Matching, development: Development, signals: Signals, evaluation: EvaluationConfig) -> float:
    subset = development.validation.sample(MOST_TO_SCORE)
    draws = exemplar_draws(subset.labels, evaluation.num_draws, evaluation.seed)
    return calibrate(matching.between(signals, subset, subset), subset.labels, draws)
