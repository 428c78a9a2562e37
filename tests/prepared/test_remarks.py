"""What is said of all recordings together: sizes, copies, labels that look alike, classes without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sldml.config.data import ManifestData
from sldml.errors import InputError
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.prepared.remarks import remarks_on
from sldml.recordings.readers import simitate
from sldml.recordings.sources import RawSource

BODY = {"joints": ["hip", "chest", "left", "right"], "root": "hip"}


def recording(seed: int) -> np.ndarray[Any, Any]:
    """A person of 1.6 m whose hands move."""
    rest = np.array([[0, 0, 2], [0, 1.6, 2], [-0.3, 0.2, 2], [0.3, 0.2, 2]])
    values = np.tile(rest, (12, 1, 1))
    values[:, 2:] += np.random.default_rng(seed).normal(scale=0.1, size=(12, 2, 3))
    return values


def prepared(folder: Path, rows: list[tuple[str, str, Any]], *, strict: bool = False, **form: Any) -> PreparedSet:
    """`rows`: file name, label and values; None for a file that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,subject"]
    for name, label, values in rows:
        lines.append(f"{name}.npy,{label},anna")
        if values is not None:
            np.save(folder / f"{name}.npy", values)
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    keys = {"skeleton": BODY, "rate_hz": 30, **form}
    config = ManifestData.model_validate({"folder": str(folder), "format": keys})
    return prepare(config, folder, folder / "cache", strict=strict)


def test_ordinary_recordings_need_no_words(tmp_path: Path) -> None:
    found = prepared(tmp_path, [(f"r{i}", f"c{i // 2}", recording(i)) for i in range(6)], strict=True)
    assert (found.meta["notes"], found.meta["unit"]) == ([], None)
    assert found.catalog["digest"].nunique() == 6


@pytest.mark.parametrize(("factor", "extent"), [(1000, r"1\.\d+e\+03"), (0.001, r"0\.001\d+"), (100, r"1\d\d")])
def test_a_wrong_unit_is_said_and_refused_if_strict(tmp_path: Path, factor: float, extent: str) -> None:
    rows = [(f"r{i}", "wave", recording(i) * factor) for i in range(2)]
    (note,) = prepared(tmp_path, rows).meta["notes"]
    assert note.startswith("a body has an extent of ")
    assert "data.format.unit" in note
    with pytest.raises(InputError, match=rf"extent of {extent} m .* \(--strict\)"):
        prepared(tmp_path, rows, strict=True)
    assert prepared(tmp_path / "right", rows, strict=True, unit=1 / factor).meta["notes"] == []


def test_a_body_that_stands_still_is_said(tmp_path: Path) -> None:
    still = np.tile(recording(0)[:1], (12, 1, 1))
    found = prepared(tmp_path, [("a", "wave", recording(1)), ("b", "wave", still)], strict=True)
    assert found.meta["notes"] == ["the body stands still in 1 recordings, first b"]


def test_copies_are_said_those_under_two_labels_first(tmp_path: Path) -> None:
    one, two = recording(1), recording(2)
    rows = [("a", "wave", one), ("b", "wave", one), ("c", "wave", two), ("d", "clap", two)]
    assert prepared(tmp_path, rows).meta["notes"] == [
        "d has the same values as c (classes 'wave' and 'clap')",
        "b has the same values as a (class wave)",
    ]
    many = [(f"r{i}", "wave", one) for i in range(9)]
    notes = prepared(tmp_path / "many", many).meta["notes"]
    assert len(notes) == 6
    assert notes[-1] == "… and 3 more: 8 recordings are copies of others"


@pytest.mark.parametrize("other", ["wave\u200b", "wa\u00adve", "\ufeffwave"])
def test_labels_that_look_alike(tmp_path: Path, other: str) -> None:
    (note,) = prepared(tmp_path, [("a", "wave", recording(1)), ("b", other, recording(2))]).meta["notes"]
    assert note.startswith("the labels ")
    assert ascii(other) in note
    assert "'wave' (1 recordings)" in note


def test_composed_and_decomposed_letters_look_alike(tmp_path: Path) -> None:
    (note,) = prepared(tmp_path, [("a", "\u00e9t\u00e9", recording(1)), ("b", "e\u0301te\u0301", recording(2))]).meta[
        "notes"
    ]
    assert "look alike" in note
    assert prepared(tmp_path / "not", [("a", "Wave", recording(1)), ("b", "wave", recording(2))]).meta["notes"] == []


def test_a_class_without_files_and_a_class_without_its_first_are_said(tmp_path: Path) -> None:
    rows = [
        ("a1", "wave", recording(1)),
        ("b1", "clap", None),
        ("b2", "clap", None),
        ("c2", "jump", None),
        ("c10", "jump", recording(2)),
        ("d1", "bow", recording(3)),
        ("d2", "bow", None),
    ]
    assert prepared(tmp_path, rows).meta["notes"] == [
        "class clap is left out: none of its 2 recordings can be read",
        "the first recording of class jump by anna, c2, cannot be read",
    ]


def test_folders_tell_the_class_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    names = ["wave/anna/seq_2/a", "wave/anna/seq_10/a", "clap/anna/seq_1/a"]
    files = tuple(tmp_path / "motions" / f"{name}.csv" for name in names)
    source = RawSource("simitate", {}, tmp_path, files, simitate.LAYOUT, simitate.read)
    remarks = {"extent": None, "still": False}
    row = {"name": names[1], "label": "wave", "subject": "anna", "digest": "1", "remarks": remarks}
    refused = [{"file": str(files[number]), "reason": "is empty"} for number in (0, 2)]
    assert remarks_on(source, [row], refused).notes == (
        "the first recording of class wave by anna, wave/anna/seq_2/a, cannot be read",
        "class clap is left out: none of its 1 recordings can be read",
    )
