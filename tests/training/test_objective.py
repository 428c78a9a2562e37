"""What a network is trained for: the weighted sum of metric loss and classification loss, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from support.small import trial_config

from sldml.training.objective import Objective

LABELS = torch.tensor([0, 0, 1])
# On the circle at 0°, 90° and 180°: the triplets' hinge is 0.2 (tests/training/test_losses.py).
EMBEDDINGS = torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0]])


def objective(weight: float, smoothing: float = 0.0) -> Objective:
    config = trial_config(
        encoder={"embedding_dim": 2},
        loss={"name": "triplet_margin", "triplet_margin": {"margin": 0.2}},
        head={"weight": weight, "label_smoothing": smoothing},
    )
    return Objective(config, num_classes=2, batch_size=3)


def test_without_a_weight_there_is_the_metric_loss_alone() -> None:
    made = objective(0.0)
    assert made.head is None
    total, metric, head = made(EMBEDDINGS, LABELS).tolist()
    assert (total, head) == (metric, 0.0)
    assert metric == pytest.approx(0.2, rel=1e-4)


@pytest.mark.parametrize(("smoothing", "wrong"), [(0.0, 0.0), (0.2, 0.1)])
def test_the_head_sees_what_is_positive_and_counts_by_its_weight(smoothing: float, wrong: float) -> None:
    made = objective(0.25, smoothing)
    assert made.head is not None
    linear = made.head[1]
    with torch.no_grad():
        linear.weight.copy_(torch.eye(2))
        linear.bias.zero_()
    total, metric, head = made(EMBEDDINGS, LABELS).tolist()
    # Scores of the two classes after ReLU: (5, 0), (0, 0.1), (0, 0); of smoothed labels a half goes to each class.
    losses = []
    for own, other in ((5.0, 0.0), (0.0, 0.1), (0.0, 0.0)):
        log_sum = math.log(math.exp(own) + math.exp(other))
        losses.append((1 - wrong) * (log_sum - own) + wrong * (log_sum - other))
    assert metric == pytest.approx(0.2, rel=1e-4)
    assert head == pytest.approx(sum(losses) / 3, rel=1e-4)
    assert total == pytest.approx(0.75 * metric + 0.25 * head, rel=1e-5)


def test_a_memory_of_past_batches_mines_by_itself() -> None:
    config = trial_config(
        encoder={"embedding_dim": 2}, loss={"name": "triplet_margin", "memory_size": 16}, miner={"name": "batch_hard"}
    )
    made = Objective(config, num_classes=2, batch_size=3)
    assert made.miner is None
    assert torch.isfinite(made(EMBEDDINGS, LABELS)).all()
