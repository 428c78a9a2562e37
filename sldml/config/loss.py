"""Metric losses and the classification head.

Ranges are wide because published optima are often far from the usual defaults (Musgrave et al., *A Metric
Learning Reality Check*, 2020).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sldml.config.parts import BranchedPart, Part

Distance = Literal["cosine", "l2", "l1", "snr"]

# ------------------------------------------------------------------------------------------- losses over pairs


class Contrastive(Part):
    """Contrastive loss (Hadsell et al., 2006). Margins are Euclidean distances of unit embeddings."""

    pos_margin: float = Field(0.0, ge=0.0, le=2.0)
    neg_margin: float = Field(1.0, gt=0.0, le=2.0)


class MultiSimilarity(Part):
    """Multi-similarity loss (Wang et al., 2019)."""

    alpha: float = Field(2.0, gt=0.0, le=100.0)
    beta: float = Field(50.0, gt=0.0, le=200.0)
    base: float = Field(0.5, ge=-1.0, le=1.0)


class NtXent(Part):
    """Normalised temperature-scaled cross-entropy (Sohn, 2016; Chen et al., 2020)."""

    temperature: float = Field(0.1, gt=0.0, le=10.0)


class SupCon(Part):
    """Supervised contrastive loss (Khosla et al., 2020)."""

    temperature: float = Field(0.1, gt=0.0, le=10.0)


class Nca(Part):
    """Neighbourhood components analysis (Goldberger et al., 2004)."""

    softmax_scale: float = Field(10.0, gt=0.0, le=200.0)


class Circle(Part):
    """Circle loss (Sun et al., 2020)."""

    relaxation: float = Field(0.4, gt=0.0, lt=1.0)
    """The paper's m."""
    scale: float = Field(80.0, gt=0.0, le=1000.0)
    """The paper's gamma."""


class LiftedStructure(Part):
    """Lifted structure loss (Song et al., 2016). Margins as those of `contrastive`."""

    pos_margin: float = Field(0.0, ge=0.0, le=2.0)
    neg_margin: float = Field(1.0, gt=0.0, le=2.0)


class GeneralizedLiftedStructure(Part):
    """Generalised lifted structure loss (Hermans et al., 2017). Margins as those of `contrastive`."""

    pos_margin: float = Field(0.0, ge=0.0, le=2.0)
    neg_margin: float = Field(1.0, gt=0.0, le=2.0)


class IntraPairVariance(Part):
    """Intra-pair variance loss (Yu and Tao, 2019)."""

    pos_eps: float = Field(0.01, ge=0.0, lt=1.0)
    neg_eps: float = Field(0.01, ge=0.0, lt=1.0)


class TupletMargin(Part):
    """Tuplet margin loss (Yu and Tao, 2019)."""

    margin_deg: float = Field(5.73, ge=0.0, le=45.0)
    scale: float = Field(64.0, gt=0.0, le=512.0)


class RankedList(Part):
    """Ranked list loss (Wang et al., 2019): positives within `alpha - margin`, negatives beyond `alpha`."""

    margin: float = Field(0.4, gt=0.0, lt=1.2)
    alpha: float = Field(1.2, ge=1.2, le=2.0)
    """A Euclidean distance of unit embeddings."""
    negative_temperature: float = Field(10.0, ge=0.0, le=50.0)
    imbalance: float = Field(0.5, ge=0.0, le=1.0)


class DynamicSoftMargin(Part):
    """Dynamic soft margin loss (Zhang and Rusinkiewicz, 2019)."""

    num_bins: int = Field(10, ge=2, le=1000)
    momentum: float = Field(0.01, gt=0.0, le=1.0)


class ThresholdConsistentMargin(Part):
    """Threshold-consistent margin loss (Zhang et al., 2023). Margins are cosines."""

    pos_margin: float = Field(0.9, ge=-1.0, le=1.0)
    neg_margin: float = Field(0.5, ge=-1.0, le=1.0)
    neg_weight: float = Field(1.0, gt=0.0, le=10.0)


# ---------------------------------------------------------------------------------------- losses over triplets


class TripletMargin(Part):
    """Triplet margin loss (Schroff et al., 2015)."""

    margin: float = Field(0.2, gt=0.0, le=2.0)
    swap: bool = False
    smooth: bool = False


class Margin(Part):
    """Margin loss (Wu et al., 2017): positives within `beta - margin`, negatives beyond `beta + margin`."""

    margin: float = Field(0.2, gt=0.0, le=1.0)
    beta: float = Field(1.2, gt=0.0, le=2.0)
    """A Euclidean distance of unit embeddings; the initial value if it is learnt."""
    learn_beta: bool = False
    nu: float = Field(0.0, ge=0.0, le=10.0)
    """Weight of beta in the loss, if it is learnt."""


