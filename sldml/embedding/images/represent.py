"""Representations by configuration: the images, their size, and what they require."""

from __future__ import annotations

from torch import Tensor

from sldml.config.representation import RepresentationConfig
from sldml.embedding.image_augment import imported_images
from sldml.embedding.images.curves import signal_curves
from sldml.embedding.images.motion import magnitude, orientation
from sldml.embedding.images.resize import resize
from sldml.embedding.images.rows import drawn_rows, present_rows, take_rows, walked_rows
from sldml.embedding.images.swap_axes import reindexed, swap_axes
from sldml.embedding.images.tsrji import reference_joints, tsrji, tsrji_rows
from sldml.errors import InputError
from sldml.recordings import Layout


def represent(signals: Tensor, config: RepresentationConfig, layout: Layout, *, as_input: bool = False) -> Tensor:
    """Represent signals as images.

    Sensors are rows like joints: `swap_axes`, `reindexed` and `signals` show them below the bodies; where rows
    follow a walk of the skeleton (`magnitude`, `orientation`, `tsrji`), they stand once, below the last body. A
    body that is absent in a step (all zeros) is shown as zeros; `signals` does not draw it, and images of motion show
    it as still.

    Args:
        signals: float [B, config.steps, rows, 3], normalised; not modified.
        config: Which representation, and the size of its images.
        layout: The meaning of the rows.
        as_input: Scale the pixels for an encoder, as `to_input` does.

    Returns:
        float [B, 3, H, W] from 0 to 255, not rounded, as `image_shape` says; resized bilinearly (with
        antialiasing) if `config.image_px` is set.

    Raises:
        ValueError: `signals` does not have `config.steps` frames and the layout's rows.
        InputError: the representation does not apply to these rows (see `check_representation`).
    """
    if signals.dim() != 4 or signals.shape[1:] != (config.steps, layout.num_rows, 3):
        raise ValueError(
            f"signals must be [recordings, {config.steps} steps, {layout.num_rows} rows, 3], not {list(signals.shape)}"
        )
    check_representation(config, layout)
    images, side = _images(signals, config, layout), config.image_px
    if side is not None and side * side < images.shape[2] * images.shape[3]:
        images = resize(images, side)
    if as_input:  # before growing, while images are small: resizing takes means, so the order does not matter
        own = config.name != "image" and images.is_contiguous()  # imported images are a view of the signals
        images = _to_input(images if own else images.clone())
    return images if side is None else resize(images, side)


def _images(signals: Tensor, config: RepresentationConfig, layout: Layout) -> Tensor:
    rows = drawn_rows(config, layout)
    drawn = take_rows(signals, rows, dim=2)
    match config.name:
        case "swap_axes":
            return swap_axes(drawn, config.chosen)
        case "reindexed":
            return reindexed(drawn, config.chosen)
        case "tsrji":
            return tsrji(drawn, config, layout)
        case "signals":
            return signal_curves(drawn, take_rows(present_rows(signals, layout), rows, dim=2), config.chosen)
        case "magnitude" | "orientation":
            motion = magnitude if config.name == "magnitude" else orientation
            present = take_rows(present_rows(signals, layout), rows, dim=2)
            return motion(drawn, present, config.chosen, walked_rows(config, layout))
        case "image":
            return imported_images(signals)


def image_shape(config: RepresentationConfig, layout: Layout) -> tuple[int, int, int]:
    """Channels, height and width (3, H, W) of the images that `represent` makes.

    Raises:
        InputError: the representation does not apply to these rows (see `check_representation`).
    """
    check_representation(config, layout)
    if config.image_px is not None:
        return 3, config.image_px, config.image_px
    match config.name:
        case "swap_axes" | "reindexed":
            return 3, len(drawn_rows(config, layout)), config.steps
        case "tsrji":
            return 3, len(tsrji_rows(config, layout)), config.steps
        case "signals":
            return 3, config.chosen.height_px, config.chosen.width_px
        case "magnitude":
            return 3, len(walked_rows(config, layout)), config.chosen.columns
        case "orientation":
            num_distances = len(config.chosen.distances)
            return 3, num_distances * len(walked_rows(config, layout)), config.chosen.columns
        case "image":
            return 3, layout.image_rows, config.steps


def check_representation(config: RepresentationConfig, layout: Layout) -> None:
    """Check that a representation applies to rows like these.

    Raises:
        InputError: imported images with a representation other than `image`, or with another width than their own;
            signals with `image`; or `tsrji` without a reference joint. The message says what to do instead.
    """
    if layout.image_rows > 0 and config.name != "image":
        raise InputError(
            f"representation.name {config.name} shows signals, but these recordings are imported images: set "
            f"representation.name=image and representation.steps={layout.image_rows}"
        )
    if layout.image_rows == 0 and config.name == "image":
        raise InputError(
            "representation.name image shows imported images (data.dataset image_folder), but these recordings are "
            "signals: choose another one, such as swap_axes"
        )
    if config.name == "image" and config.steps != layout.image_rows:
        raise InputError(
            f"representation.steps {config.steps}: imported images have {layout.image_rows} columns, and their "
            f"columns are the steps: set representation.steps={layout.image_rows} (representation.image_px resizes)"
        )
    if config.name == "tsrji":
        reference_joints(config.chosen, layout)


def to_input(images: Tensor) -> Tensor:
    """Scale pixels from 0…255 to -2…2, about the range that ImageNet weights were trained on."""
    return _to_input(images.clone())


def _to_input(images: Tensor) -> Tensor:
    return images.sub_(127.5).mul_(4 / 255)
