"""Optimisers without the compiler: the same numbers as torch's own, without the compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import schedulefree
import torch
from support.small import assert_same_state

from sldml.training import eager

CASES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "Adam": (torch.optim.Adam, {}),
    "AdamW": (torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
    "AdamWScheduleFree": (schedulefree.AdamWScheduleFree, {"weight_decay": 0.1}),
    "RMSprop": (torch.optim.RMSprop, {"momentum": 0.5}),
    "SGD": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
}


def trained(optimizer_class: Any, options: dict[str, Any]) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A small network after ten steps, its optimiser saved and restored in between."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def make() -> torch.optim.Optimizer:
        made = optimizer_class([{"params": network.parameters()}], lr=0.05, **options)
        if hasattr(made, "train"):
            made.train()
        return made

    optimizer = make()
    for step in range(10):
        if step == 5:
            state = optimizer.state_dict()
            optimizer = make()
            optimizer.load_state_dict(state)
        optimizer.zero_grad(set_to_none=True)
        network(torch.randn(16, 4, generator=generator)).square().mean().backward()
        optimizer.step()
    return network, optimizer


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_original_does(name: str):
    original, options = CASES[name]
    network, optimizer = trained(getattr(eager, name), options)
    expected_network, expected_optimizer = trained(original, options)
    assert isinstance(optimizer, original)
    assert_same_state(network.state_dict(), expected_network.state_dict())
    assert_same_state(optimizer.state_dict(), expected_optimizer.state_dict())


def test_a_step_records_no_gradients():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = eager.SGD([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    assert weight.is_leaf
    assert torch.equal(weight, torch.full((2,), 0.9))


def test_hooks_before_a_step_are_called():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = eager.SGD([weight], lr=0.1)
    called = []
    optimizer.register_step_pre_hook(lambda *arguments: called.append(arguments[0]))
    optimizer.step()
    assert called == [optimizer]


def test_the_compiler_is_not_imported():
    code = """
import sys, torch
from sldml.training import eager
for name in ("Adam", "AdamW", "AdamWScheduleFree", "RMSprop", "SGD"):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = getattr(eager, name)([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    getattr(optimizer, "train", lambda: None)()
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
    schedule.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert not torch.equal(weight, torch.ones(2)), name
print("torch._dynamo" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "False"), run.stderr
