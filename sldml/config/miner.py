"""Miners: the pairs or triplets of a batch that are passed to the loss."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sldml.config.loss import Distance, LossConfig
from sldml.config.parts import BranchedPart, Part


class TripletMarginMiner(Part):
    """Keeps triplets that violate the margin."""

    margin: float = Field(0.2, ge=0.0, le=2.0)
    type_of_triplets: Literal["all", "hard", "semihard", "easy"] = "all"


class MultiSimilarityMiner(Part):
    """Keeps pairs harder than the hardest opposite pair minus epsilon (Wang et al., 2019)."""

    epsilon: float = Field(0.1, ge=0.0, le=2.0)


class BatchEasyHardMiner(Part):
    """One triplet of a given hardness for each anchor (Xuan et al., 2020)."""

    positives: Literal["easy", "hard"] = "easy"
    negatives: Literal["semihard", "hard", "easy"] = "semihard"


class PairMarginMiner(Part):
    """Keeps positives farther and negatives nearer than a margin, in Euclidean distances of unit embeddings."""

    pos_margin: float = Field(0.2, ge=0.0, le=2.0)
    neg_margin: float = Field(0.8, ge=0.0, le=2.0)


class HdcMiner(Part):
    """Keeps the hardest share of pairs (Yuan et al., 2017)."""

    share: float = Field(0.5, gt=0.0, le=1.0)


class AngularMiner(Part):
    """Keeps triplets whose angle at the negative is larger (Wang et al., 2017); by Euclidean distances."""

    angle_deg: float = Field(20.0, ge=0.0, le=90.0)


class DistanceWeightedMiner(Part):
    """Draws negatives evenly over distances (Wu et al., 2017); by Euclidean distances."""

    cutoff: float = Field(0.5, gt=0.0, lt=1.4)
    nonzero_loss_cutoff: float = Field(1.4, gt=0.0, le=2.0)


class UniformHistogramMiner(Part):
    """Draws the same number of pairs from each bin of the distances."""

    num_bins: int = Field(20, ge=2, le=1000)
    pairs_per_bin: int = Field(10, ge=1, le=1000)


BY_EUCLIDEAN_DISTANCE = ("angular", "distance_weighted")
"""Miners that are defined only for Euclidean distances of unit embeddings."""


class MinerConfig(BranchedPart):
    """The selection of pairs or triplets that are passed to the loss."""

    name: Literal[
        "none",
        "triplet_margin",
        "multi_similarity",
        "batch_hard",
        "batch_easy_hard",
        "pair_margin",
        "hdc",
        "angular",
        "distance_weighted",
        "uniform_histogram",
    ] = "none"
    distance: Literal["as_loss", "cosine", "l2", "l1", "snr"] = "as_loss"
    """The miner's distance; `angular` and `distance_weighted` always use L2."""
    triplet_margin: TripletMarginMiner | None = None
    multi_similarity: MultiSimilarityMiner | None = None
    batch_easy_hard: BatchEasyHardMiner | None = None
    pair_margin: PairMarginMiner | None = None
    hdc: HdcMiner | None = None
    angular: AngularMiner | None = None
    distance_weighted: DistanceWeightedMiner | None = None
    uniform_histogram: UniformHistogramMiner | None = None

    @model_validator(mode="after")
    def _distance_is_allowed(self) -> Self:
        if self.name in BY_EUCLIDEAN_DISTANCE and self.distance not in ("as_loss", "l2"):
            raise ValueError(f"{self.name!r} does not support distance {self.distance!r}, only 'l2'")
        return self

    def compares_by(self, loss: LossConfig) -> Distance:
        """The distance for a given loss, with `as_loss` resolved."""
        if self.name in BY_EUCLIDEAN_DISTANCE:
            return "l2"
        return loss.compares_by if self.distance == "as_loss" else self.distance
