"""Metric losses of pytorch-metric-learning, each with an explicit distance.

The library's default distances differ between losses and miners.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sldml.config.loss import Distance, LossConfig
from sldml.training.metric_learning import distances, losses


def build_loss(config: LossConfig, num_classes: int, embedding_dim: int) -> nn.Module:
    """Build the loss: a module that takes (embeddings [N, dim], labels [N], mined indices or None) → scalar.

    Losses normalise embeddings themselves, except `cross_entropy`, `sphereface` and `large_margin_softmax`, which use
    their length. Margins that are distances are Euclidean distances of unit embeddings (0 to 2); they are converted for
    a loss over cosines. The margin of the triplet margin loss is a difference, in the units of its distance. A batch
    without pairs to learn from has a loss of zero with zero gradients.

    Args:
        config: The loss and its parameters. Its memory is added by `with_memory`.
        num_classes: Number of training classes; labels are 0 to num_classes - 1 (for losses with weights).
        embedding_dim: Length of an embedding (for losses with weights).
    """
    if config.name in ("multi_similarity", "nt_xent", "sup_con", "nca", "circle", "intra_pair_variance", "n_pairs"):
        return _over_pairs(config)
    if config.has_weights and config.name != "margin":
        return _with_weights(config, num_classes, embedding_dim)
    distance, o = distance_of(config.compares_by), config.chosen
    loss: nn.Module
    match config.name:
        case "contrastive":
            margins = _margins(o.pos_margin, o.neg_margin, config.compares_by)
            loss = losses.ContrastiveLoss(*margins, distance=distance)
        case "lifted_structure":
            pos, neg = _margins(o.pos_margin, o.neg_margin, config.compares_by)
            loss = losses.LiftedStructureLoss(neg_margin=neg, pos_margin=pos, distance=distance)
        case "generalized_lifted_structure":
            pos, neg = _margins(o.pos_margin, o.neg_margin, config.compares_by)
            loss = losses.GeneralizedLiftedStructureLoss(neg_margin=neg, pos_margin=pos, distance=distance)
        case "tuplet_margin":
            loss = TupletMarginLoss(margin=o.margin_deg, scale=o.scale, distance=distance)
        case "ranked_list":
            options = {"Tn": o.negative_temperature, "imbalance": o.imbalance, "alpha": o.alpha}
            with warnings.catch_warnings():  # of temperatures beyond 5; the paper's own is 10
                warnings.simplefilter("ignore")
                loss = losses.RankedListLoss(margin=o.margin, distance=distance, **options)
        case "dynamic_soft_margin":
            loss = DynamicSoftMargin(num_bins=o.num_bins, momentum=o.momentum, distance=distance)
        case "threshold_consistent_margin":
            loss = losses.ThresholdConsistentMarginLoss(
                lambda_minus=o.neg_weight, margin_plus=o.pos_margin, margin_minus=o.neg_margin, distance=distance
            )
        case "triplet_margin":
            loss = losses.TripletMarginLoss(margin=o.margin, swap=o.swap, smooth_loss=o.smooth, distance=distance)
        case "margin":
            beta = _margins(o.beta, o.beta, config.compares_by)[0]
            loss = losses.MarginLoss(o.margin, o.nu, beta, learn_beta=o.learn_beta, distance=distance)
        case "angular":
            loss = AngularLoss(alpha=o.angle_deg, distance=distance)
        case "fast_ap":
            loss = losses.FastAPLoss(num_bins=o.num_bins, distance=distances.LpDistance(power=2))
        case "smooth_ap":
            loss = SmoothAp(o.temperature)
        case "pnp":
            loss = losses.PNPLoss(variant=o.variant, anneal=o.temperature, distance=distance)
        case name:
            raise ValueError(f"no loss is called {name!r}")
    return loss


def _over_pairs(config: LossConfig) -> nn.Module:
    distance, o = distance_of(config.compares_by), config.chosen
    loss: nn.Module
    match config.name:
        case "multi_similarity":
            loss = losses.MultiSimilarityLoss(alpha=o.alpha, beta=o.beta, base=o.base, distance=distance)
        case "nt_xent":
            loss = losses.NTXentLoss(temperature=o.temperature, distance=distance)
        case "sup_con":
            loss = losses.SupConLoss(temperature=o.temperature, distance=distance)
        case "nca":
            # The paper's distance is squared.
            squared = distances.LpDistance(power=2) if config.compares_by == "l2" else distance
            loss = NCALoss(softmax_scale=o.softmax_scale, distance=squared)
        case "circle":
            loss = losses.CircleLoss(m=o.relaxation, gamma=o.scale, distance=distance)
        case "intra_pair_variance":
            loss = losses.IntraPairVarianceLoss(pos_eps=o.pos_eps, neg_eps=o.neg_eps, distance=distance)
        case _:
            loss = losses.NPairsLoss(distance=distance)
    return loss


def _with_weights(config: LossConfig, num_classes: int, embedding_dim: int) -> nn.Module:
    sizes = {"num_classes": num_classes, "embedding_size": embedding_dim}
    distance, o = distance_of(config.compares_by), config.chosen
    loss: nn.Module
    match config.name:
        case "proxy_anchor":
            loss = losses.ProxyAnchorLoss(**sizes, margin=o.margin, alpha=o.alpha, distance=distance)
        case "proxy_nca":
            loss = ProxyNCALoss(**sizes, softmax_scale=o.softmax_scale, distance=distances.LpDistance(power=2))
        case "soft_triple":
            loss = losses.SoftTripleLoss(
                **sizes,
                centers_per_class=o.centers_per_class,
                la=o.scale,
                gamma=o.gamma,
                margin=o.margin,
                distance=distance,
            )
        case "arcface":
            loss = losses.ArcFaceLoss(**sizes, margin=o.margin_deg, scale=o.scale, distance=distance)
        case "cosface":
            loss = losses.CosFaceLoss(**sizes, margin=o.margin, scale=o.scale, distance=distance)
        case "sub_center_arcface":
            loss = losses.SubCenterArcFaceLoss(
                **sizes, margin=o.margin_deg, scale=o.scale, sub_centers=o.sub_centers, distance=distance
            )
        case "sphereface":
            loss = losses.SphereFaceLoss(**sizes, margin=o.margin, scale=o.scale, distance=distance)
        case "large_margin_softmax":
            loss = losses.LargeMarginSoftmaxLoss(**sizes, margin=o.margin, scale=o.scale, distance=distance)
        case "normalized_softmax":
            loss = losses.NormalizedSoftmaxLoss(**sizes, temperature=o.temperature, distance=distance)
        case _:
            loss = CrossEntropy(num_classes, embedding_dim, o.label_smoothing)
    return loss


def distance_of(name: Distance) -> distances.BaseDistance:
    """Return a distance of normalised embeddings by its name."""
    match name:
        case "cosine":
            return distances.CosineSimilarity()
        case "l2":
            return distances.LpDistance(normalize_embeddings=True, p=2, power=1)
        case "l1":
            return distances.LpDistance(normalize_embeddings=True, p=1, power=1)
        case "snr":
            return SnrDistance()


def as_cosine(distance: float) -> float:
    """The cosine of two unit vectors whose Euclidean distance is given (0 to 2)."""
    return 1.0 - distance**2 / 2


def _margins(pos: float, neg: float, compares_by: Distance) -> tuple[float, float]:
    return (as_cosine(pos), as_cosine(neg)) if compares_by == "cosine" else (pos, neg)


class SnrDistance(distances.SNRDistance):  # type: ignore[misc]
    """The library's distance, but finite for an anchor whose values are all equal: its variance has a lower bound.

    A unit vector of `dim` values with mean 0 has the variance 1 / (dim - 1); the bound is far below, up to 4096 values.
    """

    smallest_variance = 1e-6

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Distances of anchors [N, dim] to others [M, dim] → [N, M]."""
        noise = torch.var(query_emb.unsqueeze(1) - ref_emb, dim=2)
        return noise / self._variance(query_emb).unsqueeze(1)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Distances of anchors [N, dim] to one other each [N, dim] → [N]."""
        return torch.var(query_emb - ref_emb, dim=1) / self._variance(query_emb)

    def _variance(self, anchors: Tensor) -> Tensor:
        return torch.var(anchors, dim=1).clamp(min=self.smallest_variance)


class NCALoss(losses.NCALoss):  # type: ignore[misc]
    """The library's loss, computed from the logarithms of its probabilities.

    At a large softmax scale the probabilities underflow: the library leaves out the recordings farthest from their
    class and gives NaN as the gradient of others. It also counts an embedding in a memory as its own neighbour.
    """

    def nca_computation(
        self, query: Tensor, reference: Tensor, query_labels: Tensor, reference_labels: Tensor, indices_tuple: Any
    ) -> Any:
        """Minus the log-probability of each query that has a neighbour of its class; zero if none has."""
        similarity = self.distance(query, reference)
        scores = self.softmax_scale * (similarity if self.distance.is_inverted else -similarity)
        same = query_labels.unsqueeze(1) == reference_labels.unsqueeze(0)
        if query is reference:
            neighbour = ~torch.eye(len(query), dtype=torch.bool, device=query.device)
        elif indices_tuple is None:  # proxies
            neighbour = torch.ones_like(same)
        else:  # a memory, which gives all pairs without those of an embedding with itself
            anchors, positives, others, negatives = indices_tuple
            neighbour = torch.zeros_like(same)
            neighbour[anchors, positives] = True
            neighbour[others, negatives] = True
        same &= neighbour
        rows = same.any(dim=1)
        if not rows.any():
            return self.zero_losses()
        of_all = scores.masked_fill(~neighbour, -math.inf)[rows].logsumexp(dim=1)
        of_own = scores.masked_fill(~same, -math.inf)[rows].logsumexp(dim=1)
        indices = torch.nonzero(rows).flatten()
        return {"loss": {"losses": of_all - of_own, "indices": indices, "reduction_type": "element"}}


class ProxyNCALoss(losses.ProxyNCALoss, NCALoss):  # type: ignore[misc]
    """The library's loss with the same logarithms."""


