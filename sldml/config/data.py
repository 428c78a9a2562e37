"""The source of the recordings: the `data` part of a configuration."""

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
    """Synthetic recordings of an articulated body, written and read as NTU `.skeleton` files."""

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
    """Side of the square to which images are resized on import."""


class ManifestData(Part):
    """Any other recordings: a table `path,label,subject[,rate_hz,…]` of files, with their `format`."""

    dataset: Literal["manifest"] = "manifest"
    folder: str = "."
    """Below the data folder, or absolute."""
    manifest: str = "manifest.csv"
    """CSV or Parquet file in that folder; its paths are relative to its own folder."""
    allow_outside: bool = False
    """Whether paths may lead out of the manifest's folder."""
    format: RecordingFormat | None = None
    """None: read the YAML file next to the manifest, with the same name."""


DataConfig = Annotated[
    Ntu120Data | UtdMhadData | SyntheticData | SimitateData | ImageFolderData | ManifestData,
    Field(discriminator="dataset"),
]
