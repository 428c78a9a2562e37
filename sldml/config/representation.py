"""From signals to images: normalisation, augmentation, representation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sldml.config.parts import BranchedPart, Part


class NormalizeConfig(Part):
    """Normalisation of a recording's signals: centre, turn and scale, in this order.

    All quantities are computed from the recording itself, so that new recordings are treated alike. Imported images are
    not changed.
    """

    center: Literal["none", "first_frame", "every_frame", "mean"] = "every_frame"
    """Subtract a point from all bodies: the main actor's root in the first frame or in every frame, or the mean of all
    the main actor's joints over all frames."""
    scale: Literal["none", "torso", "extent", "per_axis"] = "torso"
    """Divide bodies by the mean torso length (`torso`), or by the standard deviation of the main actor's joints about
    their mean, over all frames: one number for x, y and z (`extent`), or one for each (`per_axis`)."""
    view: Literal["as_recorded", "face_camera"] = "as_recorded"
    """Turn the body about the vertical axis so that, averaged over the recording, its shoulders face the camera."""
    sensors: Literal["none", "full_scale", "per_sensor", "per_axis"] = "full_scale"
    """Divide sensors by their full scale, or by their standard deviation about their mean in the recording: one number
    for a sensor's three axes (`per_sensor`), or one for each (`per_axis`)."""


class ImageAugment(Part):
    """Random changes of the image that training sees, drawn anew for each image in each batch; 0 is off.

    For imported images; for signals, what `AugmentConfig` has beside it changes the recording itself.
    """

    rotation_deg: float = Field(0.0, ge=0.0, le=180.0)
    """Largest turn about the centre, to either side."""
    shear_deg: float = Field(0.0, ge=0.0, le=60.0)
    """Largest slant of the columns, to either side."""
    perspective: float = Field(0.0, ge=0.0, le=0.6)
    """Each corner moves inwards by up to this share of half a side (beyond 2/3 it could fold the image)."""
    translate: float = Field(0.0, ge=0.0, le=0.9)
    """Largest shift along each side, as a share of it."""
    scale: float = Field(0.0, ge=0.0, le=0.9)
    """Largest relative change of size."""
    crop: float = Field(0.0, ge=0.0, le=0.8)
    """Largest share of each side that is cut off; what is left fills the image."""
    flip: float = Field(0.0, ge=0.0, le=1.0)
    """Probability that an image is mirrored left to right: where time runs across, that it runs backwards."""

    @property
    def is_on(self) -> bool:
        """Whether anything is changed at all."""
        return any(value > 0 for value in self.__dict__.values())


class AugmentConfig(Part):
    """Random changes of the training signals, drawn anew for each recording in each batch; 0 is off."""

    time_warp: float = Field(0.0, ge=0.0, le=0.9)
    """Strength of a smooth random change of speed along the recording."""
    time_crop: float = Field(0.0, ge=0.0, le=0.8)
    """Largest share of the recording that is cut off (start and end together)."""
    rotation_deg: float = Field(0.0, ge=0.0, le=180.0)
    """Largest rotation of the body about the vertical axis, to either side."""
    scale: float = Field(0.0, ge=0.0, le=0.9)
    """Largest relative change of size."""
    noise: float = Field(0.0, ge=0.0, le=1.0)
    """Standard deviation of Gaussian noise on every value, in the normalised signals' units."""
    image: ImageAugment = ImageAugment()
    """Changes of the image itself, after those of the signals."""


class SwapAxes(Part):
    """Rows down, time across, x y z as red, green, blue (SL-DML, arXiv 2004.11085)."""

    value_range: Literal["recording", "fixed"] = "recording"
    """`recording`: scaled by the recording's own minimum and maximum; `fixed`: by `half_range` for all."""
    half_range: float = Field(2.5, gt=0.0, le=1000.0)
    """With `fixed`, normalised values from minus to plus this are mapped to 0 to 255 and clipped beyond."""


class Reindexed(Part):
    """Each row's x, y and z one after the other, three successive values a pixel (Skeleton-DML, arXiv 2012.13823)."""

    value_range: Literal["recording", "fixed"] = "recording"
    """`recording`: scaled by the recording's own minimum and maximum; `fixed`: by `half_range` for all."""
    half_range: float = Field(2.5, gt=0.0, le=1000.0)
    """With `fixed`, normalised values from minus to plus this are mapped to 0 to 255 and clipped beyond."""


class SignalCurves(Part):
    """Every signal (row and axis) as a one-pixel curve over time (Gimme Signals, arXiv 2003.06156)."""

    height_px: int = Field(128, ge=16, le=512)
    width_px: int = Field(128, ge=16, le=512)
    value_range: Literal["recording", "signal"] = "recording"
    """Range of the curves: minimum and maximum of the whole recording, or of each signal."""
    curve_height: float = Field(4.0, ge=1.0, le=100.0)
    """Height of that range in rows: with 1 a curve stays in its strip; with more, neighbours overlap."""
    start_intensity: float = Field(0.2, ge=0.0, le=1.0)
    """Brightness at the start of a curve; it increases linearly to 1 at the end."""


