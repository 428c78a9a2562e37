"""The raw files for the `data` part of a configuration."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sldml.config.data import (
    DataConfig,
    ImageFolderData,
    ManifestData,
    Ntu120Data,
    SimitateData,
    SyntheticData,
    UtdMhadData,
)
from sldml.config.dotted import ConfigTree
from sldml.errors import InputError
from sldml.recordings import Layout, Recording
from sldml.recordings.readers import declared, image_folder, manifest, ntu, simitate, utd_mhad
from sldml.recordings.readers.declared import ManifestRow
from sldml.recordings.synthetic import dataset as synthetic

_NTU_ORIGIN = "NTU RGB+D 120 skeletons, to be requested from rose1.ntu.edu.sg/dataset/actionRecognition"
_UTD_ORIGIN = "UTD-MHAD, from personal.utdallas.edu/~kehtar/UTD-MHAD.html"
_SIMITATE_ORIGIN = "Simitate, from agas.uni-koblenz.de/simitate"
_IMAGES_ORIGIN = "published images, {train,test,samples,val,val_samples}/<class>/*.png; set data.folder to their folder"
_SYNTHETIC_FORMAT = 1
"""Incremented when the generator's recordings change, to invalidate older prepared sets."""


@dataclass(frozen=True)
class RawSource:
    """Raw files and how to read them."""

    dataset: str
    settings: ConfigTree
    """Settings that affect the recordings, for the key of the prepared set."""
    folder: Path
    files: tuple[Path, ...]
    layout: Layout
    read: Callable[..., Recording]
    """Reads one file, given its path; can be pickled. Raises RecordingError."""
    notes: tuple[str, ...] = ()
    """Messages for the user, such as whether the official list was applied."""
    facts: tuple[Any, ...] | None = None
    """The row of each file in a table, parallel to `files`: the second argument of `read`."""

    def key(self) -> str:
        """A hash of the files (relative path, size, modification time) and the settings."""
        facts = self.facts or (None,) * len(self.files)
        files = [(str(f.relative_to(self.folder)), *_size_and_time(f)) for f in self.files]
        return _digest([self.dataset, self.settings, files, facts])

    def listed(self) -> list[tuple[str, str, str]]:
        """Name, label and subject of each file, if a table or its folders tell them without reading the file."""
        if self.dataset == "simitate":
            return [named for file in self.files if (named := simitate.named(file)) is not None]
        return [(row.name, row.label, row.subject) for row in self.facts or () if isinstance(row, ManifestRow)]


def synthetic_key(config: SyntheticData) -> str:
    """The key of a synthetic dataset, whose files do not exist yet."""
    return _digest(["synthetic", _SYNTHETIC_FORMAT, config.model_dump()])


def find_source(config: DataConfig, data_folder: Path | None) -> RawSource:
    """Find the raw files of a recorded dataset below the data folder.

    Raises:
        InputError: the data folder, the dataset's folder in it, or its files are missing.
    """
    match config:
        case Ntu120Data():
            folder = _dataset_folder(data_folder, "ntu", _NTU_ORIGIN, lambda f: next(f.glob("*.skeleton"), None))
            return _ntu_source(folder)
        case UtdMhadData(modality=modality):
            folder = _dataset_folder(data_folder, "utd_mhad", _UTD_ORIGIN, lambda f: utd_mhad.find(f, modality) or None)
            files = utd_mhad.find(folder, modality)
            _require_files(files, folder, "a*_s*_t*.mat", _UTD_ORIGIN)
            return RawSource(
                "utd_mhad",
                {"modality": modality},
                folder,
                tuple(files),
                utd_mhad.layout(modality),
                functools.partial(utd_mhad.read, modality=modality),
            )
        case SimitateData():
            folder = _dataset_folder(data_folder, "simitate", _SIMITATE_ORIGIN, lambda f: simitate.find(f) or None)
            files = simitate.find(folder)
            _require_files(files, folder, "<category>/<class>/<person>/<sequence>/*.csv", _SIMITATE_ORIGIN)
            return RawSource("simitate", {}, folder, tuple(files), simitate.LAYOUT, simitate.read)
        case ImageFolderData(folder=name, image_px=image_px):
            folder = _dataset_folder(data_folder, name, _IMAGES_ORIGIN, image_folder.find)
            return _images_source(folder, image_px)
        case ManifestData():
            return _manifest_source(config, data_folder)
        case _:
            raise ValueError(f"{config.dataset} has no raw files to be found")


def make_source(config: SyntheticData, folder: Path) -> RawSource:
    """Synthetic recordings as a source: each is written to a `.skeleton` file in `folder` and read back."""
    source = _synthetic_source(config)
    planned = synthetic.plan(source)
    return RawSource(
        "synthetic",
        config.model_dump(),
        folder,
        tuple(folder / f"{name}.skeleton" for name, _, _ in planned),
        ntu.LAYOUT,
        functools.partial(synthetic.make_and_read, source),
        facts=tuple((action, index) for _, action, index in planned),
    )