class Angular(Part):
    """Angular loss (Wang et al., 2017)."""

    angle_deg: float = Field(40.0, ge=10.0, le=70.0)


# ------------------------------------------------------------------------- losses over proxies, classifications


class ProxyAnchor(Part):
    """Proxy anchor loss (Kim et al., 2020); has trainable weights."""

    margin: float = Field(0.1, ge=0.0, le=1.0)
    alpha: float = Field(32.0, gt=0.0, le=512.0)


class ProxyNca(Part):
    """Proxy NCA (Movshovitz-Attias et al., 2017; with the scale of Teh et al., 2020); has trainable weights."""

    softmax_scale: float = Field(10.0, gt=0.0, le=200.0)


class SoftTriple(Part):
    """SoftTriple loss (Qian et al., 2019); has trainable weights."""

    centers_per_class: int = Field(5, ge=1, le=50)
    scale: float = Field(20.0, gt=0.0, le=200.0)
    """The paper's lambda."""
    gamma: float = Field(0.1, gt=0.0, le=10.0)
    margin: float = Field(0.01, ge=0.0, le=1.0)


class ArcFace(Part):
    """Additive angular margin (Deng et al., 2019); has trainable weights."""

    margin_deg: float = Field(28.6, ge=0.0, le=80.0)
    scale: float = Field(64.0, gt=0.0, le=512.0)


class CosFace(Part):
    """Additive cosine margin (Wang et al., 2018); has trainable weights."""

    margin: float = Field(0.35, ge=0.0, le=1.0)
    scale: float = Field(64.0, gt=0.0, le=512.0)


class SubCenterArcFace(Part):
    """ArcFace with several centres a class (Deng et al., 2020); has trainable weights."""

    margin_deg: float = Field(28.6, ge=0.0, le=80.0)
    scale: float = Field(64.0, gt=0.0, le=512.0)
    sub_centers: int = Field(3, ge=1, le=20)


class SphereFace(Part):
    """Multiplicative angular margin (Liu et al., 2017); has trainable weights."""

    margin: int = Field(4, ge=1, le=8)
    scale: float = Field(1.0, gt=0.0, le=512.0)


class LargeMarginSoftmax(Part):
    """Large-margin softmax (Liu et al., 2016); has trainable weights."""

    margin: int = Field(4, ge=1, le=8)
    scale: float = Field(1.0, gt=0.0, le=512.0)


class NormalizedSoftmax(Part):
    """Normalised softmax (Zhai and Wu, 2019); has trainable weights."""

    temperature: float = Field(0.05, gt=0.0, le=10.0)


class CrossEntropy(Part):
    """Only the cross-entropy of a linear classifier over the auxiliary classes; has trainable weights."""

    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)


# ---------------------------------------------------------------------------------- losses of average precision


class FastAp(Part):
    """FastAP (Cakir et al., 2019): average precision by histogram binning."""

    num_bins: int = Field(10, ge=2, le=1000)


class SmoothAp(Part):
    """Smooth-AP (Brown et al., 2020): average precision with sigmoids for comparisons."""

    temperature: float = Field(0.01, gt=0.0, le=1.0)


class Pnp(Part):
    """Penalising negative instances before positive ones (Li et al., 2022)."""

    variant: Literal["O", "Ds", "Dq", "Iu", "Ib"] = "O"
    temperature: float = Field(0.01, gt=0.0, le=1.0)


WITH_WEIGHTS = (
    *("proxy_anchor", "proxy_nca", "soft_triple", "arcface", "cosface", "sub_center_arcface", "sphereface"),
    *("large_margin_softmax", "normalized_softmax", "cross_entropy"),
)
"""Losses with trainable weights, in addition to `margin` if its beta is learnt."""

OVER_TRIPLETS = ("triplet_margin", "margin")
OVER_PAIR_MATRICES = ("multi_similarity", "sup_con", "circle", "generalized_lifted_structure")
OVER_PAIR_LISTS = (
    *("contrastive", "nt_xent", "lifted_structure", "intra_pair_variance", "tuplet_margin"),
    *("threshold_consistent_margin", "angular"),
)
"""Losses that accept the pairs or triplets of a miner; in a list, a repeated pair counts twice."""

WITH_MEMORY = (
    *("angular", "circle", "contrastive", "generalized_lifted_structure", "intra_pair_variance", "lifted_structure"),
    *("margin", "multi_similarity", "nca", "nt_xent", "sup_con", "triplet_margin", "tuplet_margin"),
)
"""Losses that can also compare embeddings with those of earlier batches."""

OWN_DISTANCE: dict[str, Distance] = {
    **dict.fromkeys(("contrastive", "triplet_margin", "margin", "nca", "lifted_structure"), "l2"),
    **dict.fromkeys(("generalized_lifted_structure", "ranked_list", "dynamic_soft_margin", "angular"), "l2"),
    **dict.fromkeys(("fast_ap", "proxy_nca"), "l2"),
}
"""The distance in the paper of a loss, if it is not the cosine."""

