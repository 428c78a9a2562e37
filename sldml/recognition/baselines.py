"""Baselines without training: nearest exemplars by raw distance, dynamic time warping, or an untrained encoder.

Of an untrained encoder, both the embeddings and (by dynamic time warping) the features along time are compared. Each
baseline is scored with every declared normalisation, encoder and representation; the candidate with the best validation
score stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sldml.config.encoder import EncoderConfig
from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.config.training import EvaluationConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import Encoder, build_encoder
from sldml.embedding.view import View
from sldml.journal import BaselineScore, Candidate
from sldml.prepared.batches import Frames
from sldml.protocols.folds import MOST_TO_SCORE, fold_developments
from sldml.protocols.split import Development, Sealed
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, map_at_r_distances, score_distances
from sldml.recordings import Layout

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the initialisations with which an untrained encoder is scored; the first one can be saved as the model."""

BaselineName = Literal["raw_1nn", "dtw_1nn", "untrained", "untrained_dtw"]
BASELINES: tuple[BaselineName, ...] = ("raw_1nn", "dtw_1nn", "untrained", "untrained_dtw")


class BaselineScorer:
    """Scores baselines on a prepared set: on validation, and once on the sealed test."""

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

    def validate(self, development: Development, evaluation: EvaluationConfig) -> list[BaselineScore]:
        """Score every candidate as trials are scored: on the same classes, with the same exemplar draws.

        With `evaluation.num_folds` above one, the score is the mean over the class folds, as that of trials.
        """
        self._begin(evaluation.num_folds)
        if evaluation.num_folds == 1:
            return self._validate(development, evaluation)
        folds = [self._validate(fold, evaluation) for fold in fold_developments(development, evaluation.num_folds)]
        return [_mean_over_folds(parts) for parts in zip(*folds, strict=True)]

    def _validate(self, development: Development, evaluation: EvaluationConfig) -> list[BaselineScore]:
        """Score every candidate on one set of validation classes."""
        found = []
        for candidate in self.candidates():
            found.append(score_candidate(candidate, development, evaluation, self._frames))
            self._scored()
        return found

    def test(self, sealed: Sealed, scores: Iterable[BaselineScore]) -> list[BaselineScore]:
        """Add the accuracy on the sealed test to `scores`."""
        self._begin(1)
        exemplars, queries = View(self._frames, sealed.exemplars), View(self._frames, sealed.queries)
        tested = []
        for score in scores:
            accuracies = []
            for matching in _matchings(score.candidate, exemplars.layout):
                distances = matching.between(exemplars, queries)
                predicted = exemplars.labels[distances.argmin(dim=0).cpu().numpy()]
                accuracies.append((predicted == queries.labels).mean())
            tested.append(score.model_copy(update={"test": float(np.mean(accuracies))}))
            self._scored()
        return tested

    def candidates(self) -> list[Candidate]:
        """The candidates of all baselines, in the order in which they are scored."""
        return [candidate for name in BASELINES for candidate in self._candidates(name)]

    def _begin(self, num_times: int) -> None:
        """Start counting: all candidates are scored `num_times` times."""
        self._num_scored, self._num_to_score = 0, num_times * len(self.candidates())

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


def score_candidate(
    candidate: Candidate, development: Development, evaluation: EvaluationConfig, frames: Frames
) -> BaselineScore:
    """Score a candidate on the validation classes as trials are scored: with the same exemplar draws."""
    view = View(frames, development.validation.sample_for_draws(MOST_TO_SCORE))
    draws = exemplar_draws(view.labels, evaluation.num_draws, evaluation.seed)
    one_shot = development.measure != "map_at_r"
    none = np.zeros(0, dtype=np.int64)

    def score(distances: Tensor) -> tuple[float, float, NDArray[np.float64], NDArray[np.int64]]:
        if not one_shot:
            return map_at_r_distances(distances, view.labels), 0.0, np.zeros(0), none
        result = score_distances(distances, view.labels, draws).over(view.classes, development.validation.classes)
        return result.mean, result.std, result.right, result.queries

    scores = [score(matching.between(view, view)) for matching in _matchings(candidate, view.layout)]
    mean, std, right, queries = (np.mean(parts, axis=0) for parts in zip(*scores, strict=True))
    return BaselineScore(
        candidate=candidate,
        val=float(mean),
        val_std=float(std),
        right_per_class=tuple(right.round(4).tolist()),
        queries_per_class=tuple(queries.tolist()),
    )


def _matchings(candidate: Candidate, layout: Layout) -> list[Matching]:
    """One matching, or one for each initialisation of an encoder."""
    seeds = (0,) if candidate.encoder is None else UNTRAINED_SEEDS
    return [baseline_matching(candidate, layout, seed) for seed in seeds]


def baseline_matching(candidate: Candidate, layout: Layout, seed: int = UNTRAINED_SEEDS[0]) -> Matching:
    """The matching of a candidate for recordings with the rows of `layout`; `seed`: of an encoder's initialisation."""
    normalization = NormalizeConfig.model_validate(candidate.normalize)
    if candidate.encoder is None:
        return Matching("dtw_1nn" if candidate.baseline == "dtw_1nn" else "raw_1nn", layout, normalization)
    encoder = EncoderConfig.model_validate(candidate.encoder)
    representation = RepresentationConfig.model_validate(candidate.representation)
    network = initialised(encoder, input_shape(encoder, representation, layout), seed)
    matcher = MatcherConfig(name="alignment" if candidate.baseline == "untrained_dtw" else "embedding")
    return Matching("encoder", layout, normalization, representation, network, matcher)


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
