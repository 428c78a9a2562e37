"""What a saved model carries beside its weights: how raw files are read, and its exemplars."""

from __future__ import annotations

import json
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sldml.config.data import DataConfig, ManifestData, SyntheticData
from sldml.config.protocol import NtuOneShot
from sldml.config.recording_format import RecordingFormat
from sldml.config.representation import NormalizeConfig
from sldml.errors import InputError
from sldml.prepared.prepared_set import PreparedSet
from sldml.recognition.latency import evenly, measure_latency
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer, find_model
from sldml.recognition.saved_exemplars import SavedExemplars, read_exemplars
from sldml.recordings import Layout

LAYOUT = Layout(None, 0, {"sensor": 1.0})


def constant(value: float, num_frames: int = 4) -> Any:
    return np.full((num_frames, 1, 3), value, np.float32)


def simple(data: DataConfig | None = None, layout: Layout = LAYOUT, **origin: Any) -> Recognizer:
    matching = Matching("raw_1nn", layout, NormalizeConfig(center="none", scale="none"))
    return Recognizer(matching, data=data, origin=origin)


KEPT = SavedExemplars([constant(1.0), constant(9.0, 7)], ["wave", "clap"], ["one", "two"])


def test_a_model_is_saved_with_its_exemplars_and_loaded_with_them(tmp_path: Path) -> None:
    folder = simple().save(tmp_path / "model", KEPT)
    assert Recognizer.load(folder).gallery is None
    model = Recognizer.load(folder, enrolled=True)
    assert model.gallery is not None
    assert model.gallery.actions == ("clap", "wave")
    assert [found.label for found in model.recognize_signals([constant(2.0), constant(8.0)])] == ["wave", "clap"]
    kept = read_exemplars(folder)
    assert kept is not None
    assert (kept.labels, kept.names) == (["wave", "clap"], ["one", "two"])
    assert all(np.array_equal(a, b) for a, b in zip(kept.signals, KEPT.signals, strict=True))
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.iterdir())
    with pytest.raises(ValueError, match=r".+"):
        list(pickletools.genops((folder / "exemplars.safetensors").read_bytes()))


def test_pictures_are_kept_as_bytes(tmp_path: Path) -> None:
    picture = np.arange(4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    folder = simple(layout=Layout(None, 0, image_rows=4)).save(tmp_path / "m", SavedExemplars([picture], ["a"], ["n"]))
    assert load_file(folder / "exemplars.safetensors")["frames"].dtype == np.uint8
    kept = read_exemplars(folder)
    assert kept is not None
    assert np.array_equal(kept.signals[0], picture)


def test_a_model_without_exemplars_has_none(tmp_path: Path) -> None:
    folder = simple().save(tmp_path / "model")
    assert read_exemplars(folder) is None
    assert Recognizer.load(folder, enrolled=True).gallery is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "holds no exemplars"),
        (lambda path: save_file({"other": constant(1.0)}, path), "holds no exemplars"),
        (lambda path: save_file(load_file(path), path), "holds no exemplars"),  # the labels are gone
        (
            lambda path: save_file(
                {"frames": constant(1.0, 9), "lengths": np.array([4, 4])},
                path,
                {"exemplars": json.dumps([{"name": "a", "label": "b"}] * 2)},
            ),
            "are not those of 2 exemplars",
        ),
        (
            lambda path: save_file(
                {"frames": np.ones((4, 2, 3), np.float32), "lengths": np.array([4])},
                path,
                {"exemplars": json.dumps([{"name": "a", "label": "b"}])},
            ),
            "its rows are others",
        ),
    ],
)
def test_spoilt_exemplars_are_refused_in_one_line(spoil: Any, said: str, tmp_path: Path) -> None:
    folder = simple().save(tmp_path / "model", KEPT)
    spoil(folder / "exemplars.safetensors")
    with pytest.raises(InputError, match=said) as caught:
        Recognizer.load(folder, enrolled=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        SyntheticData(seed=3),
        ManifestData(
            folder="own", format=RecordingFormat(sensors={"sensor": 1.0}, columns=(1, None, 3), unit=0.5, rate_hz=20)
        ),
    ],
)
def test_a_model_knows_how_raw_files_are_read(data: DataConfig, tmp_path: Path) -> None:
    folder = simple(data, protocol=NtuOneShot().model_dump()).save(tmp_path / "model")
    loaded = Recognizer.load(folder)
    assert loaded.data == data
    assert loaded.origin["protocol"]["name"] == "ntu_one_shot"
    assert json.loads((folder / "model.json").read_text())["format"] == 3


@pytest.mark.parametrize("other", [1, 2, 4])
def test_models_of_other_formats_are_refused(other: int, tmp_path: Path) -> None:
    folder = simple(SyntheticData()).save(tmp_path / "model")
    saved = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**saved, "format": other}))
    with pytest.raises(InputError, match=f"the model has format {other}, this version reads 3"):
        Recognizer.load(folder)


@pytest.mark.parametrize(
    "change", [{"data": {"dataset": "nonsense"}}, {"matching": "pickle"}, {"threshold": None}, {"data": {"folder": 3}}]
)
def test_a_model_json_that_describes_no_model_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    folder = simple(SyntheticData()).save(tmp_path / "model")
    saved = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**saved, **change}))
    with pytest.raises(InputError, match=r"model\.json describes no model") as caught:
        Recognizer.load(folder)
    assert "\n" not in str(caught.value)


def test_a_model_is_found_by_folder_by_its_search_and_by_name(tmp_path: Path) -> None:
    folder = simple().save(tmp_path / "results" / "demo" / "model")
    for given in (str(folder), str(tmp_path / "results" / "demo"), "demo"):
        assert find_model(given, tmp_path / "results") == folder
    (tmp_path / "results" / "compared").mkdir()
    (tmp_path / "results" / "compared" / "journal.jsonl").touch()
    with pytest.raises(InputError, match="has not saved a model"):
        find_model("compared", tmp_path / "results")
    with pytest.raises(InputError, match="searches with a model are demo"):
        find_model("other", tmp_path / "results")
    with pytest.raises(InputError, match="no search there has a model"):
        find_model("other", tmp_path)


def test_latency_is_measured_without_changing_what_is_enrolled(made_set: PreparedSet) -> None:
    model = simple()
    model.enrol_signals(KEPT.signals, KEPT.labels)
    found = measure_latency(model, KEPT.signals, [constant(float(value)) for value in range(80)])
    assert model.gallery is not None
    assert len(model.gallery) == 2
    assert (found.recordings, found.exemplars, found.device, found.threads) == (50, 2, "cpu", 1)
    assert 0 < found.recognise_ms_per_recording <= found.recognise_ms_p95
    assert found.enrol_ms_per_recording > 0


def test_evenly_takes_the_first_the_last_and_no_more_than_there_are() -> None:
    assert evenly(0) == []
    assert evenly(3) == [0, 1, 2]
    assert evenly(9, 3) == [0, 4, 8]
