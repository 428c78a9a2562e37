"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sldml.config.training import OptimizerConfig, ScheduleConfig
from sldml.training.eager import SGD, Adam, AdamW, AdamWScheduleFree, RMSprop


def build_optimizer(
    config: OptimizerConfig, parameters: nn.Module | Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """Build the optimiser over a module, or over named parameters of several.

    Weight decay applies to the weights of linear and convolutional layers, not to biases and scales of norms (tensors
    of one dimension). Frozen parameters are left out.

    Raises:
        ValueError: there is no parameter to train.
    """
    named = parameters.named_parameters() if isinstance(parameters, nn.Module) else parameters
    trained = [parameter for _, parameter in named if parameter.requires_grad]
    if not trained:
        raise ValueError("an optimiser needs at least one parameter with requires_grad, but got none")
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    options = config.chosen
    match config.name:
        case "adamw":
            return AdamW(groups, lr=config.lr, betas=(0.9, options.beta2), fused=True)
        case "sgd":
            nesterov = options.momentum > 0
            return SGD(groups, lr=config.lr, momentum=options.momentum, nesterov=nesterov)
        case "schedule_free":
            betas = (options.beta1, options.beta2)
            optimizer: torch.optim.Optimizer = AdamWScheduleFree(groups, lr=config.lr, betas=betas)
            weights_to_train(optimizer)
            return optimizer
        case "rmsprop":
            return RMSprop(groups, lr=config.lr, alpha=options.alpha, momentum=options.momentum)


def weights_to_train(optimizer: torch.optim.Optimizer) -> None:
    """Switch to the weights at which gradients are taken, before an epoch (schedule-free optimisers have two sets)."""
    if isinstance(optimizer, AdamWScheduleFree):
        optimizer.train()


def weights_to_evaluate(optimizer: torch.optim.Optimizer) -> bool:
    """Switch to the weights to evaluate and save, after an epoch. Returns whether they differ from the trained ones."""
    if isinstance(optimizer, AdamWScheduleFree):
        optimizer.eval()
        return True
    return False


def proxy_optimizer(loss: nn.Module, lr: float) -> torch.optim.Optimizer | None:
    """Build Adam without weight decay over the weights of a loss; None if it has none."""
    weights = list(loss.parameters())
    return Adam(weights, lr=lr) if weights else None


def build_schedule(
    config: ScheduleConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int, max_epochs: int
) -> LRScheduler:
    """Build the learning-rate schedule, to be stepped after every step of the optimiser.

    The learning rate of step 0 is set immediately. The schedule's `state_dict` resumes it exactly.

    Raises:
        ValueError: `steps_per_epoch` or `max_epochs` is not positive.
    """
    if steps_per_epoch < 1 or max_epochs < 1:
        raise ValueError(
            f"steps_per_epoch and max_epochs must be positive, but they are {steps_per_epoch}, {max_epochs}"
        )
    options = config.chosen
    factor: ConstantFactor | CosineFactor | LinearFactor | StepFactor | ExponentialFactor
    match config.name:
        case "constant":
            factor = ConstantFactor()
        case "cosine" | "linear":
            falls = CosineFactor if config.name == "cosine" else LinearFactor
            factor = falls(
                num_warmup_steps=round(options.warmup_epochs * steps_per_epoch),
                num_steps=max_epochs * steps_per_epoch,
                final_fraction=options.final_fraction,
            )
        case "exponential":
            factor = ExponentialFactor(num_steps=steps_per_epoch, gamma=options.gamma)
        case "step":
            factor = StepFactor(num_steps=options.every_epochs * steps_per_epoch, gamma=options.gamma)
    return LambdaLR(optimizer, factor)


@dataclass
class ConstantFactor:
    """A constant learning rate."""

    def __call__(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        return 1.0


@dataclass
class _AfterWarmUp:
    """A linear rise to 1 during the warm-up, then a fall to `final_fraction` at `num_steps`.

    If the warm-up is longer than the training, the training ends during the warm-up.
    """

    num_warmup_steps: int
    num_steps: int
    final_fraction: float

    def __call__(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        if step < self.num_warmup_steps:
            # From 1 / (warm-up + 1): a first step with a rate of zero would have no effect.
            return (step + 1) / (self.num_warmup_steps + 1)
        progress = min(1.0, (step - self.num_warmup_steps) / max(1, self.num_steps - self.num_warmup_steps))
        return self.final_fraction + (1 - self.final_fraction) * self.fall(progress)

    def fall(self, progress: float) -> float:
        """Return the remaining height, from 1 to 0, at a share of the steps after the warm-up."""
        raise NotImplementedError


class CosineFactor(_AfterWarmUp):
    """A warm-up, then a fall as half a cosine (Loshchilov and Hutter, 2017, without restarts)."""

    def fall(self, progress: float) -> float:
        """Return the half cosine."""
        return (1 + math.cos(math.pi * progress)) / 2


class LinearFactor(_AfterWarmUp):
    """A warm-up, then a linear fall."""

    def fall(self, progress: float) -> float:
        """Return the straight line."""
        return 1 - progress


@dataclass
class ExponentialFactor:
    """An exponential decay, by `gamma` in every `num_steps` steps."""

    num_steps: int
    gamma: float

    def __call__(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        return float(self.gamma ** (step / self.num_steps))


@dataclass
class StepFactor:
    """A stepwise decay, by `gamma` after every `num_steps` steps."""

    num_steps: int
    gamma: float

    def __call__(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        return self.gamma ** (step // self.num_steps)
