import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from support.small import trial_config

from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recognition.baselines import initialised
from sldml.recognition.matching import Matching, signal_scale
from sldml.recognition.one_shot import exemplar_draws, map_at_r_distances, score_distances
from sldml.training import validation
from sldml.training.validation import Validator

MATCHERS: dict[str, dict[str, Any]] = {
    "embedding": {},
    "alignment": {"name": "alignment", "alignment": {"steps": 6, "band": 2}},
    "blended": {"raw_weight": 2.0},
}


@pytest.mark.parametrize("matcher", list(MATCHERS))
def test_a_model_is_scored_by_the_distances_that_it_will_be_used_with(
    matcher: str, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    config = trial_config(matcher=MATCHERS[matcher], evaluation={"num_draws": 20, "seed": 3})
    development, layout = made_split.development, made_set.layout
    encoder = initialised(config.encoder, image_shape(config.representation, layout), 0)
    scale = signal_scale(View(made_frames, development.train), config.normalize)
    way = Matching("encoder", layout, config.normalize, config.representation, encoder, config.matcher, scale)
    view = View(made_frames, development.validation)
    distances = way.between(view, view)
    expected = score_distances(distances, view.labels, exemplar_draws(view.labels, 20, 3))
    validate = Validator(config, development, made_frames)
    found = validate(encoder)
    assert found["val/accuracy"] == pytest.approx(expected.mean)
    assert found["val/accuracy_std"] == pytest.approx(expected.std)
    assert found["val/map_at_r"] == pytest.approx(map_at_r_distances(distances, view.labels), abs=1e-6)
    assert validate(encoder) == found
    by_subjects = dataclasses.replace(development, measure="map_at_r")
    assert Validator(config, by_subjects, made_frames)(encoder)["val/accuracy"] == found["val/map_at_r"]


def test_where_all_pairs_are_needed_a_sample_is_scored(
    made_set: PreparedSet, made_split: Split, made_frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "MOST_TO_SCORE", 10)
    development = made_split.development
    sizes = []
    for matcher in ({}, MATCHERS["alignment"]):
        config = trial_config(matcher=matcher)
        encoder = initialised(config.encoder, image_shape(config.representation, made_set.layout), 0)
        sizes.append(0)

        def count(inputs: torch.Tensor, real: Any = encoder.features) -> torch.Tensor:
            sizes[-1] += len(inputs)
            return real(inputs)  # type: ignore[no-any-return]

        monkeypatch.setattr(encoder, "features", count)
        Validator(config, development, made_frames)(encoder)
    assert sizes == [len(development.validation), 10]
    assert len(np.unique(development.validation.sample(10).labels)) == len(development.validation.classes)
