"""Optimisers, schedules, batches, training length and evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.config.parts import BranchedPart, Part


class AdamW(Part):
    """AdamW (Loshchilov and Hutter, 2019)."""

    beta2: float = Field(0.999, gt=0.0, lt=1.0)


class RmsProp(Part):
    """RMSprop, the optimiser of the published SL-DML settings."""

    alpha: float = Field(0.99, gt=0.0, lt=1.0)
    momentum: float = Field(0.0, ge=0.0, lt=1.0)


class Sgd(Part):
    """Stochastic gradient descent, with Nesterov momentum if it is not zero."""

    momentum: float = Field(0.9, ge=0.0, lt=1.0)


class ScheduleFree(Part):
    """Schedule-free AdamW (Defazio et al., 2024): an average of the weights replaces the schedule.

    Meant for `schedule.name: constant`; other schedules are applied in addition.
    """

    beta1: float = Field(0.9, gt=0.0, lt=1.0)
    beta2: float = Field(0.999, gt=0.0, lt=1.0)


class OptimizerConfig(BranchedPart):
    """The optimiser of encoder and head."""

    name: Literal["adamw", "sgd", "rmsprop", "schedule_free"] = "adamw"
    lr: float = Field(1.0e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(1.0e-4, ge=0.0, le=1.0)
    adamw: AdamW | None = None
    sgd: Sgd | None = None
    rmsprop: RmsProp | None = None
    schedule_free: ScheduleFree | None = None


class Cosine(Part):
    """Cosine decay from the full learning rate to `final_fraction` of it, after a linear warm-up."""

    warmup_epochs: float = Field(1.0, ge=0.0, le=100.0)
    final_fraction: float = Field(0.01, ge=0.0, le=1.0)


class Step(Part):
    """The learning rate is multiplied by `gamma` every `every_epochs` epochs."""

    every_epochs: int = Field(10, ge=1)
    gamma: float = Field(0.1, gt=0.0, le=1.0)


class Linear(Part):
    """Linear decay from the full learning rate to `final_fraction` of it, after a linear warm-up."""

    warmup_epochs: float = Field(1.0, ge=0.0, le=100.0)
    final_fraction: float = Field(0.0, ge=0.0, le=1.0)


class Exponential(Part):
    """The learning rate decays by the factor `gamma` per epoch, applied at every step."""

    gamma: float = Field(0.95, gt=0.0, le=1.0)


class ScheduleConfig(BranchedPart):
    """The learning-rate schedule."""

    name: Literal["constant", "cosine", "linear", "step", "exponential"] = "cosine"
    cosine: Cosine | None = None
    linear: Linear | None = None
    step: Step | None = None
    exponential: Exponential | None = None


class BatchConfig(Part):
    """A batch is `num_classes` random classes with `samples_per_class` recordings each."""

    num_classes: int = Field(16, ge=2, le=512)
    samples_per_class: int = Field(4, ge=2, le=128)


class TrainConfig(Part):
    """Length and limits of the training."""

    max_epochs: int = Field(20, ge=1, le=10_000)
    min_steps_per_epoch: int = Field(1, ge=1)
    """An epoch has as many recordings as the training set, but at least this number of steps."""
    gradient_clip: float | None = Field(None, gt=0.0)
    mixed_precision: Literal["auto", "off"] = "auto"
    """`auto`: bfloat16 autocast on GPUs that support it, off on CPUs."""


class EvaluationConfig(Part):
    """The measurement of one-shot accuracy on validation classes."""

    num_draws: int = Field(100, ge=1, le=10_000)
    """Random draws of one exemplar per class; the accuracy is their mean."""
    num_folds: int = Field(1, ge=1, le=50)
    """More than 1: the auxiliary classes are split into this number of class-disjoint folds, one model is trained for
    each in the same trial, and the accuracy is the mean over folds. 1: the protocol's own validation classes."""
    seed: int = Field(0, ge=0)
    """Seed of the draws, the same for all trials."""
