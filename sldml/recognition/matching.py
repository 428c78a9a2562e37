"""Distances between recordings: by the raw signals, by dynamic time warping, or by an encoder.

Raw and DTW matching resample recordings linearly to 32 steps. *Raw* is the Euclidean distance of two recordings. *DTW*
has the squared Euclidean distance of two frames as its local cost and a band of 8 steps; it is not normalised by the
length of the path. For the distance of an encoder see `sldml.config.matcher.MatcherConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.embed import embed
from sldml.embedding.encoders import Encoder
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.recognition.dtw import dtw_distances, raw_distances
from sldml.recordings import Layout

STEPS = 32
_MOST_TO_SCALE_BY = 200
"""Number of training recordings for the median of their distances."""

EMBEDDING = MatcherConfig()
Kind = Literal["raw_1nn", "dtw_1nn", "encoder"]
Features = tuple[Tensor, ...]
"""What recordings are compared by: one or two tensors whose first axis is the recordings."""


@dataclass(frozen=True)
class Matching:
    """A way to match recordings, with everything it needs except the recordings.

    Its methods raise ValueError for a view whose rows are not those of `layout`.
    """

    kind: Kind
    layout: Layout
    """The rows of the recordings that it compares."""
    normalize: NormalizeConfig
    representation: RepresentationConfig | None = None
    """For an encoder: its input."""
    encoder: Encoder | None = None
    matcher: MatcherConfig = EMBEDDING
    """For an encoder: how its embeddings are compared."""
    raw_scale: float = 1.0
    """For a matcher that adds the DTW distance of the signals: the unit of that distance, see `signal_scale`."""

    def features(self, view: View) -> Features:
        """What recordings are compared by.

        Without an encoder, normalised signals [N, 32, rows * 3] on the CPU. With one, unit embeddings [N, dim] or, on
        the CPU, features along time [N, steps, dim]; then the signals, if the matcher adds their distance.
        """
        if self.kind != "encoder":
            return (self._resampled(view),)
        if self.matcher.raw_weight == 0.0:
            return (self.encoded(view),)
        return self.encoded(view), self._resampled(view)

    def distances(self, first: Features, second: Features) -> Tensor:
        """Distances [A, B] of features."""
        if self.kind == "raw_1nn":
            return raw_distances(first[0], second[0])
        if self.kind == "dtw_1nn":
            return dtw_distances(first[0], second[0])
        distances = self.encoded_distances(first[0], second[0])
        if self.matcher.raw_weight == 0.0:
            return distances
        return distances.cpu() + self.added_distances(first[1], second[1])

    def between(self, exemplars: View, queries: View) -> Tensor:
        """Distances [E, Q] of each exemplar to each query."""
        features = self.features(exemplars)
        return self.distances(features, features if queries is exemplars else self.features(queries))

    # ------------------------------------------------------------------------------- the parts of an encoder's

    def encoded(self, view: View) -> Tensor:
        """The encoder's output for recordings: unit embeddings [N, dim], or features along time on the CPU."""
        assert self.encoder is not None
        assert self.representation is not None
        self.require_rows(view)
        self.encoder.to(view.device)
        frames = self.matcher.alignment
        found = embed(self.encoder, view, self.normalize, self.representation, frames=frames)
        return nn.functional.normalize(found, dim=1) if frames is None else found.cpu()

    def encoded_distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances [A, B] of outputs of `encoded`."""
        if self.matcher.alignment is None:
            return 1.0 - first @ second.T
        # Half the squared distance of unit vectors is 1 less their cosine; a path has at least as many steps.
        return dtw_distances(first, second, self.matcher.alignment.band) / (2.0 * first.shape[1])

    def added(self, view: View) -> Tensor:
        """The part [N, N] of the distances within one view that does not depend on the encoder."""
        resampled = self._resampled(view)
        return self.added_distances(resampled, resampled)

    def added_distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Weighted and scaled DTW distances [A, B] of signals."""
        return dtw_distances(first, second) * (self.matcher.raw_weight / self.raw_scale)

    def _resampled(self, view: View) -> Tensor:
        self.require_rows(view)
        return _resampled(view, self.normalize)

    def require_rows(self, view: View) -> None:
        """Check that the recordings of a view have the rows that are compared.

        Raises:
            ValueError: they do not.
        """
        if view.layout != self.layout:
            raise ValueError(
                f"recordings of {self.layout.num_rows} rows are compared, but these have {view.layout.num_rows}, or "
                "rows that mean something else"
            )


def signal_scale(train: View, normalization: NormalizeConfig) -> float:
    """The median DTW distance of pairs of training recordings: the unit of the one that a matcher adds."""
    sample = _resampled(train.sample(_MOST_TO_SCALE_BY), normalization)
    distances = dtw_distances(sample, sample)
    pairs = distances[torch.ones_like(distances, dtype=torch.bool).triu(diagonal=1)]
    return max(float(pairs.median()), 1e-12) if len(pairs) else 1.0


def _resampled(view: View, normalization: NormalizeConfig) -> Tensor:
    """Normalised signals [N, 32, rows * 3] on the CPU."""
    return normalize(view.resampled(STEPS), normalization, view.layout).flatten(2).cpu()