class AngularLoss(losses.AngularLoss):  # type: ignore[misc]
    """The library's loss over unit embeddings, as in its paper."""

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Any, ref_emb: Any, ref_labels: Any
    ) -> Any:
        """As the library's."""
        unit = functional.normalize(embeddings, dim=1)
        others = unit if ref_emb is embeddings else functional.normalize(ref_emb, dim=1)
        return super().compute_loss(unit, labels, indices_tuple, others, ref_labels)


class TupletMarginLoss(losses.TupletMarginLoss):  # type: ignore[misc]
    """The library's loss with cosines clamped below one, where the angle has no gradient (NaN for equal embeddings)."""

    def _compute_loss(self, pos_pairs: Tensor, neg_pairs: Tensor, indices_tuple: Any) -> Any:
        edge = 1.0 - 1e-6
        if isinstance(pos_pairs, Tensor):  # an empty list where there is none
            pos_pairs = pos_pairs.clamp(-edge, edge)
        return super()._compute_loss(pos_pairs, neg_pairs, indices_tuple)


class DynamicSoftMargin(losses.DynamicSoftMarginLoss):  # type: ignore[misc]
    """The library's loss with another histogram, which is in the state so that training resumes exactly.

    The library's fails in the second step (it keeps the graph of the first) and on differences of distances in the
    last bin, which are frequent where embeddings have few dimensions or the bins are few. As in the paper, the
    histogram has no gradient.
    """

    hist_: Tensor

    def update_histogram(self, data: Tensor) -> None:
        """Add differences of distances [N] to the running histogram, each shared between two neighbouring bins."""
        position = self._position(data)
        lower = position.floor()
        share = position - lower
        momentum = self.momentum if self.hist_.any() else 1.0
        histogram = (1.0 - momentum) * self.hist_
        bins = lower.long()
        histogram = histogram.scatter_add(0, bins, momentum * (1.0 - share))
        histogram = histogram.scatter_add(0, (bins + 1).clamp(max=self.num_bins - 1), momentum * share)
        self.hist_ = histogram / histogram.sum()

    def weigh_loss(self, data: Tensor) -> Tensor:
        """Differences of distances [N] times the cumulative histogram at each."""
        return self.hist_.cumsum(0)[self._position(data).long()] * data

    def _position(self, data: Tensor) -> Tensor:
        """Where each difference is in the histogram, in bins."""
        position: Tensor = (data.detach() - self.min_val) / self.delta
        return position.clamp(0, self.num_bins - 1)

    def get_extra_state(self) -> Tensor:
        """The running histogram."""
        return self.hist_

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the histogram."""
        self.hist_ = state


class SmoothAp(nn.Module):
    """Smooth-AP (Brown et al., 2020, https://arxiv.org/abs/2007.12163): one minus the mean average precision.

    Comparisons of similarities are sigmoids. (The library's own takes the number of recordings of a class for the
    number of classes, which is right only if both are the same.)
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        """Embeddings [N, dim], labels [N] → scalar; recordings alone of their class are left out."""
        unit = functional.normalize(embeddings, dim=1)
        similarity = unit @ unit.T
        size = len(labels)
        other = ~torch.eye(size, dtype=torch.bool, device=labels.device)
        positive = (labels.unsqueeze(0) == labels.unsqueeze(1)) & other
        # before[q, i, j]: how far j stands before i in the ranking of query q.
        before = torch.sigmoid((similarity.unsqueeze(1) - similarity.unsqueeze(2)) / self.temperature)
        before = before * (other.unsqueeze(1) & other.unsqueeze(0))
        rank = 1 + before.sum(dim=2)
        rank_among_positives = 1 + (before * positive.unsqueeze(1)).sum(dim=2)
        precision = (rank_among_positives / rank * positive).sum(dim=1)
        queries = positive.any(dim=1)
        if not queries.any():
            return embeddings.sum() * 0.0
        return 1 - (precision[queries] / positive[queries].sum(dim=1)).mean()


class CrossEntropy(nn.Module):
    """A linear classifier over the embedding and its cross-entropy."""

    def __init__(self, num_classes: int, embedding_dim: int, label_smoothing: float) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, num_classes)
        self.label_smoothing = label_smoothing

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        """Embeddings [N, dim], labels [N] → scalar."""
        logits = self.classifier(functional.relu(embeddings))
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


class Memory(losses.CrossBatchMemory):  # type: ignore[misc]
    """Cross-batch memory (Wang et al., 2020) with its fill level in the state, so that training resumes exactly."""

    def get_extra_state(self) -> dict[str, Any]:
        """The fill level of the memory."""
        return {"queue_idx": self.queue_idx, "has_been_filled": self.has_been_filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the fill level."""
        self.queue_idx, self.has_been_filled = state["queue_idx"], state["has_been_filled"]


def with_memory(loss: nn.Module, config: LossConfig, embedding_dim: int, batch_size: int, miner: Any) -> nn.Module:
    """Add a memory of `config.memory_size` embeddings to a loss, but at least of one batch; the miner mines in it."""
    size = max(config.memory_size, batch_size)
    # A multiple of the batch, so that no batch wraps around the end of the memory.
    return Memory(loss, embedding_dim, memory_size=math.ceil(size / batch_size) * batch_size, miner=miner)
