"""Raw files that a person gives to a recogniser: which there are, what they hold, and what is said of their actions.

Unlike the recordings of a dataset they may be called anything and lie anywhere. What a file's action is may be said,
surest first, by a table beside it (`manifest.csv`: path,label,subject), by the sub-folder that it lies in, or by a name
as in the dataset (NTU `…A001.skeleton`, UTD-MHAD `a1_s1_t1_….mat`).
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sldml.config.data import (
    DataConfig,
    ImageFolderData,
    ManifestData,
    Ntu120Data,
    SyntheticData,
    UtdMhadData,
)
from sldml.config.recording_format import RecordingFormat
from sldml.errors import InputError
from sldml.recordings import Layout, Recording, RecordingError, Rows
from sldml.recordings.readers import declared, image_folder, manifest, ntu, simitate, utd_mhad
from sldml.recordings.readers.declared import Row
from sldml.recordings.reading import Reader, read_all

_TABLE = "manifest.csv"
_ESTIMATES = "openpose.csv"
_NO_RECORDINGS = (".yaml", ".yml", ".json", ".md", ".parquet", ".pq")
"""Endings of files that lie beside recordings of a declared form."""


@dataclass(frozen=True)
class RawFile:
    """A file that should hold a recording."""

    path: Path
    row: Row | None = None
    """What a table says of it."""
    folder_label: str = ""
    """The sub-folder of a given folder that it lies in; empty for a file that was given itself."""


@dataclass(frozen=True)
class ReadFile:
    """What became of a `RawFile`."""

    file: RawFile
    recording: Recording | None
    reason: str = ""
    """Why there is no recording."""


class RawFiles:
    """Finds and reads raw files as the recordings that a model was found with were read."""

    def __init__(self, data: DataConfig, layout: Layout, beside: Path | None = None) -> None:
        """
        Args:
            data: How files are read.
            layout: The rows that the model sees: all that files hold, or their bodies or sensors alone.
            beside: Where a manifest's YAML file is looked for, should `data` not say what the numbers are.

        Raises:
            InputError: recordings read so do not have these rows, or nothing says what the numbers are.
        """
        if isinstance(data, ManifestData) and data.format is None:
            table = (beside or Path()) / data.manifest
            data = data.model_copy(update={"format": manifest.format_beside(table)})
        if isinstance(data, UtdMhadData) and data.modality == "fused" and layout == utd_mhad.layout("skeleton"):
            data = data.model_copy(update={"modality": "skeleton"})  # the bodies of a pair are those of its skeleton
        self.data, self.layout = data, layout
        self._read = functools.partial(_read, data=data, rows=_rows_of(_layout(data), layout))

    def find(self, given: Path) -> list[RawFile]:
        """The files that `given` means: itself, or those of a recording's kind in the folder and below, in order.

        Where a folder holds a table, it says which.

        Raises:
            InputError: there is no such file or folder, no file of that kind, or something is wrong in the table.
        """
        if given.is_file():
            return [RawFile(given)]
        if not given.is_dir():
            raise InputError(f"{given}: there is no such file or folder")
        name = self.data.manifest if isinstance(self.data, ManifestData) else _TABLE
        if (given / name).is_file():
            outside = isinstance(self.data, ManifestData) and self.data.allow_outside
            table = manifest.find(given / name, allow_outside=outside)
            return [RawFile(file, row) for file, row in zip(table.files, table.rows, strict=True)]
        paths = [path for path in sorted(given.rglob("*")) if self._may_be(path) and not _is_hidden(path, given)]
        if not paths:
            raise InputError(f"{given}: no file in it or below is one of {self._kind()}")
        return [RawFile(path, folder_label=self._folder_label(path.relative_to(given))) for path in paths]

    def one_each(self, files: Sequence[RawFile]) -> list[RawFile]:
        """Without those that are there twice; of a pair that makes one recording, its first file stands for it."""
        found: dict[str, RawFile] = {}
        for file in files:
            path = file.path
            if isinstance(self.data, UtdMhadData) and self.data.modality == "fused" and file.row is None:
                partner = path.with_name(path.name.replace("_inertial.mat", "_skeleton.mat"))
                path = partner if partner.is_file() else path
            found.setdefault(os.path.realpath(path), dataclasses.replace(file, path=path))
        return list(found.values())

    def read(self, files: Sequence[RawFile]) -> Iterator[ReadFile]:
        """Read files, in order; by all cores where that is worth it."""
        jobs = [(file.path, file.row) for file in files]
        reader = Reader(self._read, self.layout)
        with closing(read_all(reader, jobs, os.cpu_count() or 1)) as results:
            for file, result in zip(files, results, strict=True):
                if isinstance(result, RecordingError):
                    yield ReadFile(file, None, result.reason)
                    continue
                told = result.facts
                yield ReadFile(
                    file,
                    Recording(
                        np.ascontiguousarray(result.values, dtype=np.float32),
                        told["rate_hz"],
                        self.layout.row_names,
                        told["name"],
                        told["label"],
                        told["subject"],
                        told["details"],
                    ),
                )

    def read_one(self, file: RawFile) -> Recording:
        """Read one file here and now. Raises RecordingError."""
        return self._read(file.path, file.row)

    # --------------------------------------------------------------------------------------------- what is a file

    def _may_be(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        match self.data:
            case Ntu120Data() | SyntheticData():
                fits = suffix == ".skeleton"
            case UtdMhadData(modality=modality):
                kind = "inertial" if modality == "inertial" else "skeleton"
                kinds = ("_skeleton", "_inertial", "_depth")
                fits = suffix == ".mat" and (path.stem.endswith(f"_{kind}") or not path.stem.endswith(kinds))
            case ImageFolderData():
                fits = suffix == ".png"
            case ManifestData():
                fits = suffix not in _NO_RECORDINGS and path.name != self.data.manifest
            case _:
                fits = suffix == ".csv" and path.name not in (_TABLE, _ESTIMATES)
        return fits and path.is_file()

    def _kind(self) -> str:
        match self.data:
            case Ntu120Data() | SyntheticData():
                return "*.skeleton"
            case UtdMhadData(modality=modality):
                return f"*_{'inertial' if modality == 'inertial' else 'skeleton'}.mat"
            case ImageFolderData():
                return "*.png"
            case ManifestData():
                return "the model's declared form"
            case _:
                return "*.csv"

    def _folder_label(self, inside: Path) -> str:
        """The first folder on the way to a file that is none of the dataset's own, such as UTD-MHAD's `Skeleton`."""
        own = {"skeleton", "inertial", *simitate.CATEGORIES, *image_folder.ROLES}
        return next((part for part in inside.parts[:-1] if part.lower() not in own), "")


def labels_of(read: Sequence[ReadFile]) -> list[str]:
    """What each exemplar's action is called: by table, by sub-folder, by the dataset's names, by the file's own name.

    A sub-folder in which the dataset's names tell several actions apart is no action but an archive of them.
    """
    known: dict[str, set[str]] = {}
    for one in read:
        if one.recording is not None and one.recording.label:
            known.setdefault(one.file.folder_label, set()).add(one.recording.label)
    labels = []
    for one in read:
        assert one.recording is not None
        label = one.file.row.label if one.file.row is not None else ""
        if not label and len(known.get(one.file.folder_label, ())) < 2:
            label = one.file.folder_label
        labels.append(label or one.recording.label or one.recording.name)
    return labels


def exemplars_in(raw: RawFiles, folder: Path) -> tuple[list[Recording], list[ReadFile]]:
    """The recordings of a folder, labelled as `labels_of` says, and the files that could not be read.

    Raises:
        InputError: there is no such folder, or no file in it can be read.
    """
    read = list(raw.read(raw.one_each(raw.find(folder))))
    whole = [one for one in read if one.recording is not None]
    broken = [one for one in read if one.recording is None]
    if not whole:
        raise InputError(
            f"{folder}: none of {len(broken)} exemplars can be read; {broken[0].file.path}: {broken[0].reason}"
        )
    recordings = [one.recording for one in whole if one.recording is not None]
    labels = labels_of(whole)
    return [dataclasses.replace(found, label=label) for found, label in zip(recordings, labels, strict=True)], broken


def given_label(read: ReadFile, enrolled: Sequence[str]) -> str | None:
    """Which of the enrolled actions a file is said to show; None where nothing says so."""
    assert read.recording is not None
    row = read.file.row
    said = (
        row.label if row else "",
        read.file.folder_label,
        read.recording.label,
        read.file.path.absolute().parent.name,
    )
    return next((label for label in said if label in enrolled), None)


def _layout(data: DataConfig) -> Layout:
    match data:
        case Ntu120Data() | SyntheticData():
            return ntu.LAYOUT
        case UtdMhadData(modality=modality):
            return utd_mhad.layout(modality)
        case ImageFolderData(image_px=image_px):
            return image_folder.layout(image_px)
        case ManifestData():
            return declared.layout_of(_declared(data))
        case _:
            return simitate.LAYOUT


def _declared(data: ManifestData) -> RecordingFormat:
    assert data.format is not None
    return data.format


def _rows_of(whole: Layout, wanted: Layout) -> Rows:
    """Which rows of the files' the model sees."""
    rows: tuple[Rows, ...] = ("all", "bodies", "sensors")
    for part in rows:
        try:
            if whole.part(part) == wanted:
                return part
        except ValueError:
            continue
    raise InputError(
        f"recordings read so have {whole.num_rows} rows ({whole.row_names[0]} …), but the model sees "
        f"{wanted.num_rows} others ({wanted.row_names[0]} …): give the --space (and --set data.…) of its search"
    )


def _read(path: Path, row: Row | None, *, data: DataConfig, rows: Rows) -> Recording:
    """The recording in a file, in the rows that a model sees. Raises RecordingError."""
    readers: dict[str, Callable[..., Recording]] = {
        "ntu120": ntu.read,
        "synthetic": ntu.read,
        "simitate": simitate.read,
    }
    match data:
        case ManifestData():
            found = declared.read(path, row, declared=_declared(data))
        case UtdMhadData(modality=modality):
            found = utd_mhad.read(path, modality, any_name=True)
        case ImageFolderData(image_px=image_px):
            found = image_folder.read(path, image_px, any_name=True)
        case _:
            found = readers[data.dataset](path, any_name=True)
    if row is not None:
        found = dataclasses.replace(found, name=row.name, label=row.label, subject=row.subject)
    if rows == "all":
        return found
    taken = _layout(data).take_rows(found.values[None], rows)[0]  # type: ignore[arg-type]
    names = _layout(data).part(rows).row_names
    return dataclasses.replace(found, values=np.ascontiguousarray(taken), row_names=names)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
