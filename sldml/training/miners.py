"""Miners: they select the pairs or triplets of a batch for a loss over tuples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sldml.config.loss import OVER_PAIR_LISTS, LossConfig
from sldml.config.miner import MinerConfig
from sldml.training.losses import as_cosine, distance_of
from sldml.training.metric_learning import get_random_triplet_indices, miners

Miner = Callable[..., tuple[Tensor, ...]]
"""(embeddings [N, dim], labels [N]) → triplets (anchors, positives, negatives) or pairs (anchors, positives,
anchors, negatives), each a list of positions in the batch."""


def build_miner(config: MinerConfig, loss: LossConfig) -> Miner | None:
    """Build the miner of a loss; None for all pairs.

    The miner measures with the loss's own distance unless `config.distance` says otherwise, so `margin` and
    `epsilon` are Euclidean distances before a loss that compares by L2 and cosines before one that compares by
    cosines; the margins of `pair_margin` are Euclidean distances always. Losses over lists of pairs get
    each pair of the mined triplets once.

    Raises:
        ValueError: the loss takes no tuples.
    """
    if config.name == "none":
        return None
    if not loss.takes_tuples:
        raise ValueError(f"miner.name {config.name!r} needs a loss over tuples, not {loss.name!r}")
    compares_by = config.compares_by(loss)
    distance, o = distance_of(compares_by), config.chosen
    miner: Miner
    match config.name:
        case "triplet_margin":
            miner = miners.TripletMarginMiner(margin=o.margin, type_of_triplets=o.type_of_triplets, distance=distance)
        case "multi_similarity":
            miner = miners.MultiSimilarityMiner(epsilon=o.epsilon, distance=distance)
        case "batch_hard":
            miner = miners.BatchHardMiner(distance=distance)
        case "batch_easy_hard":
            miner = miners.BatchEasyHardMiner(pos_strategy=o.positives, neg_strategy=o.negatives, distance=distance)
        case "pair_margin":
            pos, neg = (as_cosine(m) if compares_by == "cosine" else m for m in (o.pos_margin, o.neg_margin))
            miner = miners.PairMarginMiner(pos_margin=pos, neg_margin=neg, distance=distance)
        case "hdc":
            miner = miners.HDCMiner(filter_percentage=o.share, distance=distance)
        case "angular":
            miner = miners.AngularMiner(angle=o.angle_deg, distance=distance)
        case "distance_weighted":
            miner = DistanceWeightedMiner(cutoff=o.cutoff, nonzero_loss_cutoff=o.nonzero_loss_cutoff, distance=distance)
        case "uniform_histogram":
            miner = miners.UniformHistogramMiner(
                num_bins=o.num_bins, pos_per_bin=o.pairs_per_bin, neg_per_bin=o.pairs_per_bin, distance=distance
            )
    return UniquePairs(miner) if loss.name in OVER_PAIR_LISTS else miner


class DistanceWeightedMiner(miners.DistanceWeightedMiner):  # type: ignore[misc]
    """The library's miner with weights that are normalised for each anchor over the negatives it may draw.

    The library's own are relative to the largest weight of all pairs, also of those beyond the cutoff: in many
    dimensions all others underflow to zero, and few or no triplets are drawn.
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> tuple[Tensor, ...]:
        """As the library's."""
        dim = embeddings.shape[1]
        distance = self.distance(embeddings, ref_emb).clamp(min=self.cutoff)
        # Minus the log-density of distances on a sphere: the first equation of the paper's section 4.
        log_weights = (2 - dim) * distance.log() - (dim - 3) / 2 * (1 - distance**2 / 4).log()
        allowed = labels.unsqueeze(1) != ref_labels.unsqueeze(0)
        allowed &= (distance < self.nonzero_loss_cutoff) & log_weights.isfinite()
        # Rows of anchors without such a negative would be NaN; none is drawn for them.
        weights = log_weights.masked_fill(~allowed, -torch.inf).softmax(dim=1).nan_to_num(0.0)
        triplets: tuple[Tensor, ...] = get_random_triplet_indices(labels, ref_labels=ref_labels, weights=weights)
        return triplets


class UniquePairs:
    """A miner's triplets as pairs, each once.

    A pair is part of many triplets. Repeated pairs would count several times, and the memory of NT-Xent, which compares
    every positive with every negative, would grow with the square of the number of triplets.
    """

    def __init__(self, miner: Miner) -> None:
        self.miner = miner

    def __call__(
        self, embeddings: Tensor, labels: Tensor, others: Tensor | None = None, other_labels: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Mine pairs (anchors, positives, anchors, negatives): positions in the batch, and among the others."""
        mined = self.miner(embeddings, labels, others, other_labels)
        if len(mined) == 4:
            return mined
        anchors, positives, negatives = mined
        size = len(embeddings if others is None else others)
        return *_unique_pairs(anchors, positives, size), *_unique_pairs(anchors, negatives, size)


def _unique_pairs(first: Tensor, second: Tensor, size: int) -> tuple[Tensor, Tensor]:
    pairs = torch.unique(first * size + second)
    return pairs // size, pairs % size
