"""What a search would fail at is told before anything is read or written, all of it at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sldml.commands.foresight import expected_catalog
from sldml.config.data import SyntheticData
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.recordings.sources import RawSource, make_source

FORMAT = """
skeleton: {joints: [hip, chest], parents: {chest: hip}}
rate_hz: 30
"""
SPACE = """
data: {dataset: manifest, folder: .}
protocol: {name: one_shot}
representation: {name: swap_axes, steps: 16}
fixed: {normalize: {scale: none}, encoder: {name: small_cnn}}
space: {optimizer: {lr: {float: [1.0e-4, 1.0e-2], log: true}}}
"""


@pytest.fixture
def tune(launched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    return partial(launched, "tune.py")


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Recordings of 12 classes by three subjects that nobody can read, and a space for them."""
    data = tmp_path / "data"
    data.mkdir()
    lines = ["path,label,subject,trial"]
    for label in range(12):
        for subject in "xyz":
            (data / f"{label}{subject}.csv").write_text("this is no recording")
            lines.append(f"{label}{subject}.csv,c{label},{subject},{1 + ord(subject) - ord('x')}")
    (data / "manifest.csv").write_text("\n".join(lines))
    (data / "manifest.yaml").write_text(FORMAT)
    (tmp_path / "own.yaml").write_text(SPACE)
    return ["--space", "own.yaml", "--data", str(data), "--name", "mine"]


def settings(*given: str) -> list[str]:
    return [part for setting in given for part in ("--set", setting)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["protocol.novel=c1,c99"], ["protocol.novel: there is no class c99"]),
        (
            ["protocol.novel=c98,c99", "protocol.validation.name=list", "protocol.validation.list.classes=c97,c1"],
            ["no class c98", "no class c99", "protocol.validation.list.classes: there is no class c97"],
        ),
        (["protocol.exemplar.name=subject", "protocol.exemplar.subject.subject=w"], ["there is no subject w"]),
        (["protocol.exemplar.name=trial", "protocol.exemplar.trial.value=7"], ["has no recording with trial 7"]),
        (["protocol.exemplar.name=trial", "protocol.exemplar.trial.column=take"], ["the recordings have no take"]),
        (["protocol.num_auxiliary=40"], ["protocol.num_auxiliary is 40, but there are 12 classes"]),
        (["protocol.num_novel=4", "batch.num_classes=99"], ["batch.num_classes is 99, but there are 8 auxiliary"]),
        (["normalize.scale=torso"], ["normalize.scale torso: the skeleton"]),
        (["normalize.view=face_camera"], ["normalize.view face_camera: the skeleton"]),
        (
            [
                "representation.name=tsrji",
                "normalize.scale=torso",
                "protocol.auxiliary=c1,c77",
                "representation.tsrji.reference=elbow",
            ],
            ["3 faults: ", "normalize.scale torso", "representation.tsrji.reference 'elbow'", "there is no class c77"],
        ),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_faults_are_told_before_anything_is_read(
    tune: Any, own: list[str], given: list[str], said: list[str], more: list[str], tmp_path: Path
) -> None:
    status, lines, err = tune(*own, *settings(*given), *more)
    assert (status, lines) == (2, [])
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not [part for part in said if part not in err], err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("space", "given", "said"),
    [
        ("demo", ["batch.num_classes=99"], "batch.num_classes is 99, but there are 30 auxiliary classes"),
        ("demo", ["protocol.num_validation=29"], "protocol.num_validation is 29, but of 30 auxiliary classes"),
    ],
)
def test_faults_of_synthetic_recordings_are_told(tune: Any, space: str, given: list[str], said: str) -> None:
    given = [*given, "protocol.validation=spread"]
    status, lines, err = tune("--space", space, *settings(*given), "--dry-run")
    assert (status, lines) == (2, [])
    assert said in err


def test_what_can_run_passes_and_writes_nothing(tune: Any, own: list[str], tmp_path: Path) -> None:
    status, lines, err = tune(*own, *settings("protocol.novel=c1,c2", "batch.num_classes=4"), "--dry-run")
    assert status == 0, err
    assert lines[-1] == "nothing was written (--dry-run)"
    assert not (tmp_path / "results").exists()


def test_the_expected_catalog_is_that_of_the_prepared_set(made_set: PreparedSet, tmp_path: Path) -> None:
    config = SyntheticData(num_auxiliary=8, recordings_per_class=5)
    expected = expected_catalog(make_source(config, tmp_path))
    assert expected is not None
    columns = ["name", "label", "subject", "setup", "camera", "replication"]
    pd.testing.assert_frame_equal(expected[columns], made_set.catalog[columns], check_dtype=False)
    assert prepare(config, None, made_set.folder.parent).hash == made_set.hash


def test_where_names_do_not_tell_there_is_no_catalog(made_set: PreparedSet, tmp_path: Path) -> None:
    other = RawSource("simitate", {}, tmp_path, (tmp_path / "a.csv",), made_set.layout, lambda path: None)
    assert expected_catalog(other) is None
