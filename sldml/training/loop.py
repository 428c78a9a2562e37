"""Training of one model: batches, steps, epochs, and exact resumption."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sldml.config.training import BatchConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import encoder_input, input_shape
from sldml.embedding.encoders import build_encoder
from sldml.embedding.view import View
from sldml.training.objective import Objective
from sldml.training.optimizers import (
    build_optimizer,
    build_schedule,
    proxy_optimizer,
    weights_to_evaluate,
    weights_to_train,
)

_BATCHES_TO_SETTLE_NORMS = 10

State = dict[str, Any]
"""The state of a training, as a checkpoint has it: tensors, numbers and texts by name."""


class DivergedError(RuntimeError):
    """The loss is not finite."""


@dataclass(frozen=True)
class EpochStats:
    """Means over the steps of an epoch, and its times (seconds)."""

    loss: float
    metric_loss: float
    head_loss: float
    lr: float
    num_images: int
    data_s: float
    step_s: float


class Training:
    """One model in training. On a CPU, the same configuration and number of threads give the same weights."""

    def __init__(self, config: TrialConfig, view: View) -> None:
        self.config, self.view = config, view
        self.device = view.device
        torch.manual_seed(config.seed)
        self._generator = torch.Generator().manual_seed(config.seed)
        num_classes = len(view.classes)
        shape = input_shape(config.encoder, config.representation, view.layout)
        self.encoder = build_encoder(config.encoder, shape).to(self.device)

        self._labels = torch.tensor(view.labels)
        self._members = [torch.nonzero(self._labels == c).flatten() for c in range(num_classes)]
        self.batch_size = min(config.batch.num_classes, num_classes) * config.batch.samples_per_class
        self.steps_per_epoch = max(config.train.min_steps_per_epoch, round(len(view) / self.batch_size))
        members = range(config.encoder.members)
        self.objectives = nn.ModuleList(Objective(config, num_classes, self.batch_size) for _ in members)
        self.objectives.to(self.device)

        heads = [objective.head for objective in self.objectives if objective.head is not None]
        trained = nn.ModuleList([self.encoder, *heads])  # type: ignore[list-item]
        self._parameters = list(trained.parameters())
        self.optimizer = build_optimizer(config.optimizer, trained)
        losses = nn.ModuleList(objective.loss for objective in self.objectives)  # type: ignore[misc]
        self.proxy_optimizer = proxy_optimizer(losses, config.loss.proxy_lr)
        self.schedule = build_schedule(config.schedule, self.optimizer, self.steps_per_epoch, config.train.max_epochs)
        self._precision = _mixed_precision(config, self.device)
        self._activations_recomputed = False
        self.epoch = 0
        """Number of epochs that are done."""

    def run_epoch(self) -> EpochStats:
        """Train for one epoch.

        Raises:
            DivergedError: the loss is not finite.
            torch.cuda.OutOfMemoryError: a step does not fit in memory even with recomputed activations.
        """
        self.encoder.train()
        weights_to_train(self.optimizer)
        sums = torch.zeros(3, device=self.device)
        data_s, started = 0.0, time.perf_counter()
        lr = float(self.schedule.get_last_lr()[0])
        for index in batches(self._members, self.steps_per_epoch, self.config.batch, self._generator):
            before = time.perf_counter()
            inputs = self._inputs(index)
            labels = self._labels[index].to(self.device)
            data_s += time.perf_counter() - before
            sums += self._step_or_recompute(inputs, labels)
        self.epoch += 1
        if weights_to_evaluate(self.optimizer):
            self._settle_batch_norms()
        total, metric, head = (sums / self.steps_per_epoch).tolist()  # waits for the device, once an epoch
        # The weights, too: the last step of an epoch can break them after its loss was still finite.
        weights = torch.stack([p.detach().sum() for p in self._parameters])
        if not (torch.isfinite(sums).all() and torch.isfinite(weights).all()):
            raise DivergedError(f"the loss is not finite in epoch {self.epoch}")
        step_s = time.perf_counter() - started - data_s
        return EpochStats(total, metric, head, lr, self.steps_per_epoch * self.batch_size, data_s, step_s)

    def _inputs(self, index: Tensor) -> Tensor:
        """The encoder's input for some recordings, augmented."""
        return encoder_input(
            self.view.batch(index, self.config.representation.steps),
            self.config.normalize,
            self.config.representation,
            self.view.layout,
            self.config.augment,
            self._generator,
            takes=self.config.encoder.takes,
        )

    @torch.no_grad()
    def _settle_batch_norms(self) -> None:
        """Estimate the statistics of batch norms again after the weights were replaced by averaged ones."""
        norms = [m for m in self.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches, not a moving one
        for index in batches(self._members, _BATCHES_TO_SETTLE_NORMS, self.config.batch, self._generator):
            with self._precision():
                self.encoder(self._inputs(index))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def _step_or_recompute(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """One step; if it does not fit in memory, recompute activations in this and all later steps.

        A smaller batch would be another experiment: the loss is always that of the whole batch.
        """
        try:
            return self._step(inputs, labels)
        except torch.cuda.OutOfMemoryError:
            if self._activations_recomputed:
                raise
        self._activations_recomputed = True
        recompute_activations(self.encoder)
        torch.cuda.empty_cache()
        return self._step(inputs, labels)

    def _step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """One optimiser step. Returns the (total, metric, head) losses, detached, means over the members."""
        with self._precision():
            embeddings = self.encoder.each(inputs)
        losses = torch.stack(
            [objective(each, labels) for objective, each in zip(self.objectives, embeddings, strict=True)]
        )
        self.optimizer.zero_grad(set_to_none=True)
        if self.proxy_optimizer is not None:
            self.proxy_optimizer.zero_grad(set_to_none=True)
        # The sum, not the mean: each member is trained as if it were alone.
        losses[:, 0].sum().backward()
        if self.config.train.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.config.train.gradient_clip)
        self.optimizer.step()
        if self.proxy_optimizer is not None:
            self.proxy_optimizer.step()
        self.schedule.step()
        return losses.detach().mean(dim=0)

    def state_dict(self) -> State:
        """The state that the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "encoder": self.encoder.state_dict(),
            "objectives": self.objectives.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "proxy_optimizer": None if self.proxy_optimizer is None else self.proxy_optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self._generator.get_state(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: State) -> None:
        """Continue exactly from a `state_dict`."""
        self.epoch = state["epoch"]
        self.encoder.load_state_dict(state["encoder"])
        self.objectives.load_state_dict(state["objectives"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.proxy_optimizer is not None:
            self.proxy_optimizer.load_state_dict(state["proxy_optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["torch_rng"].cpu())
        if self.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)


def batches(
    members: list[Tensor], num_batches: int, config: BatchConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """m-per-class sampling: `num_classes` random classes (or all), `samples_per_class` recordings of each.

    A class's recordings are drawn without repetition within a batch if it has enough of them.

    Args:
        members: For each class, the positions of its recordings.
        num_batches: Number of batches.
        config: Classes in a batch, recordings of each.
        generator: Source of all randomness.

    Yields:
        int64 [num_classes * samples_per_class], class by class.
    """
    num_samples = config.samples_per_class
    for _ in range(num_batches):
        chosen = torch.randperm(len(members), generator=generator)[: config.num_classes]
        parts = []
        for c in chosen.tolist():
            count = len(members[c])
            if count >= num_samples:
                picked = torch.randperm(count, generator=generator)[:num_samples]
            else:
                picked = torch.randint(count, (num_samples,), generator=generator)
            parts.append(members[c][picked])
        yield torch.cat(parts)


def recompute_activations(module: nn.Module) -> None:
    """Make the blocks of `module` recompute their activations in the backward pass instead of keeping them.

    Values and gradients do not change. Running statistics of batch norms are updated by the first computation only.
    """
    for block in _blocks(module):
        norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        block.forward = functools.partial(_recomputed, block.forward, norms)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The children of the outermost `Sequential`s in `module`: the blocks of a residual network's stages.

    A `Sequential` of single layers is one block: a layer that works in place overwrites the output of the one before.
    """
    for child in module.children():
        if not isinstance(child, nn.Sequential):
            yield from _blocks(child)
        elif all(any(part.children()) for part in child):
            yield from child
        else:
            yield child


def _recomputed(forward: Callable[[Tensor], Tensor], norms: list[Any], features: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(features)

    @contextlib.contextmanager
    def statistics_held() -> Iterator[None]:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum

    output: Tensor = checkpoint(
        forward, features, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), statistics_held())
    )
    return output


def _mixed_precision(config: TrialConfig, device: torch.device) -> Any:
    """A function that returns the context of a forward pass."""
    if config.train.mixed_precision == "off" or device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return contextlib.nullcontext
    return lambda: torch.autocast("cuda", dtype=torch.bfloat16)
