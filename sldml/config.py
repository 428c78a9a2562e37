"""The configuration of one trial: frozen, checked, and spelled the same everywhere.

A key in YAML, a path into `TrialConfig`, an MLflow parameter and an Optuna name are one dotted word. A part
with branches (`Choice`) names its branch in `name` and keeps that branch's parameters under the branch's own
name, so `loss.name = triplet_margin` goes with `loss.triplet_margin.margin`. Parameters that all branches
share (`optimizer.lr`) lie beside `name`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sldml.dotted import flatten
from sldml.parts import Choice, Part

# ------------------------------------------------------------------------------------------ data, protocol


class Ntu120Data(Part):
    """NTU RGB+D 120 `.skeleton` files below `<data folder>/ntu`."""

    dataset: Literal["ntu120"] = "ntu120"


class UtdMhadData(Part):
    """UTD-MHAD `.mat` files below `<data folder>/utd_mhad`."""

    dataset: Literal["utd_mhad"] = "utd_mhad"
    modality: Literal["skeleton", "inertial", "fused"] = "skeleton"


class SyntheticData(Part):
    """Made recordings of an articulated body, written as NTU `.skeleton` files and read like any."""

    dataset: Literal["synthetic"] = "synthetic"
    seed: int = Field(0, ge=0)
    num_auxiliary: int = Field(30, ge=4, le=100)
    recordings_per_class: int = Field(12, ge=2, le=90)


DataConfig = Annotated[Ntu120Data | UtdMhadData | SyntheticData, Field(discriminator="dataset")]


class NtuOneShot(Part):
    """The official one-shot protocol of NTU RGB+D 120 (20 novel classes, one official exemplar each).

    `validation`: `development` holds out the development classes that the SL-DML authors suggest; `spread`
    holds out `num_validation` auxiliary classes at even distances.
    """

    name: Literal["ntu_one_shot"] = "ntu_one_shot"
    num_auxiliary: int = Field(100, ge=2, le=100)
    validation: Literal["development", "spread"] = "development"
    num_validation: int | None = Field(None, ge=2)


class UtdMhadOneShot(Part):
    """SL-DML's UTD-MHAD splits: classes a1..aN are auxiliary; exemplar: subject 1, trial 1.

    `num_novel`: how many of the last classes are novel; None takes every class that is not auxiliary.
    """

    name: Literal["utd_mhad_one_shot"] = "utd_mhad_one_shot"
    num_auxiliary: int = Field(11, ge=2, le=25)
    num_novel: int | None = Field(None, ge=2, le=25)
    num_validation: int | None = Field(None, ge=2)


ProtocolConfig = Annotated[NtuOneShot | UtdMhadOneShot, Field(discriminator="name")]


# ---------------------------------------------------------------------------------------- signals → images


class NormalizeConfig(Part):
    """What is done to a recording's signals before anything looks at them (skeleton rows; sensors: scale)."""

    center: Literal["none", "first_frame", "every_frame"] = "every_frame"
    """Subtract the root joint: where it is in the first frame, or in every frame."""
    scale: Literal["none", "torso"] = "torso"
    """Divide by the recording's mean torso length; sensors are divided by their full scale."""
    view: Literal["as_recorded", "face_camera"] = "as_recorded"
    """Turn the body about the vertical so that, on the recording's mean, its shoulders face the camera."""


class AugmentConfig(Part):
    """Random changes of the training signals, drawn anew for each recording in each batch; 0 is off."""

    time_warp: float = Field(0.0, ge=0.0, le=0.9)
    """Strength of a smooth random change of speed along the recording."""
    time_crop: float = Field(0.0, ge=0.0, le=0.8)
    """Largest share of the recording that is cut off (start and end together)."""
    rotation_deg: float = Field(0.0, ge=0.0, le=180.0)
    """Largest turn of the body about the vertical, to either side."""
    scale: float = Field(0.0, ge=0.0, le=0.9)
    """Largest relative change of size."""
    noise: float = Field(0.0, ge=0.0, le=1.0)
    """Standard deviation of Gaussian noise on every value, in the normalised signals' units."""


class SwapAxes(Part):
    """Rows down, time across, x y z as red, green, blue (SL-DML, arXiv 2004.11085)."""

    value_range: Literal["recording", "fixed"] = "recording"
    """`recording`: scaled by the recording's own minimum and maximum; `fixed`: by `half_range` for all."""
    half_range: float = Field(2.5, gt=0.0, le=1000.0)
    """With `fixed`, normalised values from minus to plus this become 0 to 255; beyond it they are clipped."""


