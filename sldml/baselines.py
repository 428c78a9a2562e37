"""What no training reaches: nearest exemplar by raw distance, by dynamic time warping, by an untrained encoder.

Each is tried with every declared normalisation, and the one that validation likes best stands for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sldml.batches import Signals
from sldml.config import EncoderConfig, EvaluationConfig, NormalizeConfig, RepresentationConfig
from sldml.embedding import input_shape
from sldml.encoders import Encoder, build_encoder
from sldml.matching import Matching
from sldml.oneshot import exemplar_draws, map_at_r_distances, score_distances
from sldml.protocols import Development, Sealed
from sldml.signals import Layout

MOST_FOR_VALIDATION = 1_000
"""Of more validation recordings than this a fixed sample is matched, for all its pairs are needed."""

UNTRAINED_SEEDS = (0, 1, 2)
"""An untrained encoder is scored with so many initialisations; the first is the one that can be shipped."""

BaselineName = Literal["raw_1nn", "dtw_1nn", "untrained"]
BASELINES: tuple[BaselineName, ...] = ("raw_1nn", "dtw_1nn", "untrained")
BaselineResults = dict[str, dict[str, Any]]
"""Per baseline: `val`, `val_std`, `test` (None before the sealed test), `normalize`, `encoder`, `seconds`, and
`candidates`, the same of every normalisation that was tried."""


class BaselineScorer:
    """Scores the training-free ways on one prepared set: validation first, and once the sealed test."""

    def __init__(
        self,
        signals: Signals,
        layout: Layout,
        *,
        normalizations: Sequence[NormalizeConfig],
        encoders: Sequence[EncoderConfig],
        representation: RepresentationConfig,
    ) -> None:
        """`normalizations` and `encoders`: what the search space declares; each is a candidate."""
        self._signals, self._layout = signals, layout
        self._normalizations, self._encoders = list(normalizations), list(encoders)
        self._representation = representation

    def validate(self, development: Development, evaluation: EvaluationConfig) -> BaselineResults:
        """Score every candidate on the validation recordings, with the exemplar draws that trials have, too."""
        subset = development.validation.sample(MOST_FOR_VALIDATION)
        draws = exemplar_draws(subset.labels, evaluation.num_draws, evaluation.seed)

        def score(distances: Tensor) -> tuple[float, float]:
            if development.measure == "map_at_r":
                return map_at_r_distances(distances, subset.labels), 0.0
            result = score_distances(distances, subset.labels, draws)
            return result.mean, result.std

        results: BaselineResults = {}
        for name in BASELINES:
            started = time.perf_counter()
            candidates: list[dict[str, Any]] = []
            for normalization, encoder in self._candidates(name):
                ways = self._ways(name, normalization, encoder)
                mean, std = np.mean([score(way.between(self._signals, subset, subset)) for way in ways], axis=0)
                candidates.append(
                    {
                        "normalize": normalization.model_dump(),
                        "encoder": None if encoder is None else encoder.model_dump(exclude_none=True),
                        "val": float(mean),
                        "val_std": float(std),
                        "test": None,
                    }
                )
            best = max(candidates, key=_value)
            results[name] = {**best, "seconds": time.perf_counter() - started, "candidates": candidates}
        return results

    def validate_folds(self, folds: Sequence[Development], evaluation: EvaluationConfig) -> list[dict[str, Any]]:
        """Score every candidate on the validation classes of each fold, as `validate` does on one set of them.

        Returns:
            For each candidate `baseline`, `normalize`, `encoder` and `accuracies`, one a fold.
        """
        results = [self.validate(fold, evaluation) for fold in folds]
        return [
            {
                "baseline": name,
                "normalize": candidate["normalize"],
                "encoder": candidate["encoder"],
                "accuracies": [result[name]["candidates"][place]["val"] for result in results],
            }
            for name in BASELINES
            for place, candidate in enumerate(results[0][name]["candidates"])
        ]

    def test(self, sealed: Sealed, results: BaselineResults) -> BaselineResults:
        """Add the accuracy on the sealed test to `results`; what stands for each stays as validation chose it."""
        tested: BaselineResults = {}
        for name in BASELINES:
            candidates: list[dict[str, Any]] = [dict(c) for c in results[name]["candidates"]]
            for candidate, (normalization, encoder) in zip(candidates, self._candidates(name), strict=True):
                accuracies = []
                for way in self._ways(name, normalization, encoder):
                    distances = way.between(self._signals, sealed.exemplars, sealed.queries)
                    predicted = sealed.exemplars.labels[distances.argmin(dim=0).cpu().numpy()]
                    accuracies.append((predicted == sealed.queries.labels).mean())
                candidate["test"] = float(np.mean(accuracies))
            best = max(candidates, key=_value)
            tested[name] = {**results[name], **best, "candidates": candidates}
        return tested

    def _candidates(self, name: BaselineName) -> list[tuple[NormalizeConfig, EncoderConfig | None]]:
        encoders = self._encoders if name == "untrained" else [None]
        return [(n, e) for n in self._normalizations for e in encoders]

    def _ways(
        self, name: BaselineName, normalization: NormalizeConfig, encoder: EncoderConfig | None
    ) -> list[Matching]:
        """The one way to match, or one for each initialisation of an encoder."""
        if name != "untrained":
            return [Matching(name, self._layout, normalization)]
        assert encoder is not None
        shape = input_shape(encoder, self._representation, self._layout)
        return [
            Matching("encoder", self._layout, normalization, self._representation, initialised(encoder, shape, seed))
            for seed in UNTRAINED_SEEDS
        ]


def initialised(config: EncoderConfig, shape: tuple[int, int, int], seed: int) -> Encoder:
    """An encoder with the weights that a training of this seed would start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(config, shape)


def _value(candidate: dict[str, Any]) -> float:
    return float(candidate["val"])
