"""Baselines without training: nearest exemplars by raw distance, dynamic time warping, or an untrained encoder.

Of an untrained encoder, both the embeddings and (by dynamic time warping) the features along time are compared. Each
baseline is scored with every declared normalisation, encoder and representation; the candidate with the best validation
score stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sldml.config.encoder import EncoderConfig
from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.config.training import EvaluationConfig
from sldml.embedding.embed import embed_each, input_shape
from sldml.embedding.encoders import Encoder, build_encoder
from sldml.embedding.view import View
from sldml.journal import BaselineScore, Candidate
from sldml.prepared.batches import Frames
from sldml.protocols.folds import MOST_TO_SCORE, fold_developments
from sldml.protocols.split import Development, Sealed
from sldml.recognition.matching import EMBEDDING, Features, Matching
from sldml.recognition.one_shot import exemplar_draws, map_at_r_distances, score_distances
from sldml.recordings import Layout

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the initialisations with which an untrained encoder is scored; the first one can be saved as the model."""

_ALIGNED = MatcherConfig(name="alignment")

Progress = Callable[[], None]
BaselineName = Literal["raw_1nn", "dtw_1nn", "untrained", "untrained_dtw"]
BASELINES: tuple[BaselineName, ...] = ("raw_1nn", "dtw_1nn", "untrained", "untrained_dtw")


