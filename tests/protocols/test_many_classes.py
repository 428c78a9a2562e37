"""1,500 classes with two recordings each: samples for exemplar draws keep whole classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small import frames_of, subset_of, trial_config

from sldml.config.representation import NormalizeConfig
from sldml.config.training import EvaluationConfig
from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.protocols.folds import MOST_TO_SCORE, scored_folds
from sldml.protocols.split import Development, Subset
from sldml.recognition.baselines import BaselineScorer, initialised, validate
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws
from sldml.recordings import HAND, Layout
from sldml.search import shipping
from sldml.training.validation import Validator

NUM_CLASSES, LENGTH = 1_500, 3
LAYOUT = Layout(HAND, 1)


@pytest.fixture(scope="module")
def many() -> Subset:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(NUM_CLASSES), 2))
    return subset_of(labels.tolist(), [LENGTH] * len(labels))


@pytest.fixture(scope="module")
def frames(many: Subset) -> Frames:
    """The recordings of a class are near each other."""
    rng = np.random.default_rng(1)
    places = rng.normal(size=(NUM_CLASSES, 1, 1, 3))[many.labels]
    values = places + rng.normal(scale=0.01, size=(len(many), LENGTH, 1, 3))
    return frames_of(list(values.astype(np.float32)), LAYOUT)


def test_a_sample_has_an_exemplar_and_a_query_of_each_of_its_classes(many: Subset) -> None:
    sample = many.sample_for_draws(MOST_TO_SCORE)
    assert (len(sample), len(sample.classes)) == (1_000, 500)
    assert np.bincount(sample.labels).tolist() == [2] * 500
    of = dict(zip(many.names, (many.classes[label] for label in many.labels), strict=True))
    assert [of[name] for name in sample.names] == [sample.classes[label] for label in sample.labels]
    exemplar_draws(sample.labels, 10, 0)
    with pytest.raises(ValueError, match="has no recording to draw"):
        exemplar_draws(many.sample(MOST_TO_SCORE).labels, 10, 0)


def test_with_few_classes_it_is_the_sample_that_it_was() -> None:
    few = subset_of([0] * 9 + [1] * 3 + [2] * 2, [2] * 14)
    for count in (6, 8, 14):
        assert few.sample_for_draws(count).names == few.sample(count).names
        assert few.sample_for_draws(count).classes == few.classes
        assert np.bincount(few.sample_for_draws(count).labels).min() >= 2
    assert len(few.sample_for_draws(5).classes) == 2


def test_the_threshold_of_a_saved_model(many: Subset, frames: Frames) -> None:
    matching = Matching("raw_1nn", LAYOUT, NormalizeConfig(center="none", scale="none"))
    assert 0 < shipping._calibration(matching, View(frames, many), EvaluationConfig(num_draws=2)).threshold < 1


def test_validation_and_baselines_score_the_same_classes(many: Subset, frames: Frames) -> None:
    """By all pairs (a sample), and by embeddings alone (all recordings)."""
    development = Development(many, many, "one_shot_accuracy")
    queries = {}
    for matcher in ("alignment", "embedding"):
        config = trial_config(
            matcher={"name": matcher}, evaluation={"num_draws": 2}, normalize={"center": "none", "scale": "none"}
        )
        encoder = initialised(config.encoder, image_shape(config.representation, LAYOUT), 0)
        with torch.inference_mode():
            metrics = Validator(config, development, frames)(encoder)
        assert len(metrics["val/right_per_class"]) == NUM_CLASSES
        queries[matcher] = metrics["val/queries_per_class"]
    assert queries["embedding"] == [1] * NUM_CLASSES
    assert sorted(queries["alignment"]) == [0] * 1_000 + [1] * 500
    scorer = BaselineScorer(frames, normalizations=[config.normalize], encoders=[], representations=[])
    raw = validate(frames, scorer.candidates(), development, config.evaluation)[0]
    assert raw.candidate.baseline == "raw_1nn"
    assert list(raw.queries_per_class) == queries["alignment"]
    assert raw.val > 0.5


def test_class_folds(many: Subset) -> None:
    development = Development(many, many, "one_shot_accuracy")
    (first, _) = scored_folds(development, 2)
    assert len(first.validation.classes) == 500
    exemplar_draws(first.validation.labels, 3, 0)
