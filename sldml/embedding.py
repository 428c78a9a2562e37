"""From recordings to embeddings: the whole way of one batch, and of all recordings of a subset."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sldml.augment import augment
from sldml.batches import Signals
from sldml.config import AugmentConfig, NormalizeConfig, RepresentationConfig
from sldml.images import represent, to_input
from sldml.normalize import normalize
from sldml.protocols import Subset
from sldml.signals import Layout

_BATCH = 256


def encoder_input(
    signals: Tensor,
    normalization: NormalizeConfig,
    representation: RepresentationConfig,
    layout: Layout,
    augmentation: AugmentConfig | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Signals [B, T, rows, 3] → normalise → augment → represent → what the encoder takes [B, 3, H, W]."""
    signals = normalize(signals, normalization, layout)
    if augmentation is not None:
        signals = augment(signals, augmentation, layout, generator)
    return to_input(represent(signals, representation, layout))


@torch.inference_mode()
def embed(
    encoder: nn.Module,
    signals: Signals,
    subset: Subset,
    normalization: NormalizeConfig,
    representation: RepresentationConfig,
    layout: Layout,
) -> Tensor:
    """Embed all recordings of a subset, encoder in evaluation mode: float32 [N, dim] on the signals' device."""
    was_training = encoder.training
    encoder.eval()
    offsets, lengths = torch.tensor(subset.offsets), torch.tensor(subset.lengths)
    parts = []
    for piece in torch.arange(len(subset)).split(_BATCH):
        batch = signals.gather(offsets[piece], lengths[piece], representation.steps)
        images = encoder_input(batch, normalization, representation, layout)
        if images.device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        parts.append(encoder(images).float())
    encoder.train(was_training)
    return torch.cat(parts)
