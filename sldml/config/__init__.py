"""The configuration of one trial: frozen, checked, and spelled the same everywhere.

A key in YAML, a path into `TrialConfig`, an MLflow parameter and an Optuna name are one dotted word. A part
with branches (`Choice`) names its branch in `name` and keeps that branch's parameters under the branch's own
name, so `loss.name = triplet_margin` goes with `loss.triplet_margin.margin`. Parameters that all branches
share (`optimizer.lr`) lie beside `name`.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from sldml.config.data import DataConfig, Ntu120Data, SyntheticData, UtdMhadData
from sldml.config.encoder import EncoderConfig, ResNet18, SmallCnn
from sldml.config.images import AugmentConfig, NormalizeConfig, RepresentationConfig, SwapAxes
from sldml.config.loss import (
    ArcFace,
    Contrastive,
    HeadConfig,
    LossConfig,
    MinerConfig,
    MultiSimilarity,
    MultiSimilarityMiner,
    NtXent,
    ProxyAnchor,
    SupCon,
    TripletMargin,
    TripletMarginMiner,
)
from sldml.config.protocol import NtuOneShot, ProtocolConfig, UtdMhadOneShot
from sldml.config.training import (
    AdamW,
    BatchConfig,
    Cosine,
    EvaluationConfig,
    OptimizerConfig,
    RmsProp,
    ScheduleConfig,
    Step,
    TrainConfig,
)
from sldml.dotted import flatten
from sldml.parts import Part

__all__ = [
    "AdamW",
    "ArcFace",
    "AugmentConfig",
    "BatchConfig",
    "Contrastive",
    "Cosine",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "HeadConfig",
    "LossConfig",
    "MinerConfig",
    "MultiSimilarity",
    "MultiSimilarityMiner",
    "NormalizeConfig",
    "NtXent",
    "Ntu120Data",
    "NtuOneShot",
    "OptimizerConfig",
    "ProtocolConfig",
    "ProxyAnchor",
    "RepresentationConfig",
    "ResNet18",
    "RmsProp",
    "ScheduleConfig",
    "SmallCnn",
    "Step",
    "SupCon",
    "SwapAxes",
    "SyntheticData",
    "TrainConfig",
    "TrialConfig",
    "TripletMargin",
    "TripletMarginMiner",
    "UtdMhadData",
    "UtdMhadOneShot",
]


class TrialConfig(Part):
    """Everything that decides what one training does and how it is measured."""

    data: DataConfig = SyntheticData()
    protocol: ProtocolConfig = NtuOneShot()
    normalize: NormalizeConfig = NormalizeConfig()
    augment: AugmentConfig = AugmentConfig()
    representation: RepresentationConfig = RepresentationConfig()
    encoder: EncoderConfig = EncoderConfig()
    loss: LossConfig = LossConfig()
    miner: MinerConfig = MinerConfig()
    head: HeadConfig = HeadConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    batch: BatchConfig = BatchConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _miner_needs_tuples(self) -> Self:
        if self.miner.name != "none" and not self.loss.takes_tuples:
            raise ValueError(f"miner.name {self.miner.name!r} needs a loss over tuples, not {self.loss.name!r}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, branches that are not chosen left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def dotted(self) -> dict[str, Any]:
        """The same as one flat mapping from dotted path to value."""
        return dict(flatten(self.to_dict()))
