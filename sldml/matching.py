"""How far recordings are from one another: by the raw signals, by dynamic time warping, or by an encoder.

Raw and DTW matching resample recordings linearly to 32 steps. *Raw* is the Euclidean distance of two recordings;
*DTW* has the squared Euclidean distance of two frames as its local cost, a band of 8 steps, and is not normalised
by the path's length. An encoder's distance is 1 less the cosine of two embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sldml.batches import Signals
from sldml.config import NormalizeConfig, RepresentationConfig
from sldml.embedding import embed
from sldml.encoders import Encoder
from sldml.normalize import normalize
from sldml.protocols import Subset
from sldml.signals import Layout

STEPS = 32
BAND = 8
_PAIRS_AT_ONCE = 8_192
_NUMBERS_AT_ONCE = 2**25
"""Of one side of the pairs that are matched at once; recordings of many rows (pictures) are matched in fewer."""


@dataclass(frozen=True)
class Matching:
    """A way to match recordings, with everything it needs but the recordings."""

    kind: Literal["raw_1nn", "dtw_1nn", "encoder"]
    layout: Layout
    normalize: NormalizeConfig
    representation: RepresentationConfig | None = None
    """For an encoder: what it sees."""
    encoder: Encoder | None = None

    def features(self, signals: Signals, subset: Subset) -> Tensor:
        """What recordings are compared by: unit embeddings [N, dim], or signals [N, 32, rows * 3] on the CPU.

        Of their rows, those that the subset names.
        """
        if self.kind == "encoder":
            assert self.encoder is not None
            assert self.representation is not None
            self.encoder.to(signals.device)
            embeddings = embed(self.encoder, signals, subset, self.normalize, self.representation, self.layout)
            return nn.functional.normalize(embeddings, dim=1)
        offsets, lengths = torch.tensor(subset.offsets), torch.tensor(subset.lengths)
        layout = self.layout.part(subset.rows)
        taken = layout.take_rows(signals.gather(offsets, lengths, STEPS), subset.rows)
        return normalize(taken, self.normalize, layout).flatten(2).cpu()

    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances [A, B] of features."""
        match self.kind:
            case "raw_1nn":
                return raw_distances(first, second)
            case "dtw_1nn":
                return dtw_distances(first, second)
            case "encoder":
                return 1.0 - first @ second.T

    def between(self, signals: Signals, first: Subset, second: Subset) -> Tensor:
        """Distances [A, B] of recordings."""
        features = self.features(signals, first)
        return self.distances(features, features if second is first else self.features(signals, second))


def raw_distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distances [A, B] of recordings [A, T, D] and [B, T, D]."""
    return torch.cdist(first.flatten(1), second.flatten(1))


def dtw_distances(first: Tensor, second: Tensor, band: int = BAND) -> Tensor:
    """Dynamic time warping distances [A, B] of recordings [A, T, D] and [B, T, D], all pairs at once.

    The least sum of squared Euclidean distances of matched frames over all monotone paths with steps (1, 0),
    (0, 1), (1, 1) that stay within `band` steps of the diagonal.
    """
    pairs = torch.cartesian_prod(torch.arange(len(first)), torch.arange(len(second)))
    at_once = max(1, min(_PAIRS_AT_ONCE, _NUMBERS_AT_ONCE // (first.shape[1] * first.shape[2])))
    parts = [_dtw(first[piece[:, 0]], second[piece[:, 1]], band) for piece in pairs.split(at_once)]
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
