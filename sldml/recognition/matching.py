"""How far recordings are from one another: by the raw signals, by dynamic time warping, or by an encoder.

Raw and DTW matching resample recordings linearly to 32 steps. *Raw* is the Euclidean distance of two recordings;
*DTW* has the squared Euclidean distance of two frames as its local cost, a band of 8 steps, and is not normalised
by the path's length. What an encoder's distance is says `sldml.config.MatcherConfig`.
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
from sldml.prepared.batches import Signals
from sldml.protocols.split import Subset
from sldml.recognition.dtw import dtw_distances, raw_distances
from sldml.recordings import Layout

STEPS = 32
_MOST_TO_SCALE_BY = 200
"""So many training recordings are enough for the median of their distances."""

EMBEDDING = MatcherConfig()
Kind = Literal["raw_1nn", "dtw_1nn", "encoder"]
Features = tuple[Tensor, ...]
"""What recordings are compared by, one or two tensors whose first axis is the recordings."""


@dataclass(frozen=True)
class Matching:
    """A way to match recordings, with everything it needs but the recordings."""

    kind: Kind
    layout: Layout
    normalize: NormalizeConfig
    representation: RepresentationConfig | None = None
    """For an encoder: what it sees."""
    encoder: Encoder | None = None
    matcher: MatcherConfig = EMBEDDING
    """For an encoder: what is made of what it tells."""
    raw_scale: float = 1.0
    """For an encoder whose matcher adds the DTW distance of the signals: the unit of that distance."""

    def features(self, signals: Signals, subset: Subset) -> Features:
        """What recordings are compared by; of their rows, those that the subset names.

        Signals [N, 32, rows * 3], normalised, on the CPU; or of an encoder, unit embeddings [N, dim] or, on the CPU,
        features along time [N, steps, dim], and after them the signals where their distance is added.
        """
        if self.kind != "encoder":
            return (self._resampled(signals, subset),)
        if self.matcher.raw_weight == 0.0:
            return (self.encoded(signals, subset),)
        return self.encoded(signals, subset), self._resampled(signals, subset)

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

    def between(self, signals: Signals, first: Subset, second: Subset) -> Tensor:
        """Distances [A, B] of recordings."""
        features = self.features(signals, first)
        return self.distances(features, features if second is first else self.features(signals, second))

    # ------------------------------------------------------------------------------- the parts of an encoder's

    def encoded(self, signals: Signals, subset: Subset) -> Tensor:
        """What the encoder makes of recordings: unit embeddings [N, dim], or features along time on the CPU."""
        assert self.encoder is not None
        assert self.representation is not None
        self.encoder.to(signals.device)
        frames = self.matcher.alignment
        found = embed(self.encoder, signals, subset, self.normalize, self.representation, self.layout, frames=frames)
        return nn.functional.normalize(found, dim=1) if frames is None else found.cpu()

    def encoded_distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances [A, B] of what `encoded` gave."""
        if self.matcher.alignment is None:
            return 1.0 - first @ second.T
        # Half the squared distance of unit vectors is 1 less their cosine; a path has at least as many steps.
        return dtw_distances(first, second, self.matcher.alignment.band) / (2.0 * first.shape[1])

    def added(self, signals: Signals, subset: Subset) -> Tensor:
        """The training-free part [N, N] of the distances within one subset, which no training changes."""
        resampled = self._resampled(signals, subset)
        return self.added_distances(resampled, resampled)

    def added_distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Weighted and scaled DTW distances [A, B] of signals."""
        return dtw_distances(first, second) * (self.matcher.raw_weight / self.raw_scale)

    def _resampled(self, signals: Signals, subset: Subset) -> Tensor:
        return _resampled(signals, subset, self.normalize, self.layout)


def signal_scale(signals: Signals, train: Subset, normalization: NormalizeConfig, layout: Layout) -> float:
    """The unit of the DTW distance that a matcher adds to an encoder's: its median over pairs of training recordings.

    `layout` describes all the recordings' rows.
    """
    sample = _resampled(signals, train.sample(_MOST_TO_SCALE_BY), normalization, layout)
    distances = dtw_distances(sample, sample)
    pairs = distances[torch.ones_like(distances, dtype=torch.bool).triu(diagonal=1)]
    return max(float(pairs.median()), 1e-12) if len(pairs) else 1.0


def _resampled(signals: Signals, subset: Subset, normalization: NormalizeConfig, layout: Layout) -> Tensor:
    """Normalised signals [N, 32, rows * 3] on the CPU."""
    offsets, lengths = torch.tensor(subset.offsets), torch.tensor(subset.lengths)
    layout = layout.part(subset.rows)
    taken = layout.take_rows(signals.gather(offsets, lengths, STEPS), subset.rows)
    return normalize(taken, normalization, layout).flatten(2).cpu()
