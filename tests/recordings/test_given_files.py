"""Files that a person gives: which there are, how they are read, what their actions are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from support.small import write_recording

from sldml.config.data import ImageFolderData, ManifestData, Ntu120Data, SimitateData, SyntheticData, UtdMhadData
from sldml.config.recording_format import RecordingFormat
from sldml.errors import InputError
from sldml.recordings import Layout
from sldml.recordings.given_files import RawFiles, exemplars_in, given_label
from sldml.recordings.readers import declared, image_folder, ntu, simitate, utd_mhad

SENSOR = RecordingFormat(sensors={"wrist": 4.0}, rate_hz=50.0)


def write_pair(folder: Path, name: str, *, skeleton: bool = True, inertial: bool = True, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if skeleton:
        savemat(folder / f"{name}_skeleton.mat", {"d_skel": rng.normal(size=(20, 3, 6))})
    if inertial:
        savemat(folder / f"{name}_inertial.mat", {"d_iner": rng.normal(size=(12, 6))})


def found(raw: RawFiles, folder: Path) -> dict[str, str]:
    """Name of each file below the folder, and the label that it has as an exemplar."""
    recordings, broken = exemplars_in(raw, folder)
    assert broken == []
    return {recording.name: recording.label for recording in recordings}


def test_ntu_files_are_called_by_folder_by_the_datasets_name_or_by_their_own(tmp_path: Path) -> None:
    raw = RawFiles(Ntu120Data(), ntu.LAYOUT)
    write_recording(tmp_path / "wave", "S001C001P001R001A007", 4)
    write_recording(tmp_path / "wave" / "more", "second try", 4, seed=3)
    write_recording(tmp_path, "S001C001P001R001A013", 4)
    write_recording(tmp_path, "clap", 5, seed=1)
    write_recording(tmp_path / ".hidden", "S001C001P001R001A002", 4)
    assert found(raw, tmp_path) == {
        "S001C001P001R001A007": "wave",
        "second try": "wave",
        "S001C001P001R001A013": "A013",
        "clap": "clap",
    }


def test_a_folder_in_which_the_dataset_tells_actions_apart_is_no_action(tmp_path: Path) -> None:
    for action in ("A001", "A007"):
        write_recording(tmp_path / "nturgbd_skeletons_s001", f"S001C003P008R001{action}", 4)
    write_recording(tmp_path / "mine", "S001C003P008R001A013", 4)
    raw = RawFiles(SyntheticData(), ntu.LAYOUT)  # made recordings are files of that kind
    assert set(found(raw, tmp_path).values()) == {"A001", "A007", "mine"}


def test_a_table_says_which_and_what(tmp_path: Path) -> None:
    write_recording(tmp_path / "x", "S001C001P001R001A007", 4)
    write_recording(tmp_path / "x", "not named", 4)
    (tmp_path / "manifest.csv").write_text("path,label,subject\nx/S001C001P001R001A007.skeleton,drink,anna\n")
    assert found(RawFiles(Ntu120Data(), ntu.LAYOUT), tmp_path) == {"x/S001C001P001R001A007": "drink"}


@pytest.mark.parametrize("modality", ["skeleton", "inertial", "fused"])
def test_utd_mhad_of_each_modality(modality: str, tmp_path: Path) -> None:
    write_pair(tmp_path / "Skeleton", "a3_s1_t1", inertial=False, seed=1)
    write_pair(tmp_path / "Inertial", "a3_s1_t1", skeleton=False, seed=1)
    write_pair(tmp_path / "kick", "mine", seed=2)
    data = UtdMhadData(modality=modality)
    raw = RawFiles(data, utd_mhad.layout(modality))
    assert found(raw, tmp_path) == {"a3_s1_t1": "a3", "mine": "kick"}
    recordings, _ = exemplars_in(raw, tmp_path)
    kind = "inertial" if modality == "inertial" else "skeleton"
    own = utd_mhad.read(tmp_path / kind.capitalize() / f"a3_s1_t1_{kind}.mat", modality)
    assert np.array_equal(next(one.values for one in recordings if one.name == "a3_s1_t1"), own.values)


def test_a_fused_pair_is_one_recording_however_it_is_given(tmp_path: Path) -> None:
    write_pair(tmp_path, "mine")
    raw = RawFiles(UtdMhadData(modality="fused"), utd_mhad.layout("fused"))
    files = [file for path in sorted(tmp_path.iterdir()) for file in raw.find(path)]
    assert [file.path.name for file in raw.without_duplicates(files)] == ["mine_skeleton.mat"]
    (tmp_path / "mine_inertial.mat").unlink()
    (read,) = raw.read(raw.find(tmp_path))
    assert read.recording is None
    assert "does not exist" in read.reason


def test_of_pairs_a_model_of_one_side_sees_that_side(tmp_path: Path) -> None:
    write_pair(tmp_path, "a3_s1_t1")
    fused = utd_mhad.read(tmp_path / "a3_s1_t1_skeleton.mat", "fused")
    data = UtdMhadData(modality="fused")
    (sensors,) = RawFiles(data, utd_mhad.layout("inertial")).read(
        RawFiles(data, utd_mhad.layout("fused")).find(tmp_path)
    )
    assert sensors.recording is not None
    assert np.array_equal(sensors.recording.values, fused.values[:, 20:])
    (tmp_path / "a3_s1_t1_inertial.mat").unlink()  # the skeleton's side needs no partner
    raw = RawFiles(data, utd_mhad.layout("skeleton"))
    assert np.array_equal(raw.read_one(raw.find(tmp_path)[0]).values, fused.values[:, :20])


def test_declared_files_by_folder_and_by_table(tmp_path: Path) -> None:
    data = ManifestData(format=SENSOR)
    raw = RawFiles(data, declared.layout_of(SENSOR))
    rng = np.random.default_rng(0)
    for place in ("wave/one.npy", "clap/two.npy", "three.npy"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        np.save(tmp_path / place, rng.normal(size=(5, 1, 3)).astype(np.float32))
    (tmp_path / "README.md").write_text("no recording")
    assert found(raw, tmp_path) == {"one": "wave", "two": "clap", "three": "three"}
    (tmp_path / "manifest.csv").write_text("path,label,subject\nwave/one.npy,hello,anna\n")
    assert found(raw, tmp_path) == {"wave/one": "hello"}
    assert np.array_equal(raw.read_one(raw.find(tmp_path)[0]).values, np.load(tmp_path / "wave/one.npy"))


def test_a_format_that_the_model_does_not_know_is_looked_for_beside_the_exemplars(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.yaml: there is no such file"):
        RawFiles(ManifestData(), declared.layout_of(SENSOR), tmp_path)
    (tmp_path / "manifest.yaml").write_text("sensors: {wrist: 4.0}\nrate_hz: 50\n")
    np.save(tmp_path / "wave.npy", np.arange(15.0).reshape(5, 1, 3))
    assert found(RawFiles(ManifestData(), declared.layout_of(SENSOR), tmp_path), tmp_path) == {"wave": "wave"}


def test_pictures_and_trajectories_need_none_of_their_datasets_folders(tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    Image.linear_gradient("L").save(tmp_path / "wave" / "one.png")
    assert found(RawFiles(ImageFolderData(image_px=16), image_folder.layout(16)), tmp_path) == {"one": "wave"}


def test_simitate_in_its_folders_and_out_of_them(real_data: Path, tmp_path: Path) -> None:
    source = sorted((real_data / "simitate").rglob("*.csv"))[0]
    within = tmp_path / "in" / "basic_motions" / "circle" / "p1" / "seq_1"
    within.mkdir(parents=True)
    (within / "x.csv").write_bytes(source.read_bytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "drawn.csv").write_bytes(source.read_bytes())
    raw = RawFiles(SimitateData(), simitate.LAYOUT)
    assert list(found(raw, tmp_path / "in").values()) == ["circle"]
    assert found(raw, tmp_path / "out") == {"drawn": "drawn"}


def test_of_inputs_the_first_label_that_is_enrolled_counts(tmp_path: Path) -> None:
    raw = RawFiles(Ntu120Data(), ntu.LAYOUT)
    path = write_recording(tmp_path / "wave", "S001C001P001R001A007", 4)
    (in_folder,) = raw.read(raw.find(tmp_path))
    (alone,) = raw.read(raw.find(path))
    assert given_label(in_folder, ["A007", "wave"]) == "wave"
    assert given_label(in_folder, ["A007"]) == "A007"
    assert given_label(in_folder, ["clap"]) is None
    assert given_label(alone, ["wave"]) == "wave"  # the folder that the file lies in
    assert given_label(alone, ["wave", "A007"]) == "A007"


def test_broken_files_are_told_with_their_reason(tmp_path: Path) -> None:
    write_recording(tmp_path, "wave", 4)
    (tmp_path / "clap.skeleton").write_text("")
    recordings, broken = exemplars_in(RawFiles(Ntu120Data(), ntu.LAYOUT), tmp_path)
    assert [recording.label for recording in recordings] == ["wave"]
    assert [(one.file.path.name, one.reason) for one in broken] == [("clap.skeleton", "is empty")]
    (tmp_path / "wave.skeleton").unlink()
    with pytest.raises(InputError, match=r"none of the 1 exemplars can be read; .*clap\.skeleton: is empty"):
        exemplars_in(RawFiles(Ntu120Data(), ntu.LAYOUT), tmp_path)


def test_what_is_not_there_or_holds_nothing_of_the_kind_is_told(tmp_path: Path) -> None:
    raw = RawFiles(Ntu120Data(), ntu.LAYOUT)
    with pytest.raises(InputError, match="no such file or folder"):
        raw.find(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"contains no file of the kind \*\.skeleton"):
        raw.find(tmp_path)


def test_data_of_other_rows_than_the_models_is_refused() -> None:
    with pytest.raises(InputError, match=r"have 50 rows .* but the model expects 1 others \(wrist"):
        RawFiles(Ntu120Data(), Layout(None, 0, {"wrist": 4.0}))