def write_synthetic(config: SyntheticData, out: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write synthetic recordings to `<out>/ntu/*.skeleton`, all of them or none.

    Returns:
        The number of files.

    Raises:
        InputError: `out` is not empty, or cannot be written.
    """
    source = _synthetic_source(config)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(f"--out {out}: is not empty; give a new folder")
        scratch = Path(tempfile.mkdtemp(prefix=".ntu-", dir=out))
        try:
            num_files = len(synthetic.generate(source, scratch, progress))
            scratch.chmod(0o755)
            scratch.rename(out / "ntu")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); give another folder") from error
    return num_files


def _synthetic_source(config: SyntheticData) -> synthetic.SyntheticSource:
    return synthetic.SyntheticSource(
        seed=config.seed, num_auxiliary=config.num_auxiliary, recordings_per_class=config.recordings_per_class
    )


def describe_data(config: DataConfig) -> str:
    """A short description of the dataset."""
    match config:
        case Ntu120Data():
            return "NTU RGB+D 120"
        case UtdMhadData(modality=modality):
            return f"UTD-MHAD ({modality})"
        case SimitateData():
            return "Simitate (hand)"
        case ImageFolderData(folder=name, image_px=image_px):
            return f"images of {name} ({image_px} px)"
        case ManifestData(folder=name, manifest=table):
            return f"recordings of {Path(name) / table}"
        case SyntheticData(seed=seed):
            return f"synthetic recordings (seed {seed})"
        case _:
            return config.dataset


def _ntu_source(folder: Path) -> RawSource:
    files = ntu.find(folder)
    _require_files(files, folder, "S*C*P*R*A*.skeleton", _NTU_ORIGIN)
    missing = ntu.missing_list(folder)
    if missing is None:
        note = (
            "the official list of recordings with missing skeletons was not found, so it was not applied (the official "
            f"protocol needs NTU_RGBD120_samples_with_missing_skeletons.txt in {folder})"
        )
    else:
        kept = [file for file in files if file.stem not in missing]
        note = f"{len(files) - len(kept)} recordings left out by the official list of missing skeletons"
        files = kept
    settings = {"missing": sorted(missing) if missing else None}
    return RawSource("ntu120", settings, folder, tuple(files), ntu.LAYOUT, ntu.read, (note,))


def _images_source(folder: Path, image_px: int) -> RawSource:
    files = image_folder.find(folder)
    _require_files(files, folder, "<role>/<class>/*.png", _IMAGES_ORIGIN)
    return RawSource(
        "image_folder",
        {"image_px": image_px},
        folder,
        tuple(files),
        image_folder.layout(image_px),
        functools.partial(image_folder.read, image_px=image_px),
    )


def _manifest_source(config: ManifestData, data_folder: Path | None) -> RawSource:
    if Path(config.folder).is_absolute():
        data_folder = Path(config.folder)
    origin = f"your recordings and {config.manifest}, which lists them; set data.folder to their folder"
    folder = _dataset_folder(data_folder, config.folder, origin, lambda f: (f / config.manifest).is_file())
    table = folder / config.manifest
    if not table.is_file():
        raise InputError(f"{table}: no such file ({origin})")
    form = config.format or manifest.format_beside(table)
    found = manifest.find(table, allow_outside=config.allow_outside)
    settings = {"reader": declared.READER_FORMAT, "format": form.model_dump(mode="json")}
    read = functools.partial(declared.read, declared=form)
    rows = declared.layout_of(form)
    return RawSource("manifest", settings, found.folder, found.files, rows, read, found.notes, found.rows)


def _dataset_folder(data_folder: Path | None, name: str, origin: str, is_raw: Callable[[Path], object]) -> Path:
    """`<data folder>/<name>`, or the data folder itself if it contains the raw files."""
    if data_folder is None:
        raise InputError(
            f"no data folder: set --data or DATASET_FOLDER to the folder of {name}/ ({origin}). To try without data: "
            "--space demo"
        )
    folder = data_folder / name
    if folder.is_dir():
        return folder
    if data_folder.is_dir() and is_raw(data_folder):
        return data_folder
    state = f"contains no {name}/" if data_folder.is_dir() else "does not exist"
    raise InputError(
        f"data folder {data_folder}: {state}; it should contain {name}/ ({origin}). To try without data: --space demo"
    )


def _require_files(files: list[Path], folder: Path, pattern: str, origin: str) -> None:
    if not files:
        raise InputError(f"{folder}: contains no file {pattern} ({origin}). To try without data: --space demo")


def _size_and_time(file: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds; -1 for a missing file (which a table may list)."""
    try:
        state = file.stat()
    except (OSError, ValueError):
        return -1, -1
    return state.st_size, state.st_mtime_ns


def _digest(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
