"""Miners: which pairs or triplets of a batch a loss over tuples sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pytorch_metric_learning import miners
from torch import Tensor

from sldml.config import LossConfig, MinerConfig
from sldml.losses import distance_of

Miner = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""(embeddings [N, dim], labels [N]) → triplets (anchors, positives, negatives) or pairs (anchors, positives,
anchors, negatives), each a list of positions in the batch."""


def build_miner(config: MinerConfig, loss: LossConfig) -> Miner | None:
    """Build the miner to put before a loss, or None where the loss shall see all pairs.

    The miner measures with the loss's own distance, so `margin` and `epsilon` are Euclidean distances before
    triplet and contrastive loss and cosines before the others. Losses that are a sum over pairs (contrastive,
    NT-Xent) get each pair of the mined triplets once.

    Raises:
        ValueError: the loss has weights of its own and takes no tuples.
    """
    if config.name == "none":
        return None
    if not loss.takes_tuples:
        raise ValueError(f"miner.name {config.name!r} needs a loss over tuples, not {loss.name!r}")
    distance = distance_of(loss)
    options = config.chosen
    miner: Miner
    match config.name:
        case "triplet_margin":
            miner = miners.TripletMarginMiner(
                margin=options.margin, type_of_triplets=options.type_of_triplets, distance=distance
            )
        case "multi_similarity":
            miner = miners.MultiSimilarityMiner(epsilon=options.epsilon, distance=distance)
        case "batch_hard":
            miner = miners.BatchHardMiner(distance=distance)
    return UniquePairs(miner) if loss.name in ("contrastive", "nt_xent") else miner


class UniquePairs:
    """A miner's triplets as pairs, each once.

    A pair is part of as many triplets as it has counterparts. Repeated, it would count as often, and NT-Xent,
    which compares every positive with every negative, would take memory with the square of the triplets.
    """

    def __init__(self, miner: Miner) -> None:
        self.miner = miner

    def __call__(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """Mine pairs (anchors, positives, anchors, negatives) of positions in the batch."""
        mined = self.miner(embeddings, labels)
        if len(mined) == 4:
            return mined
        anchors, positives, negatives = mined
        size = len(embeddings)
        return *_unique_pairs(anchors, positives, size), *_unique_pairs(anchors, negatives, size)


def _unique_pairs(first: Tensor, second: Tensor, size: int) -> tuple[Tensor, Tensor]:
    pairs = torch.unique(first * size + second)
    return pairs // size, pairs % size
