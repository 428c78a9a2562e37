import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from support.small import trial_config

from sldml.config.encoder import EncoderConfig
from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig
from sldml.config.training import EvaluationConfig
from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.folds import fold_developments, scored_folds
from sldml.protocols.split import Sealed, Split
from sldml.recognition.baselines import BASELINES, UNTRAINED_SEEDS, BaselineScorer, initialised
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, map_at_r_distances, score_distances
from sldml.report.noise import baseline_score

NORMALIZATIONS = [
    NormalizeConfig(),
    NormalizeConfig(center="first_frame", view="face_camera"),
    NormalizeConfig(center="none", scale="none"),
]
CONFIG = trial_config()
ENCODERS = [
    CONFIG.encoder,
    EncoderConfig.model_validate({"embedding_dim": 4, "small_cnn": {"width": 8, "num_blocks": 2}}),
]
EVALUATION = EvaluationConfig(num_draws=20, seed=1)


@pytest.fixture(scope="module")
def scorer(made_frames: Frames) -> BaselineScorer:
    return BaselineScorer(
        made_frames,
        normalizations=NORMALIZATIONS,
        encoders=ENCODERS,
        representations=[CONFIG.representation],
    )


@pytest.fixture(scope="module")
def validated(scorer: BaselineScorer, made_split: Split) -> dict[str, Any]:
    return scorer.validate(made_split.development, EVALUATION)


