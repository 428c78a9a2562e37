"""The configuration of one trial: frozen, checked, with the same names everywhere.

A key in YAML, a path into `TrialConfig`, an MLflow parameter and an Optuna parameter have the same dotted name. A
`BranchedPart` selects its branch by `name` and has that branch's parameters under the branch's name:
`loss.name = triplet_margin` goes with `loss.triplet_margin.margin`. Parameters shared by all branches (`optimizer.lr`)
are next to `name`.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from sldml.config.data import (
    DataConfig,
    ImageFolderData,
    ManifestData,
    Ntu120Data,
    SimitateData,
    SyntheticData,
    UtdMhadData,
)
from sldml.config.dotted import ConfigTree, flatten
from sldml.config.encoder import (
    EncoderConfig,
    PoolingConfig,
    SignalAttention,
    SmallCnn,
    Takes,
    TemporalCnn,
    TimePooling,
    Torchvision,
    VitTiny,
)
from sldml.config.loss import (
    Angular,
    ArcFace,
    Circle,
    Contrastive,
    CosFace,
    CrossEntropy,
    DynamicSoftMargin,
    FastAp,
    GeneralizedLiftedStructure,
    HeadConfig,
    IntraPairVariance,
    LargeMarginSoftmax,
    LiftedStructure,
    LossConfig,
    Margin,
    MultiSimilarity,
    Nca,
    NormalizedSoftmax,
    NtXent,
    Pnp,
    ProxyAnchor,
    ProxyNca,
    RankedList,
    SmoothAp,
    SoftTriple,
    SphereFace,
    SubCenterArcFace,
    SupCon,
    ThresholdConsistentMargin,
    TripletMargin,
    TupletMargin,
)
from sldml.config.matcher import Alignment, MatcherConfig
from sldml.config.miner import (
    AngularMiner,
    BatchEasyHardMiner,
    DistanceWeightedMiner,
    HdcMiner,
    MinerConfig,
    MultiSimilarityMiner,
    PairMarginMiner,
    TripletMarginMiner,
    UniformHistogramMiner,
)
from sldml.config.parts import Part
from sldml.config.protocol import (
    ExemplarConfig,
    FoldValidation,
    ImageFolderOneShot,
    NtuOneShot,
    OneShot,
    ProtocolConfig,
    SimitateOneShot,
    UtdMhadInterJoint,
    UtdMhadInterSensor,
    UtdMhadOneShot,
    ValidationConfig,
)
from sldml.config.recording_format import RecordingFormat, SkeletonFormat, TextFormat
from sldml.config.representation import (
    AugmentConfig,
    ImageAugment,
    Magnitude,
    NormalizeConfig,
    Orientation,
    Reindexed,
    RepresentationConfig,
    SignalCurves,
    SwapAxes,
    Tsrji,
)
from sldml.config.training import (
    AdamW,
    BatchConfig,
    Cosine,
    EvaluationConfig,
    Exponential,
    Linear,
    OptimizerConfig,
    RmsProp,
    ScheduleConfig,
    ScheduleFree,
    Sgd,
    Step,
    TrainConfig,
)

__all__ = [
    "AdamW",
    "Alignment",
    "Angular",
    "AngularMiner",
    "ArcFace",
    "AugmentConfig",
    "BatchConfig",
    "BatchEasyHardMiner",
    "Circle",
    "Contrastive",
    "CosFace",
    "Cosine",
    "CrossEntropy",
    "DataConfig",
    "DistanceWeightedMiner",
    "DynamicSoftMargin",
    "EncoderConfig",
    "EvaluationConfig",
    "ExemplarConfig",
    "Exponential",
    "FastAp",
    "FoldValidation",
    "GeneralizedLiftedStructure",
    "HdcMiner",
    "HeadConfig",
    "ImageAugment",
    "ImageFolderData",
    "ImageFolderOneShot",
    "IntraPairVariance",
    "LargeMarginSoftmax",
    "LiftedStructure",
    "Linear",
    "LossConfig",
    "Magnitude",
    "ManifestData",
    "Margin",
    "MatcherConfig",
    "MinerConfig",
    "MultiSimilarity",
    "MultiSimilarityMiner",
    "Nca",
    "NormalizeConfig",
    "NormalizedSoftmax",
    "NtXent",
    "Ntu120Data",
    "NtuOneShot",
    "OneShot",
    "OptimizerConfig",
    "Orientation",
    "PairMarginMiner",
    "Pnp",
    "PoolingConfig",
    "ProtocolConfig",
    "ProxyAnchor",
    "ProxyNca",
    "RankedList",
    "RecordingFormat",
    "Reindexed",
    "RepresentationConfig",
    "RmsProp",
    "ScheduleConfig",
    "ScheduleFree",
    "Sgd",
    "SignalAttention",
    "SignalCurves",
    "SimitateData",
    "SimitateOneShot",
    "SkeletonFormat",
    "SmallCnn",
    "SmoothAp",
    "SoftTriple",
    "SphereFace",
    "Step",
    "SubCenterArcFace",
    "SupCon",
    "SwapAxes",
    "SyntheticData",
    "Takes",
    "TemporalCnn",
    "TextFormat",
    "ThresholdConsistentMargin",
    "TimePooling",
    "Torchvision",
    "TrainConfig",
    "TrialConfig",
    "TripletMargin",
    "TripletMarginMiner",
    "Tsrji",
    "TupletMargin",
    "UniformHistogramMiner",
    "UtdMhadData",
    "UtdMhadInterJoint",
    "UtdMhadInterSensor",
    "UtdMhadOneShot",
    "ValidationConfig",
    "VitTiny",
]


class TrialConfig(Part):
    """The complete configuration of one training and its evaluation."""

    data: DataConfig = SyntheticData()
    protocol: ProtocolConfig = NtuOneShot()
    normalize: NormalizeConfig = NormalizeConfig()
    augment: AugmentConfig = AugmentConfig()
    representation: RepresentationConfig = RepresentationConfig()
    encoder: EncoderConfig = EncoderConfig()
    loss: LossConfig = LossConfig()
    miner: MinerConfig = MinerConfig()
    matcher: MatcherConfig = MatcherConfig()
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

    @model_validator(mode="after")
    def _images_are_no_signals(self) -> Self:
        """Imported images have no body to turn and no time to warp: an error, not silently ignored."""
        images = isinstance(self.data, ImageFolderData)
        if images != (self.representation.name == "image"):
            raise ValueError(
                f"data.dataset {self.data.dataset} and representation.name {self.representation.name} do not go "
                "together: representation.name=image shows imported images (data.dataset image_folder), and they "
                "can be shown in no other way"
            )
        if images and self.encoder.takes == "signals":
            raise ValueError(
                f"encoder.name {self.encoder.name} reads signals, but data.dataset image_folder holds images: choose "
                "an encoder of images, for example encoder.name=small_cnn"
            )
        if images:
            for name, value in self.augment:
                if name != "image" and value > 0:
                    raise ValueError(
                        f"augment.{name} changes signals, but data.dataset image_folder holds images: leave it at 0 "
                        "and use augment.image"
                    )
        return self

    @property
    def num_epochs(self) -> int:
        """Number of epochs of a whole trial, over all class folds."""
        return self.train.max_epochs * self.evaluation.num_folds

    def to_dict(self) -> ConfigTree:
        """Nested plain values, without branches that are not selected."""
        return self.model_dump(mode="json", exclude_none=True)

    def dotted(self) -> dict[str, Any]:
        """A flat mapping from dotted path to value."""
        return dict(flatten(self.to_dict()))
