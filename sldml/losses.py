"""Metric losses of pytorch-metric-learning, each with the distance its paper means.

The library's own defaults differ from loss to miner, so the distance is always given.
"""

from __future__ import annotations

from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, LpDistance
from torch import nn

from sldml.config import LossConfig


def build_loss(config: LossConfig, num_classes: int, embedding_dim: int) -> nn.Module:
    """Build the loss: a module that takes (embeddings [N, dim], labels [N], mined indices or None) → scalar.

    Embeddings need not be normalised: every loss does so itself. Margins of triplet and contrastive loss are
    Euclidean distances of normalised embeddings (0 to 2); those of multi-similarity and proxy anchor are
    cosines; ArcFace's is an angle in degrees. A batch without a pair to learn from gives zero, with zero
    gradients.

    Args:
        config: which loss, with which parameters.
        num_classes: how many classes train; labels are 0 to num_classes - 1 (for losses with weights).
        embedding_dim: length of an embedding (for losses with weights).
    """
    distance = distance_of(config)
    options = config.chosen
    loss: nn.Module
    match config.name:
        case "triplet_margin":
            loss = losses.TripletMarginLoss(
                margin=options.margin, swap=options.swap, smooth_loss=options.smooth, distance=distance
            )
        case "multi_similarity":
            loss = losses.MultiSimilarityLoss(
                alpha=options.alpha, beta=options.beta, base=options.base, distance=distance
            )
        case "contrastive":
            loss = losses.ContrastiveLoss(
                pos_margin=options.pos_margin, neg_margin=options.neg_margin, distance=distance
            )
        case "nt_xent":
            loss = losses.NTXentLoss(temperature=options.temperature, distance=distance)
        case "sup_con":
            loss = losses.SupConLoss(temperature=options.temperature, distance=distance)
        case "arcface":
            loss = losses.ArcFaceLoss(
                num_classes, embedding_dim, margin=options.margin_deg, scale=options.scale, distance=distance
            )
        case "proxy_anchor":
            loss = losses.ProxyAnchorLoss(
                num_classes, embedding_dim, margin=options.margin, alpha=options.alpha, distance=distance
            )
    return loss


def distance_of(config: LossConfig) -> BaseDistance:
    """Return what a loss compares embeddings by: L2 of normalised embeddings, or their cosine."""
    match config.name:
        case "triplet_margin" | "contrastive":
            return LpDistance(normalize_embeddings=True, p=2, power=1)
        case _:
            return CosineSimilarity()
