"""From signals to images: normalisation, augmentation, representation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sldml.parts import Choice, Part


class NormalizeConfig(Part):
    """What is done to a recording's signals before anything looks at them (skeleton rows; sensors: scale)."""

    center: Literal["none", "first_frame", "every_frame"] = "every_frame"
    """Subtract the root joint: where it is in the first frame, or in every frame."""
    scale: Literal["none", "torso"] = "torso"
    """Divide by the recording's mean torso length; sensors are divided by their full scale."""
    view: Literal["as_recorded", "face_camera"] = "as_recorded"
    """Turn the body about the vertical so that, on the recording's mean, its shoulders face the camera."""


class AugmentConfig(Part):
    """Random changes of the training signals, drawn anew for each recording in each batch; 0 is off."""

    time_warp: float = Field(0.0, ge=0.0, le=0.9)
    """Strength of a smooth random change of speed along the recording."""
    time_crop: float = Field(0.0, ge=0.0, le=0.8)
    """Largest share of the recording that is cut off (start and end together)."""
    rotation_deg: float = Field(0.0, ge=0.0, le=180.0)
    """Largest turn of the body about the vertical, to either side."""
    scale: float = Field(0.0, ge=0.0, le=0.9)
    """Largest relative change of size."""
    noise: float = Field(0.0, ge=0.0, le=1.0)
    """Standard deviation of Gaussian noise on every value, in the normalised signals' units."""


class SwapAxes(Part):
    """Rows down, time across, x y z as red, green, blue (SL-DML, arXiv 2004.11085)."""

    value_range: Literal["recording", "fixed"] = "recording"
    """`recording`: scaled by the recording's own minimum and maximum; `fixed`: by `half_range` for all."""
    half_range: float = Field(2.5, gt=0.0, le=1000.0)
    """With `fixed`, normalised values from minus to plus this become 0 to 255; beyond it they are clipped."""


class RepresentationConfig(Choice):
    """How the signals become an image."""

    name: Literal["swap_axes"] = "swap_axes"
    steps: int = Field(64, ge=8, le=512)
    """Each recording is resampled in time to this many steps."""
    image_px: int | None = Field(None, ge=16, le=512)
    """Side of the square image that the encoder sees; None leaves rows × steps as they are."""
    num_bodies: int | None = Field(None, ge=1, le=8)
    """The image shows the rows of so many bodies, the main actor's first; None shows all that there are."""
    swap_axes: SwapAxes | None = None