class BaselineScorer:
    """The baselines of a search space: their candidates, and their sealed test."""

    def __init__(
        self,
        frames: Frames,
        *,
        normalizations: Sequence[NormalizeConfig],
        encoders: Sequence[EncoderConfig],
        representations: Sequence[RepresentationConfig],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """
        Args:
            frames: Frames of the prepared set.
            normalizations: Those of the search space. Each combination with the others is a candidate.
            encoders: Those of the search space.
            representations: Those of the search space.
            progress: Called with (candidates scored, candidates in all); a candidate counts once per fold.
        """
        self._frames = frames
        self._normalizations = list(normalizations)
        # An untrained ensemble is a wider untrained network at several times the cost.
        self._encoders = [encoder.model_copy(update={"members": 1}) for encoder in encoders]
        self._representations = list(representations)
        self._progress = progress
        self._num_scored = self._num_to_score = 0

    def test(self, sealed: Sealed, scores: Iterable[BaselineScore]) -> list[BaselineScore]:
        """Add the accuracy on the sealed test to `scores`."""
        tested = list(scores)
        self._begin(len(tested))
        exemplars, queries = View(self._frames, sealed.exemplars), View(self._frames, sealed.queries)
        for place, distances in _all_distances([score.candidate for score in tested], exemplars, queries):
            predicted = [exemplars.labels[matrix.argmin(dim=0).cpu().numpy()] for matrix in distances]
            accuracy = float(np.mean([(found == queries.labels).mean() for found in predicted]))
            tested[place] = tested[place].model_copy(update={"test": accuracy})
            self._scored()
        return tested

    def candidates(self) -> list[Candidate]:
        """The candidates of all baselines, in the order of the space."""
        return [candidate for name in BASELINES for candidate in self._candidates(name)]

    def _begin(self, num_to_score: int) -> None:
        """Start counting."""
        self._num_scored, self._num_to_score = 0, num_to_score

    def _scored(self) -> None:
        self._num_scored += 1
        if self._progress is not None:
            self._progress(self._num_scored, self._num_to_score)

    def _candidates(self, name: BaselineName) -> Iterator[Candidate]:
        for normalization in self._normalizations:
            normalize = normalization.model_dump(exclude_none=True)
            if not name.startswith("untrained"):
                yield Candidate(baseline=name, normalize=normalize)
                continue
            for encoder in self._encoders:
                # An encoder of signals uses only the number of steps of a representation.
                for representation in self._representations[: 1 if encoder.takes == "signals" else None]:
                    yield Candidate(
                        baseline=name,
                        normalize=normalize,
                        encoder=encoder.model_dump(exclude_none=True),
                        representation=representation.model_dump(exclude_none=True),
                    )


def validate(
    frames: Frames,
    candidates: Sequence[Candidate],
    development: Development,
    evaluation: EvaluationConfig,
    between: Progress = lambda: None,
) -> list[BaselineScore]:
    """Score candidates as trials are scored: on the same classes, with the same exemplar draws.

    With `evaluation.num_folds` above one, the score is the mean over the class folds, as that of trials.

    Args:
        frames: Frames of the prepared set.
        candidates: Those to score; those of one group (`grouped`) share their work.
        development: Recordings to validate on.
        evaluation: Of the trials.
        between: Called often.
    """
    folds = fold_developments(development, evaluation.num_folds)
    each = [_validate(frames, candidates, fold, evaluation, between) for fold in folds]
    return each[0] if len(folds) == 1 else [_mean_over_folds(parts) for parts in zip(*each, strict=True)]


def _validate(
    frames: Frames,
    candidates: Sequence[Candidate],
    development: Development,
    evaluation: EvaluationConfig,
    between: Progress,
) -> list[BaselineScore]:
    """Score candidates on one set of validation classes."""
    view = View(frames, development.validation.sample_for_draws(MOST_TO_SCORE))
    draws = exemplar_draws(view.labels, evaluation.num_draws, evaluation.seed)
    one_shot, none = development.measure != "map_at_r", np.zeros(0, dtype=np.int64)

    def score(distances: Tensor) -> tuple[float, float, NDArray[np.float64], NDArray[np.int64]]:
        if not one_shot:
            return map_at_r_distances(distances, view.labels), 0.0, np.zeros(0), none
        result = score_distances(distances, view.labels, draws).over(view.classes, development.validation.classes)
        return result.mean, result.std, result.right, result.queries

    found: dict[int, BaselineScore] = {}
    for place, distances in _all_distances(candidates, view, view, between):
        mean, std, right, queries = (
            np.mean(parts, axis=0) for parts in zip(*(score(matrix) for matrix in distances), strict=True)
        )
        found[place] = BaselineScore(
            candidate=candidates[place],
            val=float(mean),
            val_std=float(std),
            right_per_class=tuple(right.round(4).tolist()),
            queries_per_class=tuple(queries.tolist()),
        )
    return [found[place] for place in range(len(candidates))]


# ---------------------------------------------------------------------------------------------------- distances


def grouped(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Positions of the candidates that compare the same inputs, and of an encoder the same networks.

    A group shares the work of resampling, normalising, representing and embedding.
    """
    groups: dict[str, list[int]] = {}
    for place, candidate in enumerate(candidates):
        groups.setdefault(candidate.model_copy(update={"baseline": ""}).key, []).append(place)
    return list(groups.values())


def _all_distances(
    candidates: Sequence[Candidate], first: View, second: View, between: Progress = lambda: None
) -> Iterator[tuple[int, list[Tensor]]]:
    """Position and distances [A, B] of each candidate, group by group: one matrix, or one for each initialisation."""
    for group in grouped(candidates):
        candidate, layout = candidates[group[0]], first.layout
        matchings = [_matching(candidates[place], layout) for place in group]
        seeds = () if candidate.encoder is None else UNTRAINED_SEEDS
        networks = [_network(candidate, layout, seed).to(first.device) for seed in seeds]
        features = _features(matchings, networks, first, between)
        others = features if second is first else _features(matchings, networks, second, between)
        for number, (place, matching) in enumerate(zip(group, matchings, strict=True)):
            pairs = zip(features, others, strict=True)
            yield place, [matching.distances(one[number], other[number]) for one, other in pairs]
            between()


def _features(
    matchings: Sequence[Matching], networks: Sequence[Encoder], view: View, between: Progress
) -> list[list[Features]]:
    """What the matchings of a group compare: for each network, the features for each matching."""
    one = matchings[0]
    if not networks:
        return [[one.features(view)] * len(matchings)]
    one.require_rows(view)
    assert one.representation is not None
    assert _ALIGNED.alignment is not None
    return [
        [
            (nn.functional.normalize(embedded, dim=1) if matching.matcher.alignment is None else along_time.cpu(),)
            for matching in matchings
        ]
        for embedded, along_time in embed_each(
            networks, view, one.normalize, one.representation, _ALIGNED.alignment, between
        )
    ]


def baseline_matching(candidate: Candidate, layout: Layout, seed: int = UNTRAINED_SEEDS[0]) -> Matching:
    """The matching of a candidate for recordings with the rows of `layout`; `seed`: of an encoder's initialisation."""
    matching = _matching(candidate, layout)
    return matching if candidate.encoder is None else replace(matching, encoder=_network(candidate, layout, seed))


def _matching(candidate: Candidate, layout: Layout) -> Matching:
    """The matching of a candidate without its network."""
    normalization = NormalizeConfig.model_validate(candidate.normalize)
    if candidate.encoder is None:
        return Matching("dtw_1nn" if candidate.baseline == "dtw_1nn" else "raw_1nn", layout, normalization)
    representation = RepresentationConfig.model_validate(candidate.representation)
    matcher = _ALIGNED if candidate.baseline == "untrained_dtw" else EMBEDDING
    return Matching("encoder", layout, normalization, representation, matcher=matcher)


def _network(candidate: Candidate, layout: Layout, seed: int) -> Encoder:
    encoder = EncoderConfig.model_validate(candidate.encoder)
    representation = RepresentationConfig.model_validate(candidate.representation)
    return initialised(encoder, input_shape(encoder, representation, layout), seed)


def initialised(config: EncoderConfig, shape: tuple[int, int, int], seed: int) -> Encoder:
    """An encoder with the initial weights of a training with this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(config, shape)


def _mean_over_folds(parts: Sequence[BaselineScore]) -> BaselineScore:
    """The mean of one candidate's scores over the folds."""
    return BaselineScore(
        candidate=parts[0].candidate,
        val=float(np.mean([part.val for part in parts])),
        val_std=float(np.mean([part.val_std for part in parts])),
        val_folds=tuple(part.val for part in parts),
    )
