"""Which model a search ships, and shipping it: saved, loaded again, and checked on the sealed test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sldml.baselines import UNTRAINED_SEEDS, initialised
from sldml.batches import Signals
from sldml.config import EncoderConfig, EvaluationConfig, NormalizeConfig, RepresentationConfig, TrialConfig
from sldml.embedding import input_shape
from sldml.final import describe_predictions, predict, trained_matching
from sldml.journal import History
from sldml.matching import Matching
from sldml.oneshot import exemplar_draws
from sldml.protocols import Development, Split
from sldml.recognizer import Recognizer, calibrate
from sldml.signals import Layout

Weights = Mapping[str, Any]
FEWEST_CLASSES_TO_TRUST = 30
"""With fewer auxiliary classes, one set of validation classes is a coin toss: DTW on sets of three UTD-MHAD classes
has a standard deviation of .10, and a search that trusted them shipped .659 where DTW has .953."""


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
    representation: RepresentationConfig,
    search_name: str,
) -> dict[str, Any]:
    """Save the model that the search stands for, and describe how it does on the sealed test.

    It is the first configuration's first seed, unless a training-free way is at least as good on validation, or
    validation has too few classes to tell: then the best training-free way ships, for a model must never be worse
    than none.

    Args:
        folder: Where the model goes.
        history: Trials and baselines.
        results: Of `sldml.final.sealed_test`.
        split: For the threshold (validation) and the check (sealed test).
        signals: The prepared set's frames.
        layout: What its rows mean.
        load_final: From trial and seed to the weights of a final training.
        load_trial: From a trial to its own weights, which have not seen the validation classes.
        representation: What an untrained encoder sees.
        search_name: Where the model comes from.

    Returns:
        `shipped` (kind, reason, accuracy, threshold …), and `confusion` and `per_class` of the shipped model.
    """
    winner = results["finals"][0]
    name, free = max(history.baselines.items(), key=lambda item: float(item[1]["val"]))
    origin = {"search": search_name, "prepared": history.search.get("prepared", {}).get("hash")}
    config = TrialConfig.model_validate(winner["config"])
    # A person's recordings have the test's rows; the threshold comes from validation, which has the training's.
    test_layout = layout.part(split.sealed.exemplars.rows)
    validation_layout = layout.part(split.development.validation.rows)
    doubt = _doubt(split.development, winner["val_accuracy"], name, free["val"])
    if doubt is None:
        seed = winner["seeds"][0]
        matching = trained_matching(config, load_final(winner["trial_id"], seed), test_layout)
        calibrated = trained_matching(config, load_trial(winner["trial_id"]), validation_layout)
        reason = (
            f"best on validation ({winner['val_accuracy']:.3f}; the best training-free way, {name}: {free['val']:.3f})"
        )
        shipped = {"kind": "trained", "trial_id": winner["trial_id"], "seed": seed, "reason": reason}
        encoder: EncoderConfig | None = config.encoder
    else:
        encoder = None if free["encoder"] is None else EncoderConfig.model_validate(free["encoder"])
        matching, calibrated = (
            _training_free(name, free, encoder, representation, side) for side in (test_layout, validation_layout)
        )
        shipped = {"kind": "training_free", "baseline": name, "reason": doubt}

    threshold = _threshold(calibrated, split, signals, config.evaluation)
    model = Recognizer(matching, encoder=encoder, threshold=threshold, origin={**origin, **shipped})
    model.save(folder)
    # What ships is what a person will load: it is the loaded model that the test's confusion belongs to.
    found = describe_predictions(predict(Recognizer.load(folder).matching, split.sealed, signals), split.sealed)
    return {
        "shipped": {**shipped, "accuracy": found["accuracy"], "threshold": threshold},
        "confusion": found["confusion"],
        "per_class": found["per_class"],
    }


def _doubt(development: Development, trained: float, name: str, free: float) -> str | None:
    """Why a trained model must not ship; None where validation shows that training pays."""
    num_auxiliary = len(set(development.train.classes) | set(development.validation.classes))
    if development.measure != "one_shot_accuracy":
        return "validation had no classes of its own, so it cannot tell whether training pays"
    if num_auxiliary < FEWEST_CLASSES_TO_TRUST:
        return (
            f"with {num_auxiliary} auxiliary classes, {len(development.validation.classes)} of them for validation, a "
            f"better value there ({trained:.3f}; {name}: {free:.3f}) may be chance, so the best training-free way ships"
        )
    if trained <= free:
        return f"no trained model is better than {name} on validation ({free:.3f}; the best trained one {trained:.3f})"
    return None


def _training_free(
    name: str,
    result: Mapping[str, Any],
    encoder: EncoderConfig | None,
    representation: RepresentationConfig,
    layout: Layout,
) -> Matching:
    normalization = NormalizeConfig.model_validate(result["normalize"])
    if encoder is not None:
        network = initialised(encoder, input_shape(encoder, representation, layout), UNTRAINED_SEEDS[0])
        return Matching("encoder", layout, normalization, representation, network)
    return Matching("dtw_1nn" if name == "dtw_1nn" else "raw_1nn", layout, normalization)


def _threshold(matching: Matching, split: Split, signals: Signals, evaluation: EvaluationConfig) -> float:
    subset = split.development.validation.sample(1_000)
    draws = exemplar_draws(subset.labels, evaluation.num_draws, evaluation.seed)
    return calibrate(matching.between(signals, subset, subset), subset.labels, draws)