class MotionPart(Part):
    """Shared by the two motion images (SkeleMotion, Caetano et al. 2019, arXiv 1907.13025).

    Distances are counted in steps of the resampled recording, not in frames of the source: with 64 steps a
    recording of 2 s has 32 steps a second.
    """

    temporal_distance: int = Field(4, ge=1, le=256)
    """Displacements are computed over this number of steps."""
    temporal_distance_2: int | None = Field(None, ge=1, le=256)
    """An optional second distance."""
    temporal_distance_3: int | None = Field(None, ge=1, le=256)
    """An optional third distance; needs the second one."""
    columns: int = Field(100, ge=8, le=512)
    """Width of the image: motion is resampled in time to this number of columns."""

    @property
    def distances(self) -> tuple[int, ...]:
        """The distances that are set, in order."""
        found = (self.temporal_distance, self.temporal_distance_2, self.temporal_distance_3)
        return tuple(distance for distance in found if distance is not None)

    @model_validator(mode="after")
    def _third_needs_second(self) -> Self:
        if self.temporal_distance_3 is not None and self.temporal_distance_2 is None:
            raise ValueError("temporal_distance_3 is set, but temporal_distance_2 is not: set the second one first")
        return self


class Magnitude(MotionPart):
    """Displacement of each joint, along a walk of the skeleton's tree, with one channel per distance.

    With one distance all three channels are the same, with two the last two.
    """

    full_scale: float = Field(1.0, gt=0.0, le=1000.0)
    """This length (in the unit of the normalised signals) is mapped to 255; longer displacements are clipped."""


class Orientation(MotionPart):
    """Direction of each joint's motion, along the same walk; images of further distances are stacked below."""

    still_threshold: float = Field(0.004, ge=0.0, le=10.0)
    """Displacements shorter than this times the distance (in the normalised signals' unit) count as still."""


class Tsrji(Part):
    """A reference joint before every joint of a walk of the skeleton's tree (Caetano et al. 2019, arXiv 1909.05704)."""

    reference: str = Field("all", min_length=1)
    """`all`: the images of all the skeleton's reference joints, one below the other; else one joint's name."""
    value_range: Literal["recording", "fixed"] = "recording"
    """`recording`: scaled by the recording's own minimum and maximum; `fixed`: by the ranges below, the paper's.

    These are metres in camera coordinates, for `normalize.center` and `normalize.scale` none.
    """
    x_low: float = Field(-3.0, ge=-1000.0, le=1000.0)
    x_high: float = Field(3.0, ge=-1000.0, le=1000.0)
    y_low: float = Field(-2.0, ge=-1000.0, le=1000.0)
    y_high: float = Field(2.0, ge=-1000.0, le=1000.0)
    z_low: float = Field(0.5, ge=-1000.0, le=1000.0)
    z_high: float = Field(4.0, ge=-1000.0, le=1000.0)
    sensor_half_range: float = Field(1.0, gt=0.0, le=1000.0)
    """With `fixed`, sensor values from minus to plus this become 0 to 255: 1 is a sensor's full scale."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        for axis in "xyz":
            low, high = getattr(self, f"{axis}_low"), getattr(self, f"{axis}_high")
            if not low < high:
                raise ValueError(f"`{axis}_low < {axis}_high` must hold, but they are {low} and {high}")
        return self


class RepresentationConfig(BranchedPart):
    """The image representation of the resampled, normalised and augmented signals."""

    name: Literal["swap_axes", "reindexed", "signals", "magnitude", "orientation", "tsrji", "image"] = "swap_axes"
    """`image` is for imported images, which need it."""
    steps: int = Field(64, ge=8, le=512)
    """Each recording is resampled in time to this many steps."""
    image_px: int | None = Field(None, ge=16, le=512)
    """Side of the square input image of the encoder; None keeps the representation's own height and width."""
    num_bodies: int | None = Field(None, ge=1, le=8)
    """Number of bodies in the image, the main actor first; None takes all."""
    swap_axes: SwapAxes | None = None
    reindexed: Reindexed | None = None
    signals: SignalCurves | None = None
    magnitude: Magnitude | None = None
    orientation: Orientation | None = None
    tsrji: Tsrji | None = None

    @model_validator(mode="after")
    def _distances_are_within_the_steps(self) -> Self:
        motion = self.magnitude or self.orientation
        if motion is not None and max(motion.distances) >= self.steps:
            raise ValueError(
                f"{self.name}.temporal_distance counts steps and must be less than `steps`, "
                f"but it is {max(motion.distances)} of {self.steps}"
            )
        return self
