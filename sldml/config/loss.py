"""Metric losses, miners and the classifier beside them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.parts import Choice, Part


class TripletMargin(Part):
    """Triplet margin loss (Schroff et al., 2015)."""

    margin: float = Field(0.2, gt=0.0, le=2.0)
    swap: bool = False
    smooth: bool = False


class MultiSimilarity(Part):
    """Multi-similarity loss (Wang et al., 2019)."""

    alpha: float = Field(2.0, gt=0.0, le=100.0)
    beta: float = Field(50.0, gt=0.0, le=200.0)
    base: float = Field(0.5, ge=-1.0, le=1.0)


class Contrastive(Part):
    """Contrastive loss (Hadsell et al., 2006) on L2 distances of normalised embeddings."""

    pos_margin: float = Field(0.0, ge=0.0, le=2.0)
    neg_margin: float = Field(1.0, gt=0.0, le=2.0)


class NtXent(Part):
    """Normalised temperature-scaled cross-entropy (Sohn, 2016; Chen et al., 2020)."""

    temperature: float = Field(0.1, gt=0.0, le=10.0)


class SupCon(Part):
    """Supervised contrastive loss (Khosla et al., 2020)."""

    temperature: float = Field(0.1, gt=0.0, le=10.0)


class ArcFace(Part):
    """Additive angular margin (Deng et al., 2019); has weights of its own."""

    margin_deg: float = Field(28.6, ge=0.0, le=80.0)
    scale: float = Field(64.0, gt=0.0, le=512.0)


class ProxyAnchor(Part):
    """Proxy anchor loss (Kim et al., 2020); has weights of its own."""

    margin: float = Field(0.1, ge=0.0, le=1.0)
    alpha: float = Field(32.0, gt=0.0, le=512.0)


class LossConfig(Choice):
    """The metric loss."""

    name: Literal[
        "triplet_margin", "multi_similarity", "contrastive", "nt_xent", "sup_con", "arcface", "proxy_anchor"
    ] = "multi_similarity"
    proxy_lr: float = Field(1.0e-2, gt=0.0, le=10.0)
    """Learning rate of the weights that the loss itself has (ArcFace, ProxyAnchor)."""
    triplet_margin: TripletMargin | None = None
    multi_similarity: MultiSimilarity | None = None
    contrastive: Contrastive | None = None
    nt_xent: NtXent | None = None
    sup_con: SupCon | None = None
    arcface: ArcFace | None = None
    proxy_anchor: ProxyAnchor | None = None

    @property
    def has_weights(self) -> bool:
        """Whether the loss has weights that must be trained, so it needs an optimiser of its own."""
        return self.name in ("arcface", "proxy_anchor")

    @property
    def takes_tuples(self) -> bool:
        """Whether the loss works on mined pairs or triplets, so a miner can be put before it."""
        return not self.has_weights


class TripletMarginMiner(Part):
    """Keeps triplets that violate the margin."""

    margin: float = Field(0.2, ge=0.0, le=2.0)
    type_of_triplets: Literal["all", "hard", "semihard"] = "all"


class MultiSimilarityMiner(Part):
    """Keeps pairs harder than the hardest opposite pair, less epsilon (Wang et al., 2019)."""

    epsilon: float = Field(0.1, ge=0.0, le=2.0)


class MinerConfig(Choice):
    """Which pairs or triplets of a batch the loss sees."""

    name: Literal["none", "triplet_margin", "multi_similarity", "batch_hard"] = "none"
    triplet_margin: TripletMarginMiner | None = None
    multi_similarity: MultiSimilarityMiner | None = None


class HeadConfig(Part):
    """A linear classifier over the auxiliary classes on top of the embedding, trained by cross-entropy."""

    weight: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the cross-entropy in the total loss; the metric loss has the rest. 0 leaves the head out."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
