"""ImageNet weights of torchvision's networks, from torch's cache or downloaded into it."""

from __future__ import annotations

import http.client
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from sldml.errors import InputError


class WeightsError(InputError):
    """Pretrained weights are neither cached on this machine nor can be downloaded."""


def imagenet_state(name: str) -> dict[str, Tensor]:
    """The default ImageNet weights of torchvision's network `name`, on the CPU. Executes no pickle.

    Raises:
        WeightsError: they are neither cached nor can be downloaded.
    """
    from torchvision.models import get_model_weights  # takes seconds: it imports torch's compiler

    weights = get_model_weights(name).DEFAULT
    try:
        # Torch downloads into a temporary file, checks its hash, moves it and removes what is left over, so
        # neither an interrupted download nor two at once leave half a file under the final name.
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, http.client.HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        reason = " ".join(str(error).split()) or type(error).__name__
        if cached.exists():
            problem, remedy = "cannot be read", f"remove {cached}"
        else:
            problem, remedy = "are not cached and cannot be downloaded", f"put {weights.url} into {cached.parent}"
        raise WeightsError(
            f"ImageNet weights of {name} {problem} ({reason}): {remedy}, or set encoder.{name}.weights=none"
        ) from error
    # DenseNet's files are older than its modules' names: norm.1 is norm1 there now.
    return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", key): state[key] for key in state}
