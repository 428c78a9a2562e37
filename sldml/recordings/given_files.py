"""Raw files given to a recogniser: finding them, reading them, and the labels of their actions.

Unlike the recordings of a dataset, they may have any name and location. The label of a file comes from the first of
these: a table next to it (`manifest.csv`: path,label,subject), its subfolder, or a name as in the dataset (NTU
`…A001.skeleton`, UTD-MHAD `a1_s1_t1_….mat`).
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

from sldml.config.data import DataConfig, ImageFolderData, ManifestData, Ntu120Data, SyntheticData, UtdMhadData
from sldml.config.recording_format import RecordingFormat
from sldml.errors import InputError
from sldml.recordings import Layout, Recording, RecordingError, Rows
from sldml.recordings.readers import declared, image_folder, manifest, ntu, simitate, utd_mhad
from sldml.recordings.readers.declared import ManifestRow
from sldml.recordings.reading import Reader, read_all
from sldml.recordings.walking import files_below

_TABLE = "manifest.csv"
_ESTIMATES = "openpose.csv"
_NO_RECORDINGS = (".yaml", ".yml", ".json", ".md", ".parquet", ".pq")
"""Suffixes of files that are not recordings of a declared format."""


@dataclass(frozen=True)
class RawFile:
    """A file that should hold a recording."""

    path: Path
    row: ManifestRow | None = None
    """Its row in a table."""
    folder_label: str = ""
    """Its subfolder in a given folder; empty for a file that was given itself."""


@dataclass(frozen=True)
class ReadFile:
    """The result of reading a `RawFile`."""

    file: RawFile
    recording: Recording | None
    reason: str = ""
    """Why there is no recording."""


class RawFiles:
    """Finds and reads raw files in the same way as the recordings of a model's search."""

    def __init__(self, data: DataConfig, layout: Layout, beside: Path | None = None) -> None:
        """
        Args:
            data: How files are read.
            layout: The rows of the model: all rows of the files, or only their bodies or sensors.
            beside: Folder of the manifest's YAML file, needed if `data` has no format.

        Raises:
            InputError: the recordings do not have these rows, or there is no format.
        """
        if isinstance(data, ManifestData) and data.format is None:
            table = (beside or Path()) / data.manifest
            data = data.model_copy(update={"format": manifest.format_beside(table)})
        if isinstance(data, UtdMhadData) and data.modality == "fused" and layout == utd_mhad.layout("skeleton"):
            data = data.model_copy(update={"modality": "skeleton"})  # the bodies of a pair are in its skeleton file
        self.data, self.layout = data, layout
        self._read = functools.partial(_read, data=data, rows=_rows_of(_layout(data), layout))

    def find(self, given: Path) -> list[RawFile]:
        """The files for a given path: itself, or the recordings in the folder and below, in order.

        If a folder contains a table, the files are those of the table.

        Raises:
            InputError: there is no such file or folder, no recording in it, or the table is invalid.
        """
        if given.is_file():
            return [RawFile(given)]
        if not given.is_dir():
            raise InputError(f"{given}: no such file or folder")
        name = self.data.manifest if isinstance(self.data, ManifestData) else _TABLE
        if (given / name).is_file():
            outside = isinstance(self.data, ManifestData) and self.data.allow_outside
            table = manifest.find(given / name, allow_outside=outside)
            return [RawFile(file, row) for file, row in zip(table.files, table.rows, strict=True)]
        paths = [path for path in files_below(given) if self._may_be(path) and not _is_hidden(path, given)]
        if not paths:
            raise InputError(f"{given}: contains no file of the kind {self._kind()}")
        return [RawFile(path, folder_label=self._folder_label(path.relative_to(given))) for path in paths]

    def without_duplicates(self, files: Sequence[RawFile]) -> list[RawFile]:
        """Remove duplicates; a pair of files of one recording is represented by its first file."""
        found: dict[str, RawFile] = {}
        for file in files:
            path = file.path
            if isinstance(self.data, UtdMhadData) and self.data.modality == "fused" and file.row is None:
                partner = path.with_name(path.name.replace("_inertial.mat", "_skeleton.mat"))
                path = partner if partner.is_file() else path
            found.setdefault(os.path.realpath(path), dataclasses.replace(file, path=path))
        return list(found.values())

    def read(self, files: Sequence[RawFile]) -> Iterator[ReadFile]:
        """Read files in order, on all cores if that is faster."""
        jobs = [(file.path, file.row) for file in files]
        reader = Reader(self._read, self.layout)
        with closing(read_all(reader, jobs, os.cpu_count() or 1)) as results:
            for file, result in zip(files, results, strict=True):
                if isinstance(result, RecordingError):
                    yield ReadFile(file, None, result.reason)
                    continue
                facts = result.facts
                yield ReadFile(
                    file,
                    Recording(
                        np.ascontiguousarray(result.values, dtype=np.float32),
                        facts["rate_hz"],
                        self.layout.row_names,
                        facts["name"],
                        facts["label"],
                        facts["subject"],
                        facts["details"],
                    ),
                )

    def read_one(self, file: RawFile) -> Recording:
        """Read one file in this process. Raises RecordingError."""
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
                return "the model's declared format"
            case _:
                return "*.csv"

    def _folder_label(self, inside: Path) -> str:
        """The first folder on the path that is not one of the dataset's own, such as UTD-MHAD's `Skeleton`."""
        own = {"skeleton", "inertial", *simitate.CATEGORIES, *image_folder.ROLES}
        return next((part for part in inside.parts[:-1] if part.lower() not in own), "")


def labels_of(read: Sequence[ReadFile]) -> list[str]:
    """The action of each exemplar: from the table, the subfolder, the dataset's names or the file's own name.

    A subfolder that contains several actions by the dataset's names is not used as a label.
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
    """The recordings of a folder with labels from `labels_of`, and the files that could not be read.

    Raises:
        InputError: there is no such folder, or no file in it can be read.
    """
    read = list(raw.read(raw.without_duplicates(raw.find(folder))))
    whole = [one for one in read if one.recording is not None]
    broken = [one for one in read if one.recording is None]
    if not whole:
        raise InputError(
            f"{folder}: none of the {len(broken)} exemplars can be read; {broken[0].file.path}: {broken[0].reason}"
        )
    recordings = [one.recording for one in whole if one.recording is not None]
    labels = labels_of(whole)
    return [dataclasses.replace(found, label=label) for found, label in zip(recordings, labels, strict=True)], broken


def given_label(read: ReadFile, enrolled: Sequence[str]) -> str | None:
    """The enrolled action that a file is labelled with; None without such a label."""
    assert read.recording is not None
    row = read.file.row
    candidates = (
        row.label if row else "",
        read.file.folder_label,
        read.recording.label,
        read.file.path.absolute().parent.name,
    )
    return next((label for label in candidates if label in enrolled), None)


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
    """The rows of the files that the model uses."""
    rows: tuple[Rows, ...] = ("all", "bodies", "sensors")
    for part in rows:
        try:
            if whole.part(part) == wanted:
                return part
        except ValueError:
            continue
    raise InputError(
        f"the recordings have {whole.num_rows} rows ({whole.row_names[0]} …), but the model expects {wanted.num_rows} "
        f"others ({wanted.row_names[0]} …): give the --space (and --set data.…) of its search"
    )


def _read(path: Path, row: ManifestRow | None, *, data: DataConfig, rows: Rows) -> Recording:
    """The recording in a file, with the rows that a model uses. Raises RecordingError."""
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
