import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.small import write_recording

from sldml.config.data import DataConfig, Ntu120Data, SimitateData, SyntheticData, UtdMhadData
from sldml.errors import InputError
from sldml.recordings.readers import ntu, simitate, utd_mhad
from sldml.recordings.sources import describe_data, find_source, make_source, synthetic_key
from sldml.recordings.synthetic import dataset as synthetic

NAMES = ["S001C001P001R001A001", "S001C001P001R001A002", "S001C001P001R001A003"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in reversed(NAMES):
        write_recording(tmp_path / "data/ntu/some/where", name, 2)
    for subject in (2, 1):
        for kind in ("skeleton", "inertial"):
            path = tmp_path / f"data/utd_mhad/{kind.title()}/a1_s{subject}_t1_{kind}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "data/utd_mhad/Inertial/a1_s2_t1_inertial.mat").unlink()
    for where in ("motions/wave/person_1/seq_2", "basic_motions/heart/person_1/seq_1"):
        path = tmp_path / "data/simitate" / where / "hand.csv"
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("config", "name"), [(Ntu120Data(), "ntu"), (UtdMhadData(), "utd_mhad"), (SimitateData(), "simitate")]
)
def test_missing_data_says_what_was_looked_for_and_how_to_do_without(
    tmp_path: Path, config: DataConfig, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare" / name).mkdir(parents=True)
    cases = {
        None: "set --data or DATASET_FOLDER",
        tmp_path / "nowhere": "nowhere: does not exist",
        tmp_path / "empty": f"contains no {name}/",
        tmp_path / "bare": "no file ",
    }
    for folder, said in cases.items():
        with pytest.raises(InputError) as caught:
            find_source(config, folder)
        message = str(caught.value)
        assert said in message
        assert "--space demo" in message
        assert "\n" not in message


def test_a_file_in_place_of_the_data_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        find_source(Ntu120Data(), tmp_path / "file")


def test_ntu_files_are_found_wherever_they_lie_below(data: Path) -> None:
    source = find_source(Ntu120Data(), data)
    assert [path.stem for path in source.files] == NAMES
    assert source.folder == data / "ntu"
    assert source.layout == ntu.LAYOUT


def test_the_data_folder_may_be_the_dataset_itself(data: Path) -> None:
    flat = data / "ntu/some/where"
    assert find_source(Ntu120Data(), flat).folder == flat
    assert find_source(UtdMhadData(), data / "utd_mhad").folder == data / "utd_mhad"
    assert find_source(SimitateData(), data / "simitate").folder == data / "simitate"


def test_simitate_files_are_found_in_their_categories(data: Path) -> None:
    (data / "simitate/notes.csv").touch()
    source = find_source(SimitateData(), data)
    assert [path.parts[-5] for path in source.files] == ["basic_motions", "motions"]
    assert source.dataset == "simitate"
    assert source.layout == simitate.LAYOUT


@pytest.mark.parametrize(("modality", "subjects"), [("skeleton", [1, 2]), ("inertial", [1]), ("fused", [1])])
def test_utd_modalities_have_their_own_files_rows_and_keys(data: Path, modality: str, subjects: list[int]) -> None:
    config = UtdMhadData.model_validate({"modality": modality})
    source = find_source(config, data)
    kind = "inertial" if modality == "inertial" else "skeleton"
    assert [path.name for path in source.files] == [f"a1_s{s}_t1_{kind}.mat" for s in subjects]
    assert source.layout == utd_mhad.layout(modality)
    others = {find_source(UtdMhadData.model_validate({"modality": m}), data).key() for m in utd_mhad.MODALITIES}
    assert len(others) == 3
    assert source.key() in others


def test_the_key_goes_by_names_sizes_times_and_not_by_the_place(data: Path, tmp_path: Path) -> None:
    key = find_source(Ntu120Data(), data).key()
    assert find_source(Ntu120Data(), data).key() == key
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)  # keeps times
    assert find_source(Ntu120Data(), moved).key() == key

    file = moved / "ntu/some/where" / f"{NAMES[0]}.skeleton"
    before = file.stat().st_mtime_ns
    os.utime(file, ns=(before, before + 1_000))
    assert find_source(Ntu120Data(), moved).key() != key
    file.write_text(file.read_text() + "\n")
    os.utime(file, ns=(before, before))
    assert find_source(Ntu120Data(), moved).key() != key
    shutil.rmtree(moved)
    shutil.copytree(data, moved)
    file.rename(file.with_name("S001C001P001R001A004.skeleton"))
    assert find_source(Ntu120Data(), moved).key() != key


