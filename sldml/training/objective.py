"""Training objective: a metric loss over mined tuples, and optionally a classifier's cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sldml.config.trial import TrialConfig
from sldml.training.losses import build_loss, with_memory
from sldml.training.miners import build_miner


class Objective(nn.Module):
    """The weighted sum of metric loss and classification loss of one network's embeddings.

    Attributes:
        head: The classifier; None if its weight is 0.
        loss: The metric loss, which may have weights and a memory of past batches.
        miner: Selects the tuples for the loss; None for all, or if the memory mines.
    """

    def __init__(self, config: TrialConfig, num_classes: int, batch_size: int) -> None:
        super().__init__()
        dim = config.encoder.embedding_dim
        # Always created: the weights of the loss are drawn after its weights, whether it is used or not.
        head = nn.Sequential(nn.ReLU(), nn.Linear(dim, num_classes))
        self.weight = config.head.weight
        self.head = head if self.weight > 0 else None
        self.loss = build_loss(config.loss, num_classes, dim)
        self.miner = build_miner(config.miner, config.loss)
        if config.loss.memory_size:
            self.loss = with_memory(self.loss, config.loss, dim, batch_size, self.miner)
            self.miner = None
        self._cross_entropy = nn.CrossEntropyLoss(label_smoothing=config.head.label_smoothing)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, dim] and their classes [B] → (total, metric, head) losses [3].

        Losses are computed in float32, whatever precision the encoder has: distances are not defined in bfloat16.
        """
        embeddings = embeddings.float()
        mined = self.miner(embeddings, labels) if self.miner is not None else None
        metric = self.loss(embeddings, labels, mined)
        if self.head is None:
            return torch.stack([metric, metric, metric.new_zeros(())])
        head = self._cross_entropy(self.head(embeddings), labels)
        return torch.stack([(1.0 - self.weight) * metric + self.weight * head, metric, head])
