"""From recordings to embeddings: one batch of an encoder's input, and the embeddings of all recordings of a view."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sldml.config.encoder import EncoderConfig, Takes
from sldml.config.matcher import Alignment
from sldml.config.representation import AugmentConfig, NormalizeConfig, RepresentationConfig
from sldml.embedding.augment import augment
from sldml.embedding.encoders import Encoder
from sldml.embedding.image_augment import augment_images
from sldml.embedding.images import drawn_rows, image_shape, represent, to_input
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.protocols.split import Split
from sldml.recordings import Layout

_BATCH = 256


def encoder_input(
    signals: Tensor,
    normalization: NormalizeConfig,
    representation: RepresentationConfig,
    layout: Layout,
    augmentation: AugmentConfig | None = None,
    generator: torch.Generator | None = None,
    *,
    takes: Takes = "images",
) -> Tensor:
    """Normalise, augment and represent a batch of signals [B, T, rows, 3]: images [B, 3, H, W] for the encoder.

    The image itself is augmented last (`augmentation.image`), at the size that the encoder sees. For an encoder of
    signals (`takes`), returns the augmented signals [B, T, drawn rows, 3]: of the representation, only the drawn rows
    and the number of steps are used.
    """
    signals = normalize(signals, normalization, layout)
    if augmentation is not None:
        signals = augment(signals, augmentation, layout, generator)
    if takes == "signals":
        return signals[:, :, drawn_rows(representation, layout)]
    if augmentation is None or not augmentation.image.is_on:
        return represent(signals, representation, layout, as_input=True)
    images = represent(signals, representation, layout)
    return to_input(augment_images(images, augmentation.image, generator))


def input_shape(encoder: EncoderConfig, representation: RepresentationConfig, layout: Layout) -> tuple[int, int, int]:
    """The shape of one recording as `encoder_input` makes it: (3, H, W) of an image, (T, rows, 3) of signals.

    Raises:
        InputError: the representation does not apply to these rows, or the encoder takes signals and the recordings are
            imported images.
    """
    if encoder.takes == "images":
        return image_shape(representation, layout)
    if layout.image_rows:
        raise InputError(
            f"encoder.name {encoder.name} reads signals, but the recordings are imported images: choose an encoder "
            "of images, for example encoder.name=small_cnn"
        )
    return representation.steps, len(drawn_rows(representation, layout)), 3


@torch.inference_mode()
def embed(
    encoder: Encoder,
    view: View,
    normalization: NormalizeConfig,
    representation: RepresentationConfig,
    *,
    frames: Alignment | None = None,
) -> Tensor:
    """Embed all recordings of a view with the encoder in evaluation mode: float32 [N, dim] on the view's device.

    With `frames`, returns the features along time that an alignment compares instead: [N, steps, dim].
    """
    was_training = encoder.training
    encoder.eval()
    parts = []
    for index in torch.arange(len(view)).split(_BATCH):
        batch = view.batch(index, representation.steps)
        inputs = encoder_input(batch, normalization, representation, view.layout, takes=encoder.takes)
        if frames is None:
            parts.append(encoder(inputs).float())
        else:
            parts.append(encoder.frames(inputs, steps=frames.steps, row_groups=frames.row_groups))
    encoder.train(was_training)
    return torch.cat(parts)


@torch.inference_mode()
def embed_each(
    encoders: Sequence[Encoder],
    view: View,
    normalization: NormalizeConfig,
    representation: RepresentationConfig,
    alignment: Alignment,
    between: Callable[[], None] = lambda: None,
) -> list[tuple[Tensor, Tensor]]:
    """Embed all recordings of a view with several encoders of one kind, in evaluation mode, from the same inputs.

    Args:
        encoders: The networks, on the view's device.
        view: The recordings.
        normalization: Of the signals.
        representation: Of the signals.
        alignment: What the features along time are pooled to.
        between: Called after each network has embedded a batch.

    Returns:
        For each encoder, its embeddings [N, dim] and its features along time [N, steps, dim], float32 on the view's
        device: both what `embed` returns.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in encoders]
    for encoder in encoders:
        encoder.eval()
    for index in torch.arange(len(view)).split(_BATCH):
        batch = view.batch(index, representation.steps)
        inputs = encoder_input(batch, normalization, representation, view.layout, takes=encoders[0].takes)
        for encoder, own in zip(encoders, parts, strict=True):
            embedded, frames = encoder.both(inputs, steps=alignment.steps, row_groups=alignment.row_groups)
            own.append((embedded.float(), frames))
            between()
    return [(torch.cat([e for e, _ in own]), torch.cat([f for _, f in own])) for own in parts]


def require_one_input_shape(
    split: Split, encoders: Sequence[EncoderConfig], representation: RepresentationConfig, layout: Layout
) -> None:
    """Check that each encoder gets inputs of one shape in training and in the sealed test.

    Raises:
        InputError: training and test use different rows, and the recordings lack them or the input shapes differ.
    """
    sides = split.development.train.rows, split.sealed.exemplars.rows
    if sides == ("all", "all"):
        return
    try:
        parts = [layout.part(rows) for rows in sides]
    except ValueError as error:
        raise InputError(
            f"{split.description}: {error}; choose data that holds both sides (UTD-MHAD: data.modality=fused)"
        ) from error
    for encoder in encoders:
        first, second = (input_shape(encoder, representation, part) for part in parts)
        if first != second and encoder.takes == "signals":
            raise InputError(
                f"{split.description}: encoder.name {encoder.name} would read {first[1]} rows in training and "
                f"{second[1]} in the test; choose an encoder of images, for example encoder.name=small_cnn, and set "
                "representation.image_px"
            )
        if first != second:
            raise InputError(
                f"{split.description}: images are {first[1]} x {first[2]} pixels in training and {second[1]} x "
                f"{second[2]} in the test; set representation.image_px, so that an encoder sees both at one size"
            )