def choice(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["normalize"], result["encoder"], result["representation"]


def test_every_declared_candidate_is_scored_and_the_best_by_validation_stands(validated: dict[str, Any]) -> None:
    assert tuple(validated) == BASELINES
    for name, result in validated.items():
        candidates = result["candidates"]
        assert len(candidates) == (6 if name.startswith("untrained") else 3)
        best = max(candidates, key=lambda c: c["val"])
        assert result["val"] == best["val"]
        assert choice(result) == choice(best)
        assert result["test"] is None
        assert 0 < result["val"] <= 1
        assert result["seconds"] > 0
    assert len({c["val"] for c in validated["raw_1nn"]["candidates"]}) > 1  # or choosing would mean nothing
    assert validated["raw_1nn"]["encoder"] is None
    declared = [encoder.model_dump(exclude_none=True) for encoder in ENCODERS]
    assert validated["untrained"]["encoder"] in declared


@pytest.mark.parametrize("kind", ["raw_1nn", "dtw_1nn"])
def test_validation_is_the_accuracy_over_the_draws_that_trials_have(
    kind: str, validated: dict[str, Any], made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    view = View(made_frames, made_split.development.validation)
    draws = exemplar_draws(view.labels, 20, seed=1)
    for normalization, candidate in zip(NORMALIZATIONS, validated[kind]["candidates"], strict=True):
        way = Matching(kind, made_set.layout, normalization)  # type: ignore[arg-type]
        expected = score_distances(way.between(view, view), view.labels, draws)
        assert (candidate["val"], candidate["val_std"]) == pytest.approx((expected.mean, expected.std))
        assert candidate["val_right_per_class"] == pytest.approx(expected.right.tolist(), abs=1e-4)
        assert candidate["val_queries_per_class"] == expected.queries.tolist()


@pytest.mark.parametrize(
    ("kind", "matcher"), [("untrained", MatcherConfig()), ("untrained_dtw", MatcherConfig(name="alignment"))]
)
def test_the_untrained_encoder_is_scored_over_its_initialisations(
    kind: str,
    matcher: MatcherConfig,
    validated: dict[str, Any],
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
) -> None:
    view = View(made_frames, made_split.development.validation)
    draws = exemplar_draws(view.labels, 20, seed=1)
    shape = image_shape(CONFIG.representation, made_set.layout)
    means = []
    for seed in UNTRAINED_SEEDS:
        network = initialised(ENCODERS[1], shape, seed)
        way = Matching("encoder", made_set.layout, NORMALIZATIONS[0], CONFIG.representation, network, matcher)
        means.append(score_distances(way.between(view, view), view.labels, draws).mean)
    assert validated[kind]["candidates"][1]["val"] == pytest.approx(np.mean(means))


def test_where_subjects_are_held_out_retrieval_is_scored(
    scorer: BaselineScorer, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    development = dataclasses.replace(made_split.development, measure="map_at_r")
    view = View(made_frames, development.validation)
    way = Matching("raw_1nn", made_set.layout, NORMALIZATIONS[0])
    expected = map_at_r_distances(way.between(view, view), view.labels)
    found = scorer.validate(development, EVALUATION)["raw_1nn"]["candidates"][0]
    assert found["val"] == pytest.approx(expected)
    assert (found["val_std"], found["val_right_per_class"], found["val_queries_per_class"]) == (0.0, [], [])


def test_over_folds_every_candidate_has_one_accuracy_a_fold(
    scorer: BaselineScorer, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    folds = scored_folds(made_split.development, 4)
    candidates = scorer.validate_folds(folds, EVALUATION)
    counts = {"raw_1nn": 3, "dtw_1nn": 3, "untrained": 6, "untrained_dtw": 6}
    assert [c["baseline"] for c in candidates] == [name for name, count in counts.items() for _ in range(count)]
    for normalization, candidate in zip(NORMALIZATIONS, candidates[3:6], strict=True):
        assert candidate["normalize"] == normalization.model_dump()
        expected = []
        for fold in folds:
            view = View(made_frames, fold.validation)
            way = Matching("dtw_1nn", made_set.layout, normalization)
            draws = exemplar_draws(view.labels, 20, seed=1)
            expected.append(score_distances(way.between(view, view), view.labels, draws).mean)
        assert candidate["accuracies"] == pytest.approx(expected)
    declared = [encoder.model_dump(exclude_none=True) for encoder in ENCODERS]
    assert [c["encoder"] for c in candidates[6:8]] == declared


def test_where_trials_are_scored_over_folds_so_are_the_baselines(scorer: BaselineScorer, made_split: Split) -> None:
    over_folds = EvaluationConfig(num_draws=20, seed=1, num_folds=4)
    results = scorer.validate(made_split.development, over_folds)
    expected = scorer.validate_folds(fold_developments(made_split.development, 4), EVALUATION)
    found = [c for name in BASELINES for c in results[name]["candidates"]]
    assert [c["val_folds"] for c in found] == [c["accuracies"] for c in expected]
    for candidate in found:
        assert candidate["val"] == pytest.approx(np.mean(candidate["val_folds"]))
        assert candidate["test"] is None
    for name, result in results.items():
        assert result["val"] == max(c["val"] for c in results[name]["candidates"])
    assert baseline_score(results["dtw_1nn"]).folds == tuple(results["dtw_1nn"]["val_folds"])


def test_tests_are_added_and_the_choice_stays(
    scorer: BaselineScorer,
    validated: dict[str, Any],
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
) -> None:
    sealed = made_split.sealed
    tested = scorer.test(sealed, validated)
    for name, result in tested.items():
        assert choice(result) == choice(validated[name])
        assert result["val"] == validated[name]["val"]
        assert result["seconds"] == validated[name]["seconds"]
        standing = [c for c in result["candidates"] if choice(c) == choice(result)]
        assert [c["test"] for c in standing] == [result["test"]]
        assert all(0 <= c["test"] <= 1 for c in result["candidates"])
        assert all(c["test"] is None for c in validated[name]["candidates"])  # what was validated is left alone
    way = Matching("dtw_1nn", made_set.layout, NORMALIZATIONS[1])
    distances = way.between(View(made_frames, sealed.exemplars), View(made_frames, sealed.queries))
    right = (distances.argmin(dim=0).numpy() == sealed.queries.labels).mean()
    assert tested["dtw_1nn"]["candidates"][1]["test"] == pytest.approx(right)


def test_shuffled_test_labels_change_results_but_no_choice(
    scorer: BaselineScorer, validated: dict[str, Any], made_split: Split
) -> None:
    queries = made_split.sealed.queries
    best_by_test = set()
    for seed in range(4):
        labels = np.random.default_rng(seed).permutation(queries.labels)
        sealed = Sealed(made_split.sealed.exemplars, dataclasses.replace(queries, labels=labels))
        tested = scorer.test(sealed, validated)
        for name, result in tested.items():
            assert choice(result) == choice(validated[name])
            best_by_test.add((name, int(np.argmax([c["test"] for c in result["candidates"]]))))
    assert len(best_by_test) > len(BASELINES)  # a choice by test would have changed


def test_initialised_is_seeded_and_leaves_the_global_generator_alone() -> None:
    shape = (3, 50, 16)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first, same, other = (initialised(CONFIG.encoder, shape, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [next(iter(network.parameters())) for network in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
