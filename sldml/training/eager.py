"""Optimisers for training without `torch.compile`: they do not import the compiler."""

from __future__ import annotations

import inspect
from typing import TypeVar

import schedulefree
import torch

AnOptimizer = TypeVar("AnOptimizer", bound=torch.optim.Optimizer)

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def eager(optimizer: type[AnOptimizer]) -> type[AnOptimizer]:
    """Make a subclass that computes the same, less what only `torch.compile` needs.

    torch wraps these methods and `step` for the compiler. The wrappers import `torch._dynamo` at their first call,
    which brings sympy, triton and `torch.distributed.tensor`: a quarter of the processor time from the start of a
    worker to the end of its first step. The subclass has the functions inside the wrappers, by `inspect.unwrap`;
    `step` stays without gradients.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {"__doc__": optimizer.__doc__, **methods, "step": step})


Adam = eager(torch.optim.Adam)
AdamW = eager(torch.optim.AdamW)
AdamWScheduleFree = eager(schedulefree.AdamWScheduleFree)
RMSprop = eager(torch.optim.RMSprop)
SGD = eager(torch.optim.SGD)
