"""What no training reaches: nearest exemplar by raw distance, by dynamic time warping, by an untrained encoder.

Each is tried with every declared normalisation, and the one that validation likes best stands for it. Recordings
are resampled linearly to 32 steps; *raw* is the Euclidean distance of two recordings; *DTW* has the squared
Euclidean distance of two frames as its local cost, a band of 8 steps, and is not normalised by the path's length.
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
from sldml.embedding import embed
from sldml.encoders import build_encoder
from sldml.images import image_shape
from sldml.normalize import normalize
from sldml.oneshot import exemplar_draws, map_at_r_distances, score_distances
from sldml.protocols import Development, Sealed, Subset
from sldml.signals import Layout

STEPS = 32
BAND = 8
MOST_FOR_VALIDATION = 1_000
"""Of more validation recordings than this a fixed sample is matched, for all its pairs are needed."""
_PAIRS_AT_ONCE = 8_192
_UNTRAINED_SEEDS = (0, 1, 2)

BaselineName = Literal["raw_1nn", "dtw_1nn", "untrained"]
BASELINES: tuple[BaselineName, ...] = ("raw_1nn", "dtw_1nn", "untrained")
BaselineResults = dict[str, dict[str, Any]]
"""Per baseline: `val`, `val_std`, `test` (None before the sealed test), `normalize`, `encoder`, `seconds`, and
`candidates`, the same of every normalisation that was tried."""


def raw_distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distances [A, B] of recordings [A, T, D] and [B, T, D]."""
    return torch.cdist(first.flatten(1), second.flatten(1))


def dtw_distances(first: Tensor, second: Tensor, band: int = BAND) -> Tensor:
    """Dynamic time warping distances [A, B] of recordings [A, T, D] and [B, T, D], all pairs at once.

    The least sum of squared Euclidean distances of matched frames over all monotone paths with steps (1, 0),
    (0, 1), (1, 1) that stay within `band` steps of the diagonal.
    """
    pairs = torch.cartesian_prod(torch.arange(len(first)), torch.arange(len(second)))
    parts = [_dtw(first[piece[:, 0]], second[piece[:, 1]], band) for piece in pairs.split(_PAIRS_AT_ONCE)]
    return torch.cat(parts).reshape(len(first), len(second))


def _dtw(first: Tensor, second: Tensor, band: int) -> Tensor:
    """DTW of pairs [P, T, D] → [P]: along each anti-diagonal, all its cells and all pairs at once."""
    steps = first.shape[1]
    squares = first.square().sum(2).unsqueeze(2) + second.square().sum(2).unsqueeze(1)
    # [T, T, P]: what one cell needs of all pairs lies together.
    cost = (squares - 2.0 * first @ second.transpose(1, 2)).clamp_min_(0.0).permute(1, 2, 0).contiguous()
    # Entry i + 1 of an anti-diagonal is the cell of row i; entry 0 is the border, which no path may touch.
    blank = torch.full((steps + 1, len(first)), torch.inf, dtype=first.dtype)
    before, last = blank, blank.clone()
    last[1] = cost[0, 0]
    for diagonal in range(1, 2 * steps - 1):
        low = max(0, diagonal - steps + 1, (diagonal - band + 1) // 2)
        high = min(steps - 1, diagonal, (diagonal + band) // 2)
        row = torch.arange(low, high + 1)
        current = blank.clone()
        cheapest = torch.minimum(torch.minimum(last[row], last[row + 1]), before[row])
        current[row + 1] = cheapest + cost[row, diagonal - row]
        before, last = last, current
    return last[steps]


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
            candidates = []
            for normalization, encoder in self._candidates(name):
                scores = [score(d) for d in self._distances(name, normalization, encoder, subset, subset)]
                mean, std = np.mean(scores, axis=0)
                candidates.append(
                    {
                        "normalize": normalization.model_dump(),
                        "encoder": None if encoder is None else encoder.model_dump(exclude_none=True),
                        "val": float(mean),
                        "val_std": float(std),
                        "test": None,
                    }
                )
            best = max(candidates, key=lambda c: float(c["val"]))  # type: ignore[arg-type]
            results[name] = {**best, "seconds": time.perf_counter() - started, "candidates": candidates}
        return results

    def test(self, sealed: Sealed, results: BaselineResults) -> BaselineResults:
        """Add the accuracy on the sealed test to `results`; what stands for each stays as validation chose it."""
        tested: BaselineResults = {}
        for name in BASELINES:
            candidates = [dict(c) for c in results[name]["candidates"]]
            for candidate, (normalization, encoder) in zip(candidates, self._candidates(name), strict=True):
                accuracies = [
                    _accuracy(distances, sealed)
                    for distances in self._distances(name, normalization, encoder, sealed.exemplars, sealed.queries)
                ]
                candidate["test"] = float(np.mean(accuracies))
            best = max(candidates, key=lambda c: float(c["val"]))
            tested[name] = {**results[name], **best, "candidates": candidates}
        return tested

    def _candidates(self, name: BaselineName) -> list[tuple[NormalizeConfig, EncoderConfig | None]]:
        encoders = self._encoders if name == "untrained" else [None]
        return [(n, e) for n in self._normalizations for e in encoders]

    def _distances(
        self, name: BaselineName, normalization: NormalizeConfig, encoder: EncoderConfig | None, a: Subset, b: Subset
    ) -> list[Tensor]:
        """Distances [len(a), len(b)]: one matrix, or one per initialisation of the untrained encoder."""
        if name != "untrained":
            first, second = (prepare_for_matching(self._signals, s, normalization, self._layout) for s in (a, b))
            return [raw_distances(first, second) if name == "raw_1nn" else dtw_distances(first, second)]
        assert encoder is not None
        found = []
        for seed in _UNTRAINED_SEEDS:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = build_encoder(encoder, image_shape(self._representation, self._layout))
            network.to(self._signals.device)
            first, second = (
                torch.nn.functional.normalize(
                    embed(network, self._signals, s, normalization, self._representation, self._layout), dim=1
                )
                for s in (a, b)
            )
            found.append((1.0 - first @ second.T).cpu())
        return found


def prepare_for_matching(signals: Signals, subset: Subset, normalization: NormalizeConfig, layout: Layout) -> Tensor:
    """Recordings as raw and DTW matching compare them: float32 [N, 32, rows * 3] on the CPU."""
    offsets, lengths = torch.tensor(subset.offsets), torch.tensor(subset.lengths)
    return normalize(signals.gather(offsets, lengths, STEPS), normalization, layout).flatten(2).cpu()


def _accuracy(distances: Tensor, sealed: Sealed) -> float:
    predicted = sealed.exemplars.labels[distances.argmin(dim=0).numpy()]
    return float((predicted == sealed.queries.labels).mean())
