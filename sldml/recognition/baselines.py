"""Baselines without training: nearest exemplars by raw distance, dynamic time warping, or an untrained encoder.

Of an untrained encoder, both the embeddings and (by dynamic time warping) the features along time are compared. Each
baseline is scored with every declared normalisation, encoder and representation; the candidate with the best validation
score stands for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

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
BaselineResults = dict[str, dict[str, Any]]
"""Per baseline: `val`, `val_std`, `val_right_per_class` and `val_queries_per_class` (over class folds `val_folds`
instead, one value per fold), `test` (None before the sealed test), `normalize`, `encoder`, `representation`, `seconds`,
and `candidates`, the same for each candidate."""
Candidate = tuple[NormalizeConfig, EncoderConfig | None, RepresentationConfig | None]
"""Settings of a baseline; those that compare signals have neither encoder nor representation."""


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

    def validate(self, development: Development, evaluation: EvaluationConfig) -> BaselineResults:
        """Score every candidate as trials are scored: on the same classes, with the same exemplar draws.

        With `evaluation.num_folds` above one, the score is the mean over the class folds, as that of trials.
        """
        self._begin(evaluation.num_folds)
        if evaluation.num_folds == 1:
            return self._validate(development, evaluation)
        folds = [self._validate(fold, evaluation) for fold in fold_developments(development, evaluation.num_folds)]
        results: BaselineResults = {}
        for name in BASELINES:
            by_candidate = zip(*(fold[name]["candidates"] for fold in folds), strict=True)
            candidates = [_mean_over_folds(parts) for parts in by_candidate]
            seconds = sum(fold[name]["seconds"] for fold in folds)
            best = max(candidates, key=_value)
            results[name] = {**best, "seconds": seconds, "candidates": candidates}
        return results

    def _validate(self, development: Development, evaluation: EvaluationConfig) -> BaselineResults:
        """Score every candidate on one set of validation classes."""
        view = View(self._frames, development.validation.sample(MOST_TO_SCORE))
        draws = exemplar_draws(view.labels, evaluation.num_draws, evaluation.seed)

        one_shot = development.measure != "map_at_r"
        queries = (np.bincount(view.labels) - 1).tolist() if one_shot else []

        def score(distances: Tensor) -> tuple[float, float, NDArray[np.float64]]:
            if not one_shot:
                return map_at_r_distances(distances, view.labels), 0.0, np.zeros(0)
            result = score_distances(distances, view.labels, draws)
            return result.mean, result.std, result.right

        results: BaselineResults = {}
        for name in BASELINES:
            started = time.perf_counter()
            candidates: list[dict[str, Any]] = []
            for candidate in self._candidates(name):
                matchings = self._matchings(name, candidate, view.layout)
                scores = [score(matching.between(view, view)) for matching in matchings]
                mean, std, right = (np.mean(parts, axis=0) for parts in zip(*scores, strict=True))
                candidates.append(
                    {
                        **_dump(candidate),
                        "val": float(mean),
                        "val_std": float(std),
                        "val_right_per_class": right.round(4).tolist(),
                        "val_queries_per_class": queries,
                        "test": None,
                    }
                )
                self._scored()
            best = max(candidates, key=_value)
            results[name] = {**best, "seconds": time.perf_counter() - started, "candidates": candidates}
        return results

    def validate_folds(self, folds: Sequence[Development], evaluation: EvaluationConfig) -> list[dict[str, Any]]:
        """Score every candidate on the validation classes of each fold.

        Returns:
            For each candidate `baseline`, `normalize`, `encoder`, `representation` and `accuracies`, one per fold.
        """
        self._begin(len(folds))
        results = [self._validate(fold, evaluation) for fold in folds]
        return [
            {
                "baseline": name,
                "normalize": candidate["normalize"],
                "encoder": candidate["encoder"],
                "representation": candidate["representation"],
                "accuracies": [result[name]["candidates"][place]["val"] for result in results],
            }
            for name in BASELINES
            for place, candidate in enumerate(results[0][name]["candidates"])
        ]

    def test(self, sealed: Sealed, results: BaselineResults) -> BaselineResults:
        """Add the accuracy on the sealed test to `results`; the candidate of each baseline stays that of validation."""
        self._begin(1)
        exemplars, queries = View(self._frames, sealed.exemplars), View(self._frames, sealed.queries)
        tested: BaselineResults = {}
        for name in BASELINES:
            candidates: list[dict[str, Any]] = [dict(c) for c in results[name]["candidates"]]
            for record, candidate in zip(candidates, self._candidates(name), strict=True):
                accuracies = []
                for matching in self._matchings(name, candidate, exemplars.layout):
                    distances = matching.between(exemplars, queries)
                    predicted = exemplars.labels[distances.argmin(dim=0).cpu().numpy()]
                    accuracies.append((predicted == queries.labels).mean())
                record["test"] = float(np.mean(accuracies))
                self._scored()
            best = max(candidates, key=_value)
            tested[name] = {**results[name], **best, "candidates": candidates}
        return tested

    def _begin(self, num_times: int) -> None:
        """Start counting: all candidates are scored `num_times` times."""
        self._num_scored, self._num_to_score = 0, num_times * sum(len(self._candidates(name)) for name in BASELINES)

    def _scored(self) -> None:
        self._num_scored += 1
        if self._progress is not None:
            self._progress(self._num_scored, self._num_to_score)

    def _candidates(self, name: BaselineName) -> list[Candidate]:
        if not name.startswith("untrained"):
            return [(normalization, None, None) for normalization in self._normalizations]
        return [
            (normalization, encoder, representation)
            for normalization in self._normalizations
            for encoder in self._encoders
            # An encoder of signals uses only the number of steps of a representation.
            for representation in self._representations[: 1 if encoder.takes == "signals" else None]
        ]

    def _matchings(self, name: BaselineName, candidate: Candidate, layout: Layout) -> list[Matching]:
        """One matching, or one for each initialisation of an encoder."""
        seeds = (0,) if candidate[1] is None else UNTRAINED_SEEDS
        return [baseline_matching(name, candidate, layout, seed) for seed in seeds]


def baseline_matching(name: str, candidate: Candidate, layout: Layout, seed: int = UNTRAINED_SEEDS[0]) -> Matching:
    """The matching of a baseline for recordings with the rows of `layout`; `seed`: of an encoder's initialisation."""
    normalization, encoder, representation = candidate
    if encoder is None:
        return Matching("dtw_1nn" if name == "dtw_1nn" else "raw_1nn", layout, normalization)
    assert representation is not None
    network = initialised(encoder, input_shape(encoder, representation, layout), seed)
    matcher = MatcherConfig(name="alignment" if name == "untrained_dtw" else "embedding")
    return Matching("encoder", layout, normalization, representation, network, matcher)


