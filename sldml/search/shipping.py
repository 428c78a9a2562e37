"""Shipping the model that a search stands for: saved, loaded again, and checked on the sealed test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sldml.config.data import DataConfig
from sldml.config.encoder import EncoderConfig
from sldml.config.training import EvaluationConfig
from sldml.config.trial import TrialConfig
from sldml.journal import History
from sldml.prepared.batches import Signals
from sldml.protocols.folds import MOST_TO_SCORE, fold_developments
from sldml.protocols.split import Split, Subset
from sldml.recognition.baselines import described, training_free
from sldml.recognition.latency import Signal, evenly, measure_latency
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws
from sldml.recognition.recognizer import Recognizer, calibrate
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.recordings import Layout
from sldml.search.choice import choose
from sldml.search.exhibits import exhibits
from sldml.search.final import describe_predictions, matching_scale, trained_matching

Weights = Mapping[str, Any]


def ship(
    folder: Path,
    history: History,
    results: Mapping[str, Any],
    *,
    split: Split,
    signals: Signals,
    layout: Layout,
    data: DataConfig,
    load_final: Callable[[str, int], Weights],
    load_trial: Callable[[str], Weights],
    search_name: str,
) -> dict[str, Any]:
    """Save the model that the search stands for, and describe how it does on the sealed test.

    `sldml.search.choice.choose` says which one that is: a configuration's first seed, or the best training-free way,
    for a model must never be worse than none.

    Args:
        folder: Where the model goes.
        history: Trials, baselines, and their scores on class folds where these decide.
        results: Of `sldml.search.final.sealed_test`.
        split: For the threshold (development classes that the model has not seen) and the check (sealed test).
        signals: The prepared set's frames.
        layout: What its rows mean.
        data: How raw files are read (`sldml.prepared.prepared_set.as_prepared`), for who uses the model.
        load_final: From trial and seed to the weights of a final training.
        load_trial: From a trial to its own weights, which have not seen the validation classes.
        search_name: Where the model comes from.

    Returns:
        `shipped` (kind, reason, accuracy, threshold …), `confusion` and `per_class` of the shipped model, `folds`, the
        scores on class folds where these decided (else None), `latency` on this machine's CPU, and what
        `sldml.search.exhibits` makes for the report.
    """
    choice = choose(split.development, results["finals"], history)
    winner = next((f for f in results["finals"] if f["trial_id"] == choice.trial_id), results["finals"][0])
    config = TrialConfig.model_validate(winner["config"])
    origin = {
        "search": search_name,
        "prepared": history.search.get("prepared", {}).get("hash"),
        "protocol": config.protocol.model_dump(mode="json", exclude_none=True),
        "train_classes": [] if choice.trial_id is None else list(split.development.merged().classes),
        "baselines": {name: result["normalize"] for name, result in history.baselines.items()},
    }
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
        unseen = development.validation
    else:
        free = described(choice.candidate)
        encoder = free[1]
        matching, calibrated = (training_free(choice.baseline, free, x) for x in (test_layout, validation_layout))
        shipped = {"kind": "training_free", "baseline": choice.baseline, "reason": choice.reason}
        # What was not trained has seen no class, and the more classes, the better they tell how near strangers come.
        unseen = split.development.merged()
        shipped |= {key: choice.candidate.get(key) for key in ("normalize", "encoder", "representation")}

    threshold = _threshold(calibrated, unseen, signals, config.evaluation)
    model = Recognizer(matching, encoder=encoder, threshold=threshold, data=data, origin={**origin, **shipped})
    sealed = split.sealed
    kept = SavedExemplars(
        recorded(signals, sealed.exemplars, layout),
        [sealed.exemplars.classes[label] for label in sealed.exemplars.labels],
        sealed.exemplars.names,
    )
    model.save(folder, kept)
    # What ships is what a person will load: it is the loaded model that the test's confusion belongs to.
    model = Recognizer.load(folder, enrolled=True)
    matching = model.matching
    distances = matching.between(signals, sealed.exemplars, sealed.queries).cpu().numpy()
    predicted = sealed.exemplars.labels[distances.argmin(axis=0)]
    found = describe_predictions(predicted, sealed)
    some = sealed.queries.take(np.array(evenly(len(sealed.queries)), dtype=np.int64))
    return {
        "shipped": {**shipped, "accuracy": found["accuracy"], "threshold": threshold},
        "confusion": found["confusion"],
        "per_class": found["per_class"],
        "folds": choice.folds,
        "latency": measure_latency(model, kept.signals, recorded(signals, some, layout)),
        **exhibits(matching, sealed, signals, distances, predicted),
    }


def recorded(signals: Signals, subset: Subset, layout: Layout) -> list[Signal]:
    """Recordings as they were recorded, in the rows that belong to the subset: [frames, rows, 3] each."""
    whole = (signals.recorded(int(o), int(n)) for o, n in zip(subset.offsets, subset.lengths, strict=True))
    return [np.ascontiguousarray(layout.take_rows(torch.from_numpy(v)[None], subset.rows)[0].numpy()) for v in whole]


def _threshold(matching: Matching, unseen: Subset, signals: Signals, evaluation: EvaluationConfig) -> float:
    subset = unseen.sample(MOST_TO_SCORE)
    draws = exemplar_draws(subset.labels, evaluation.num_draws, evaluation.seed)
    return calibrate(matching.between(signals, subset, subset), subset.labels, draws)