def test_the_official_list_is_honoured_and_part_of_the_key(data: Path) -> None:
    without = find_source(Ntu120Data(), data)
    assert len(without.notes) == 1
    assert f"{ntu.MISSING_LIST} in {data / 'ntu'}" in without.notes[0]
    listed = data / "ntu" / ntu.MISSING_LIST
    listed.write_text("three\nheader\nlines\n" + NAMES[1] + "\n")
    source = find_source(Ntu120Data(), data)
    assert [path.stem for path in source.files] == [NAMES[0], NAMES[2]]
    assert source.notes == ("1 recordings left out by the official list of missing skeletons",)
    # An official list that names none of the files is still another reading than none at all.
    listed.write_text("S017C003P020R002A060\n")
    keys = {without.key(), source.key(), find_source(Ntu120Data(), data).key()}
    assert len(keys) == 3


def test_readers_travel_to_other_processes(data: Path) -> None:
    for config in (Ntu120Data(), UtdMhadData(modality="fused"), SimitateData()):
        source = find_source(config, data)
        pickle.loads(pickle.dumps(source.read))
    read = pickle.loads(pickle.dumps(find_source(Ntu120Data(), data).read))
    assert read(data / "ntu/some/where" / f"{NAMES[0]}.skeleton").name == NAMES[0]


def test_made_recordings_are_written_as_ntu_files(tmp_path: Path) -> None:
    config = SyntheticData(num_auxiliary=4, recordings_per_class=2)
    source = make_source(config, tmp_path)
    assert len(source.files) == (20 + 4) * 2
    assert source.layout == ntu.LAYOUT
    assert source.facts is not None
    facts = {path.stem: fact for path, fact in zip(source.files, source.facts, strict=True)}
    assert list(facts) == sorted(facts)
    # Each is made while it is read, and is the very recording that `generate` writes.
    written = synthetic.generate(synthetic.SyntheticSource(0, 4, 2), tmp_path / "written")
    assert [path.stem for path in written] == list(facts)
    for path in written[::13]:
        made = source.read(tmp_path / "made" / path.name, facts[path.stem])
        assert (made.name, made.label) == (path.stem, path.stem[-4:])
        assert np.array_equal(made.values, ntu.read(path).values)
    assert [path for path in (tmp_path / "made").rglob("*") if path.is_file()] == []


def test_where_made_recordings_cannot_be_written_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    source = make_source(SyntheticData(num_auxiliary=4, recordings_per_class=2), tmp_path / "taken/raw")
    assert source.facts is not None
    with pytest.raises(InputError, match=r"taken/raw: synthetic recordings cannot be written \(.*SLDML_CACHE"):
        source.read(source.files[0], source.facts[0])


def test_every_setting_of_made_recordings_is_in_their_key() -> None:
    base: dict[str, int] = {"seed": 0, "num_auxiliary": 10, "recordings_per_class": 4}
    configs = [SyntheticData.model_validate(base)]
    configs += [SyntheticData.model_validate({**base, name: value + 1}) for name, value in base.items()]
    assert len({synthetic_key(config) for config in configs}) == 4
    assert synthetic_key(SyntheticData.model_validate(base)) == synthetic_key(configs[0])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Ntu120Data(), "NTU RGB+D 120"),
        (UtdMhadData(modality="fused"), "UTD-MHAD (fused)"),
        (SimitateData(), "Simitate (hand)"),
        (SyntheticData(seed=3), "synthetic recordings (seed 3)"),
    ],
)
def test_describe(config: DataConfig, words: str) -> None:
    assert describe_data(config) == words
