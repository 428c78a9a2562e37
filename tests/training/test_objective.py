"""Training objective: the weighted sum by hand, and every loss over every kind of batch and range."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from support.small import trial_config
from torch import Tensor

from sldml.config.encoder import EncoderConfig
from sldml.config.loss import ANY_DISTANCE, LossConfig
from sldml.config.miner import MinerConfig
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


# ------------------------------------------------------------------ every loss and miner over every kind of batch

TAKE_TUPLES = [loss for loss in LossConfig.names() if LossConfig.model_validate({"name": loss}).takes_tuples]
# Every loss without a miner, every one that can have a miner with one that gives triplets, and every miner with a loss
# over triplets and with one over pairs.
PAIRINGS = sorted(
    {
        *((loss, "none") for loss in LossConfig.names()),
        *((loss, "batch_hard") for loss in TAKE_TUPLES),
        *((loss, miner) for loss in ("triplet_margin", "contrastive") for miner in MinerConfig.names()),
    }
)
SIZE = 12
THREE_CLASSES = torch.arange(3).repeat_interleave(4)


def ends(field: FieldInfo) -> list[Any]:
    """The smallest and the largest allowed value of a field, or all its values."""
    if field.annotation is bool:
        return [False, True]
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    allowed: list[Any] = []
    for limit in field.metadata:
        match limit:
            case Ge(ge=value) | Le(le=value):
                allowed.append(value)
            case Gt(gt=value):
                allowed.append(value + 1e-4)
            case Lt(lt=value):
                allowed.append(value - 1e-4)
    return allowed


DIMS = ends(EncoderConfig.model_fields["embedding_dim"])


def random_embeddings(dim: int, seed: int = 0) -> Tensor:
    return torch.randn(SIZE, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _same_weights_and_triplets() -> None:
    torch.manual_seed(0)


def of_any_loss(loss: dict[str, Any], miner: str, dim: int) -> Objective:
    config = trial_config(encoder={"embedding_dim": dim}, loss=loss, miner={"name": miner})
    return Objective(config, num_classes=SIZE, batch_size=SIZE)


def two_steps(made: Objective, embeddings: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """The loss and the gradient of the embeddings in the second step; all must be finite."""
    for _ in range(2):
        embeddings = embeddings.detach().requires_grad_()
        value = made(embeddings, labels)[0]
        value.backward()
        assert torch.isfinite(value)
        assert embeddings.grad is not None
        assert torch.isfinite(embeddings.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)
    assert embeddings.grad is not None
    return value.item(), embeddings.grad


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("loss", "miner"), PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_loss_and_miner_learns_from_a_usual_batch(loss: str, miner: str, dtype: torch.dtype, dim: int) -> None:
    made = of_any_loss({"name": loss}, miner, dim)
    plane = random_embeddings(2).repeat(1, dim // 2)  # near and far pairs in any number of dimensions
    value, gradient = two_steps(made, plane.to(dtype), THREE_CLASSES)
    assert value > 0
    assert gradient.abs().max() > 0
    weights = list(made.loss.parameters())
    assert bool(weights) == LossConfig.model_validate({"name": loss}).has_weights
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("loss", "miner"), PAIRINGS)
@pytest.mark.parametrize("case", ["one of each class", "one class", "collapsed", "zero"])
def test_a_batch_with_little_to_learn_has_finite_gradients(loss: str, miner: str, case: str, dim: int) -> None:
    embeddings = {"collapsed": torch.ones(SIZE, dim), "zero": torch.zeros(SIZE, dim)}
    labels = {"one of each class": torch.arange(SIZE), "one class": torch.zeros(SIZE, dtype=torch.long)}
    made = of_any_loss({"name": loss}, miner, dim)
    two_steps(made, embeddings.get(case, random_embeddings(dim)), labels.get(case, THREE_CLASSES))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("loss", LossConfig.names())
def test_every_loss_works_at_the_ends_of_its_ranges(loss: str, dim: int) -> None:
    config = LossConfig.model_validate({"name": loss})
    fields = {} if config.chosen is None else type(config.chosen).model_fields
    options = [{"name": loss, loss: {name: end}} for name, field in fields.items() for end in ends(field)]
    if loss in ANY_DISTANCE:
        options += [{"name": loss, "distance": distance} for distance in ends(LossConfig.model_fields["distance"])]
    embeddings = random_embeddings(dim, 1)
    embeddings[0], embeddings[4:6] = 0.0, 1.0
    for option in options:
        two_steps(of_any_loss(option, "none", dim), embeddings, THREE_CLASSES)
