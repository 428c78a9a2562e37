import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from sldml.config.loss import LossConfig
from sldml.config.training import OptimizerConfig, ScheduleConfig
from sldml.training.losses import build_loss
from sldml.training.optimizers import (
    build_optimizer,
    build_schedule,
    proxy_optimizer,
    weights_to_evaluate,
    weights_to_train,
)


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 9, 2))


def factors(config: ScheduleConfig, steps_per_epoch: int, max_epochs: int, num_steps: int) -> list[float]:
    """The learning rates of the first steps, for a learning rate of 2, divided by it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = build_schedule(config, optimizer, steps_per_epoch, max_epochs)
    found = []
    for _ in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"] / 2)
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("name", OptimizerConfig.names())
def test_weight_decay_spares_biases_and_norms_and_frozen_parameters_stay_out(name: str) -> None:
    model = small_model()
    model[3].bias.requires_grad_(False)  # type: ignore[union-attr]
    config = OptimizerConfig.model_validate({"name": name, "weight_decay": 0.3, "lr": 0.05})
    optimizer = build_optimizer(config, model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    names = {name: decay[id(p)] for name, p in model.named_parameters() if id(p) in decay}
    assert names == {"0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "3.weight": 0.3}
    assert all(group["lr"] == 0.05 for group in optimizer.param_groups)


def test_first_steps_by_hand() -> None:
    def moved(config: dict[str, Any]) -> float:
        parameter = nn.Parameter(torch.tensor([[2.0]]))
        optimizer = build_optimizer(OptimizerConfig.model_validate(config), [("weight", parameter)])
        parameter.grad = torch.tensor([[0.5]])
        optimizer.step()
        return parameter.item()

    # AdamW: the sign of the gradient, and decay apart from it: 2 - 0.1 * 0.2 * 2 - 0.1.
    adamw = {"name": "adamw", "lr": 0.1, "weight_decay": 0.2, "adamw": {"beta2": 0.9}}
    assert moved(adamw) == pytest.approx(1.86, abs=1e-5)
    # RMSprop: g / sqrt((1 - alpha) g²) = 1 / sqrt(0.25) = 2, the decay being part of g.
    rmsprop = {"name": "rmsprop", "lr": 0.1, "weight_decay": 0.2, "rmsprop": {"alpha": 0.75}}
    assert moved(rmsprop) == pytest.approx(1.8, abs=1e-5)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        build_optimizer(OptimizerConfig(), nn.ReLU())


@pytest.mark.parametrize("name", LossConfig.names())
def test_only_losses_with_weights_get_an_optimiser_of_their_own(name: str) -> None:
    config = LossConfig.model_validate({"name": name})
    optimizer = proxy_optimizer(build_loss(config, 3, 4), 0.25)
    assert (optimizer is not None) == config.has_weights
    if optimizer is not None:
        (group,) = optimizer.param_groups
        assert group["lr"] == 0.25
        assert group["weight_decay"] == 0
        several = {"soft_triple": 5 * 12, "sub_center_arcface": 3 * 12, "cross_entropy": 12 + 3}
        assert sum(parameter.numel() for parameter in group["params"]) == several.get(name, 12)


def test_constant() -> None:
    assert factors(ScheduleConfig(name="constant"), 3, 2, 8) == [1.0] * 8


def test_step_by_hand() -> None:
    config = ScheduleConfig.model_validate({"name": "step", "step": {"every_epochs": 2, "gamma": 0.5}})
    assert factors(config, 2, 5, 10) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_cosine_by_hand() -> None:
    options = {"warmup_epochs": 1.0, "final_fraction": 0.2}
    config = ScheduleConfig.model_validate({"name": "cosine", "cosine": options})
    # Three steps of warm-up, then six of half a cosine from 1 to 0.2, where it stays.
    high, low = 0.6 + 0.4 * math.sqrt(0.75), 0.6 - 0.4 * math.sqrt(0.75)
    expected = [0.25, 0.5, 0.75, 1.0, high, 0.8, 0.6, 0.4, low, 0.2, 0.2]
    assert factors(config, 3, 3, 11) == pytest.approx(expected)


def test_cosine_without_warm_up_starts_at_the_full_rate_and_ends_near_zero() -> None:
    options = {"warmup_epochs": 0.0, "final_fraction": 0.0}
    config = ScheduleConfig.model_validate({"name": "cosine", "cosine": options})
    found = factors(config, 4, 5, 20)
    assert found[0] == 1
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < 0.01


def test_a_warm_up_longer_than_the_training_rises_to_its_end() -> None:
    config = ScheduleConfig.model_validate({"name": "cosine", "cosine": {"warmup_epochs": 2.0}})
    assert factors(config, 2, 1, 2) == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("schedule_name", ScheduleConfig.names())
@pytest.mark.parametrize("optimizer_name", OptimizerConfig.names())
def test_a_training_resumes_exactly(optimizer_name: str, schedule_name: str) -> None:
    options = {"step": {"every_epochs": 2}} if schedule_name == "step" else {}
    schedule_config = ScheduleConfig.model_validate({"name": schedule_name} | options)
    optimizer_config = OptimizerConfig.model_validate({"name": optimizer_name, "lr": 0.01})
    inputs = torch.randn(9, 8, 3, 5, 5, generator=torch.Generator().manual_seed(1))

    def build() -> tuple[nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        model = small_model()
        optimizer = build_optimizer(optimizer_config, model)
        return model, optimizer, build_schedule(schedule_config, optimizer, 2, 5)

    def train(parts: tuple[Any, ...], steps: range) -> None:
        model, optimizer, schedule = parts
        for step in steps:
            optimizer.zero_grad()
            (model(inputs[step]) - 1).square().mean().backward()
            optimizer.step()
            schedule.step()

    whole = build()
    train(whole, range(9))
    first = build()
    train(first, range(5))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in first], file)
    file.seek(0)
    second = build()
    for part, state in zip(second, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(second, range(5, 9))
    for expected, found in zip(whole[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(expected, found)
    assert whole[2].get_last_lr() == second[2].get_last_lr()


@pytest.mark.parametrize("name", ScheduleConfig.names())
def test_a_schedule_can_be_pickled(name: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = build_schedule(ScheduleConfig.model_validate({"name": name}), optimizer, 2, 4)
    assert pickle.loads(pickle.dumps(schedule)).get_last_lr() == schedule.get_last_lr()


def test_an_empty_training_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    with pytest.raises(ValueError, match="must be positive, but they are 0, 5"):
        build_schedule(ScheduleConfig(), optimizer, 0, 5)


def test_linear_and_exponential_by_hand() -> None:
    linear = {"name": "linear", "linear": {"warmup_epochs": 1, "final_fraction": 0.2}}
    # Two steps of warm-up (1/3, 2/3), then from 1 to 0.2 over the four that are left, then 0.2.
    expected = [1 / 3, 2 / 3, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2]
    assert factors(ScheduleConfig.model_validate(linear), 2, 3, 8) == pytest.approx(expected)
    exponential = ScheduleConfig.model_validate({"name": "exponential", "exponential": {"gamma": 0.25}})
    assert factors(exponential, 2, 3, 5) == pytest.approx([1.0, 0.5, 0.25, 0.125, 0.0625])


def test_a_schedule_free_optimiser_gives_the_average_of_its_steps() -> None:
    # Without momentum in the gradient's place (beta1 near 1 is the average; the paper's equations 3 to 5).
    parameter = nn.Parameter(torch.tensor([[2.0]]))
    config = OptimizerConfig.model_validate({"name": "schedule_free", "lr": 0.1, "weight_decay": 0.0})
    optimizer = build_optimizer(config, [("weight", parameter)])
    steps, z, x, second = 5, 2.0, 2.0, 0.0
    for k in range(steps):
        weights_to_train(optimizer)
        y = 0.1 * z + 0.9 * x
        assert parameter.item() == pytest.approx(y, rel=1e-5)
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
        second = 0.999 * second + 0.001 * (2 * y) ** 2
        z -= 0.1 * 2 * y / (math.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
        x += (z - x) / (k + 1)
        assert weights_to_evaluate(optimizer)
        assert parameter.item() == pytest.approx(x, rel=1e-5)


def test_other_optimisers_have_one_set_of_weights() -> None:
    parameter = nn.Parameter(torch.ones(1, 1))
    optimizer = build_optimizer(OptimizerConfig(), [("weight", parameter)])
    weights_to_train(optimizer)
    assert not weights_to_evaluate(optimizer)