class RepresentationConfig(Choice):
    """How the signals become an image."""

    name: Literal["swap_axes"] = "swap_axes"
    steps: int = Field(64, ge=8, le=512)
    """Each recording is resampled in time to this many steps."""
    image_px: int | None = Field(None, ge=16, le=512)
    """Side of the square image that the encoder sees; None leaves rows × steps as they are."""
    num_bodies: int | None = Field(None, ge=1, le=8)
    """The image shows the rows of so many bodies, the main actor's first; None shows all that there are."""
    swap_axes: SwapAxes | None = None


# ------------------------------------------------------------------------------------------------- encoder


class ResNet18(Part):
    """Torchvision's ResNet-18 (He et al., 2016)."""

    weights: Literal["none", "imagenet"] = "none"
    stem: Literal["standard", "small"] = "standard"
    """`small`: a 3 × 3 first layer of stride 1 and no pooling, for images of few pixels."""


class SmallCnn(Part):
    """A residual CNN of a few layers, made for images of rows × steps; seconds per epoch on a CPU."""

    width: int = Field(32, ge=8, le=256, multiple_of=8)
    num_blocks: int = Field(3, ge=1, le=5)
    dropout: float = Field(0.0, ge=0.0, le=0.8)


class EncoderConfig(Choice):
    """The network that turns an image into an embedding."""

    name: Literal["small_cnn", "resnet18"] = "small_cnn"
    embedding_dim: int = Field(128, ge=2, le=4096)
    resnet18: ResNet18 | None = None
    small_cnn: SmallCnn | None = None


# --------------------------------------------------------------------------------------------- loss, miner


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


# ------------------------------------------------------------------------------------------------ training


class AdamW(Part):
    """AdamW (Loshchilov and Hutter, 2019)."""

    beta2: float = Field(0.999, gt=0.0, lt=1.0)


class RmsProp(Part):
    """RMSprop, the optimiser of the published SL-DML settings."""

    alpha: float = Field(0.99, gt=0.0, lt=1.0)
    momentum: float = Field(0.0, ge=0.0, lt=1.0)


class OptimizerConfig(Choice):
    """What moves the weights of encoder and head."""

    name: Literal["adamw", "rmsprop"] = "adamw"
    lr: float = Field(1.0e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(1.0e-4, ge=0.0, le=1.0)
    adamw: AdamW | None = None
    rmsprop: RmsProp | None = None


class Cosine(Part):
    """Half a cosine from the full learning rate to `final_fraction` of it, after a linear warm-up."""

    warmup_epochs: float = Field(1.0, ge=0.0, le=100.0)
    final_fraction: float = Field(0.01, ge=0.0, le=1.0)


class Step(Part):
    """The learning rate is multiplied by `gamma` every `every_epochs` epochs."""

    every_epochs: int = Field(10, ge=1)
    gamma: float = Field(0.1, gt=0.0, le=1.0)


class ScheduleConfig(Choice):
    """How the learning rate changes over the steps of the training."""

    name: Literal["constant", "cosine", "step"] = "cosine"
    cosine: Cosine | None = None
    step: Step | None = None


class BatchConfig(Part):
    """A batch is `num_classes` random classes with `samples_per_class` recordings each."""

    num_classes: int = Field(16, ge=2, le=512)
    samples_per_class: int = Field(4, ge=2, le=128)


class TrainConfig(Part):
    """Length and limits of the training."""

    max_epochs: int = Field(20, ge=1, le=10_000)
    min_steps_per_epoch: int = Field(1, ge=1)
    """An epoch sees as many recordings as there are, but takes at least this many steps."""
    gradient_clip: float | None = Field(None, gt=0.0)
    mixed_precision: Literal["auto", "off"] = "auto"
    """`auto`: bfloat16 autocast on a GPU that has it, nothing on a CPU."""


class EvaluationConfig(Part):
    """How one-shot accuracy is measured on validation classes."""

    num_draws: int = Field(100, ge=1, le=10_000)
    """Random draws of one exemplar per class; the accuracy is their mean."""
    seed: int = Field(0, ge=0)
    """Seed of the draws: the same for all trials, so that they are compared on the same ones."""


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