def read_candidate(record: Mapping[str, Any]) -> Candidate:
    """The candidate of a record in the journal: its `normalize`, `encoder` and `representation`."""
    encoder, representation = record["encoder"], record.get("representation")
    return (
        NormalizeConfig.model_validate(record["normalize"]),
        None if encoder is None else EncoderConfig.model_validate(encoder),
        None if representation is None else RepresentationConfig.model_validate(representation),
    )


def initialised(config: EncoderConfig, shape: tuple[int, int, int], seed: int) -> Encoder:
    """An encoder with the initial weights of a training with this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(config, shape)


def _mean_over_folds(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of one candidate's scores over the folds."""
    accuracies = [float(part["val"]) for part in parts]
    spread = float(np.mean([part["val_std"] for part in parts]))
    described = {key: parts[0][key] for key in ("normalize", "encoder", "representation")}
    return {**described, "val": float(np.mean(accuracies)), "val_std": spread, "val_folds": accuracies, "test": None}


def _dump(candidate: Candidate) -> dict[str, Any]:
    parts = zip(("normalize", "encoder", "representation"), candidate, strict=True)
    return {name: None if part is None else part.model_dump(exclude_none=True) for name, part in parts}


def _value(candidate: dict[str, Any]) -> float:
    return float(candidate["val"])
