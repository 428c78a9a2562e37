import dataclasses
from collections.abc import Iterable

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
from sldml.journal import Baseline, BaselineScore
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.folds import fold_developments
from sldml.protocols.split import Sealed, Split
from sldml.recognition.baselines import BASELINES, UNTRAINED_SEEDS, BaselineScorer, grouped, initialised, validate
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
def validated(scorer: BaselineScorer, made_split: Split, made_frames: Frames) -> list[BaselineScore]:
    return validate(made_frames, scorer.candidates(), made_split.development, EVALUATION)


def of(name: str, scores: Iterable[BaselineScore]) -> list[BaselineScore]:
    """The scores of a baseline's candidates."""
    return [score for score in scores if score.candidate.baseline == name]


def chosen(name: str, scores: Iterable[BaselineScore]) -> BaselineScore:
    """The score that stands for a baseline."""
    return Baseline(name, tuple(of(name, scores))).best


def test_every_declared_candidate_is_scored_and_the_best_by_validation_stands(
    scorer: BaselineScorer, validated: list[BaselineScore]
) -> None:
    assert [score.candidate for score in validated] == scorer.candidates()
    assert tuple(dict.fromkeys(score.candidate.baseline for score in validated)) == BASELINES
    for name in BASELINES:
        candidates, best = of(name, validated), chosen(name, validated)
        assert len(candidates) == (6 if name.startswith("untrained") else 3)
        assert best in candidates
        assert best.val == max(score.val for score in candidates)
        assert best.test is None
        assert 0 < best.val <= 1
    assert len({score.val for score in of("raw_1nn", validated)}) > 1  # or choosing would mean nothing
    assert chosen("raw_1nn", validated).candidate.encoder is None
    declared = [encoder.model_dump(exclude_none=True) for encoder in ENCODERS]
    assert chosen("untrained", validated).candidate.encoder in declared


@pytest.mark.parametrize("kind", ["raw_1nn", "dtw_1nn"])
def test_validation_is_the_accuracy_over_the_draws_that_trials_have(
    kind: str, validated: list[BaselineScore], made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    view = View(made_frames, made_split.development.validation)
    draws = exemplar_draws(view.labels, 20, seed=1)
    for normalization, score in zip(NORMALIZATIONS, of(kind, validated), strict=True):
        assert score.candidate.normalize == normalization.model_dump()
        way = Matching(kind, made_set.layout, normalization)  # type: ignore[arg-type]
        expected = score_distances(way.between(view, view), view.labels, draws)
        assert (score.val, score.val_std) == pytest.approx((expected.mean, expected.std))
        assert score.right_per_class == pytest.approx(expected.right.tolist(), abs=1e-4)
        assert score.queries_per_class == tuple(expected.queries.tolist())


@pytest.mark.parametrize(
    ("kind", "matcher"), [("untrained", MatcherConfig()), ("untrained_dtw", MatcherConfig(name="alignment"))]
)
def test_the_untrained_encoder_is_scored_over_its_initialisations(
    kind: str,
    matcher: MatcherConfig,
    validated: list[BaselineScore],
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
    assert of(kind, validated)[1].val == pytest.approx(np.mean(means))


def test_where_subjects_are_held_out_retrieval_is_scored(
    scorer: BaselineScorer, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    development = dataclasses.replace(made_split.development, measure="map_at_r")
    view = View(made_frames, development.validation)
    way = Matching("raw_1nn", made_set.layout, NORMALIZATIONS[0])
    expected = map_at_r_distances(way.between(view, view), view.labels)
    (found,) = validate(made_frames, scorer.candidates()[:1], development, EVALUATION)
    assert found.candidate.baseline == "raw_1nn"
    assert found.val == pytest.approx(expected)
    assert (found.val_std, found.right_per_class, found.queries_per_class) == (0.0, (), ())


def test_candidates_that_share_their_work_are_one_group_and_score_alone_as_together(
    scorer: BaselineScorer, validated: list[BaselineScore], made_split: Split, made_frames: Frames
) -> None:
    candidates = scorer.candidates()
    groups = [[candidates[place] for place in group] for group in grouped(candidates)]
    assert sorted(place for group in grouped(candidates) for place in group) == list(range(len(candidates)))
    for group in groups:
        kinds = ["untrained", "untrained_dtw"] if group[0].encoder else ["raw_1nn", "dtw_1nn"]
        assert [candidate.baseline for candidate in group] == kinds
        assert len({candidate.model_dump_json(exclude={"baseline"}) for candidate in group}) == 1
    calls: list[None] = []
    for place in (3, 17):
        alone = validate(
            made_frames, [candidates[place]], made_split.development, EVALUATION, lambda: calls.append(None)
        )
        assert alone == [validated[place]]
    assert len(calls) >= 2 + len(UNTRAINED_SEEDS), "each network tells that it goes on"


def test_where_trials_are_scored_over_folds_so_are_the_baselines(
    scorer: BaselineScorer, made_split: Split, made_frames: Frames
) -> None:
    over_folds = EvaluationConfig(num_draws=20, seed=1, num_folds=4)
    found = validate(made_frames, scorer.candidates(), made_split.development, over_folds)
    assert [score.candidate for score in found] == scorer.candidates()
    folds = fold_developments(made_split.development, 4)
    for score in found:
        expected = [validate(made_frames, [score.candidate], fold, EVALUATION)[0].val for fold in folds]
        assert score.val_folds == pytest.approx(expected)
    for score in found:
        assert score.val == pytest.approx(np.mean(score.val_folds))
        assert score.test is None
    for name in BASELINES:
        assert chosen(name, found).val == max(score.val for score in of(name, found))
    dtw = chosen("dtw_1nn", found)
    assert len(dtw.val_folds) == 4
    assert baseline_score(dtw).folds == dtw.val_folds


def test_tests_are_added_and_the_choice_stays(
    scorer: BaselineScorer,
    validated: list[BaselineScore],
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
) -> None:
    sealed = made_split.sealed
    tested = scorer.test(sealed, validated)
    assert [score.model_copy(update={"test": None}) for score in tested] == validated  # only the test is added
    assert all(score.test is None for score in validated)  # what was validated is left alone
    assert all(score.test is not None and 0 <= score.test <= 1 for score in tested)
    for name in BASELINES:
        assert chosen(name, tested).candidate == chosen(name, validated).candidate
    way = Matching("dtw_1nn", made_set.layout, NORMALIZATIONS[1])
    distances = way.between(View(made_frames, sealed.exemplars), View(made_frames, sealed.queries))
    right = (distances.argmin(dim=0).numpy() == sealed.queries.labels).mean()
    assert of("dtw_1nn", tested)[1].test == pytest.approx(right)


def test_shuffled_test_labels_change_results_but_no_choice(
    scorer: BaselineScorer, validated: list[BaselineScore], made_split: Split
) -> None:
    queries = made_split.sealed.queries
    best_by_test = set()
    for seed in range(4):
        labels = np.random.default_rng(seed).permutation(queries.labels)
        sealed = Sealed(made_split.sealed.exemplars, dataclasses.replace(queries, labels=labels))
        tested = scorer.test(sealed, validated)
        for name in BASELINES:
            assert chosen(name, tested).candidate == chosen(name, validated).candidate
            best_by_test.add((name, int(np.argmax([score.test for score in of(name, tested)]))))
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