ANY_DISTANCE = (
    *("contrastive", "triplet_margin", "margin", "multi_similarity", "nt_xent", "sup_con", "nca"),
    *("lifted_structure", "generalized_lifted_structure", "intra_pair_variance"),
)
"""Losses that can use other distances than that of their paper."""


class LossConfig(BranchedPart):
    """The metric loss."""

    name: Literal[
        "contrastive",
        "multi_similarity",
        "nt_xent",
        "sup_con",
        "nca",
        "circle",
        "lifted_structure",
        "generalized_lifted_structure",
        "intra_pair_variance",
        "tuplet_margin",
        "n_pairs",
        "ranked_list",
        "dynamic_soft_margin",
        "threshold_consistent_margin",
        "triplet_margin",
        "margin",
        "angular",
        "proxy_anchor",
        "proxy_nca",
        "soft_triple",
        "arcface",
        "cosface",
        "sub_center_arcface",
        "sphereface",
        "large_margin_softmax",
        "normalized_softmax",
        "cross_entropy",
        "fast_ap",
        "smooth_ap",
        "pnp",
    ] = "multi_similarity"
    distance: Literal["own", "cosine", "l2", "l1", "snr"] = "own"
    """Distance of embeddings; `own` is that of the loss's paper. L2 and L1 are computed on embeddings of unit length in
    that norm; SNR is the signal-to-noise ratio (Yuan et al., 2019)."""
    memory_size: int = Field(0, ge=0, le=1_000_000)
    """Number of embeddings of earlier batches to compare with (cross-batch memory, Wang et al., 2020); 0 is off."""
    proxy_lr: float = Field(1.0e-2, gt=0.0, le=10.0)
    """Learning rate of the weights of the loss (proxies, class centres, a learnt beta)."""
    contrastive: Contrastive | None = None
    multi_similarity: MultiSimilarity | None = None
    nt_xent: NtXent | None = None
    sup_con: SupCon | None = None
    nca: Nca | None = None
    circle: Circle | None = None
    lifted_structure: LiftedStructure | None = None
    generalized_lifted_structure: GeneralizedLiftedStructure | None = None
    intra_pair_variance: IntraPairVariance | None = None
    tuplet_margin: TupletMargin | None = None
    ranked_list: RankedList | None = None
    dynamic_soft_margin: DynamicSoftMargin | None = None
    threshold_consistent_margin: ThresholdConsistentMargin | None = None
    triplet_margin: TripletMargin | None = None
    margin: Margin | None = None
    angular: Angular | None = None
    proxy_anchor: ProxyAnchor | None = None
    proxy_nca: ProxyNca | None = None
    soft_triple: SoftTriple | None = None
    arcface: ArcFace | None = None
    cosface: CosFace | None = None
    sub_center_arcface: SubCenterArcFace | None = None
    sphereface: SphereFace | None = None
    large_margin_softmax: LargeMarginSoftmax | None = None
    normalized_softmax: NormalizedSoftmax | None = None
    cross_entropy: CrossEntropy | None = None
    fast_ap: FastAp | None = None
    smooth_ap: SmoothAp | None = None
    pnp: Pnp | None = None

    @model_validator(mode="after")
    def _distance_and_memory_are_allowed(self) -> Self:
        own = OWN_DISTANCE.get(self.name, "cosine")
        if self.distance not in ("own", own) and self.name not in ANY_DISTANCE:
            raise ValueError(f"{self.name!r} does not support distance {self.distance!r}, only {own!r}")
        if self.memory_size and self.name not in WITH_MEMORY:
            raise ValueError(f"{self.name!r} does not support memory_size; supported by {', '.join(WITH_MEMORY)}")
        return self

    @property
    def has_weights(self) -> bool:
        """Whether the loss has trainable weights, which need an optimiser."""
        return self.name in WITH_WEIGHTS or (self.margin is not None and self.margin.learn_beta)

    @property
    def takes_tuples(self) -> bool:
        """Whether the loss accepts pairs or triplets from a miner."""
        return self.name in OVER_TRIPLETS + OVER_PAIR_MATRICES + OVER_PAIR_LISTS

    @property
    def compares_by(self) -> Distance:
        """The distance, with `own` resolved."""
        return OWN_DISTANCE.get(self.name, "cosine") if self.distance == "own" else self.distance


class HeadConfig(Part):
    """A linear classifier over the auxiliary classes on top of the embedding, trained by cross-entropy."""

    weight: float = Field(0.0, ge=0.0, le=1.0)
    """Weight of the cross-entropy in the total loss; the metric loss has 1 - weight. 0 disables the head."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
