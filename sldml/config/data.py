"""Where recordings come from: the `data` part of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sldml.config.parts import Part
from sldml.config.recording_format import RecordingFormat


class Ntu120Data(Part):
    """NTU RGB+D 120 `.skeleton` files below `<data folder>/ntu`."""

    dataset: Literal["ntu120"] = "ntu120"


class UtdMhadData(Part):
    """UTD-MHAD `.mat` files below `<data folder>/utd_mhad`."""

    dataset: Literal["utd_mhad"] = "utd_mhad"
    modality: Literal["skeleton", "inertial", "fused"] = "skeleton"


class SyntheticData(Part):
    """Made recordings of an articulated body, written as NTU `.skeleton` files and read like any."""

    dataset: Literal["synthetic"] = "synthetic"
    seed: int = Field(0, ge=0)
    num_auxiliary: int = Field(30, ge=4, le=100)
    recordings_per_class: int = Field(12, ge=2, le=90)


class SimitateData(Part):
    """Simitate `.csv` files below `<data folder>/simitate`: the trajectory of the demonstrator's hand."""

    dataset: Literal["simitate"] = "simitate"


class ImageFolderData(Part):
    """Published images, `<data folder>/<folder>/{train,test,samples,val,val_samples}/<class>/*.png`, as they are."""

    dataset: Literal["image_folder"] = "image_folder"
    folder: str = "images"
    """Below the data folder, for example `ntu/ntu_swap_axes_testswapaxes/one_shot`."""
    image_px: int = Field(256, ge=16, le=512)
    """Images are brought to this side when they are imported."""


class ManifestData(Part):
    """Any other recordings: a table `path,label,subject[,rate_hz,…]` over files whose numbers `format` explains."""

    dataset: Literal["manifest"] = "manifest"
    folder: str = "."
    """Below the data folder, or absolute."""
    manifest: str = "manifest.csv"
    """CSV or Parquet, in that folder; its paths are relative to its own folder."""
    allow_outside: bool = False
    """Whether paths may lead out of the manifest's folder."""
    format: RecordingFormat | None = None
    """None: in the YAML file beside the manifest, which has its name."""


DataConfig = Annotated[
    Ntu120Data | UtdMhadData | SyntheticData | SimitateData | ImageFolderData | ManifestData,
    Field(discriminator="dataset"),
]
