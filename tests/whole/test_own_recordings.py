"""A dataset in a layout that nobody has heard of, added as in the example of docs/recordings.md, and searched."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support.documents import PAGES, section
from support.running import tune

from sldml.config.data import ManifestData
from sldml.config.recording_format import RecordingFormat, SkeletonFormat, TextFormat
from sldml.config.representation import NormalizeConfig
from sldml.config.space_file import parse_space, read_space
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import prepare
from sldml.protocols.make_split import make_split
from sldml.recognition.matching import Matching
from sldml.recordings.skeletons import walk
from sldml.recordings.sources import describe_data, find_source

PAGE = "docs/recordings.md"
SECTION = section(PAGES[PAGE], "## Your own dataset")
CLASSES = ("bow", "circle", "clap", "lift", "point", "push", "salute", "swipe", "wave")
SUBJECTS = ("anna", "ben", "cleo")


def block(language: str) -> str:
    """The first fenced block of this language in the page's section."""
    found = re.search(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    assert found, f"the section has no example in {language}"
    return found[1]


SAMPLE = block("text").splitlines()
COMMENTS = [line for line in SAMPLE if line.startswith("#")]
FRAME = [line.split(";") for line in SAMPLE if line.startswith("0,000")]
JOINTS = [cells[1] for cells in FRAME]
REST_MM = np.array([[float(cell.replace(",", ".")) for cell in cells[2:5]] for cells in FRAME])


def written(cell: float, digits: int) -> str:
    return f"{cell:.{digits}f}".replace(".", ",")


def write(path: Path, joints_mm: np.ndarray) -> None:
    """[frames, 6, 3] in the layout of the page's sample, 50 frames a second."""
    lines = list(COMMENTS)
    for frame, joints in enumerate(joints_mm):
        for name, place in zip(JOINTS, joints, strict=True):
            numbers = [*(written(c, 1) for c in place), "0,98"]
            lines.append(";".join([written(frame / 50, 3), name, *numbers]))
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """9 classes by 3 subjects, 2 trials each: the hands move along a path of the class's own."""
    folder = tmp_path_factory.mktemp("data")
    lines = [block("csv").splitlines()[0]]
    random = np.random.default_rng(0)
    for number, label in enumerate(CLASSES):
        waves = np.random.default_rng(number).normal(0, 200, (2, 3, 2))
        for subject in SUBJECTS:
            for trial in (1, 2):
                time = np.linspace(0, 2 * np.pi, int(random.integers(20, 40)))
                joints = np.tile(REST_MM, (len(time), 1, 1)) + random.normal(0, 5, (len(time), 6, 3))
                for hand in (0, 1):
                    for axis in range(3):
                        joints[:, 4 + hand, axis] += waves[hand, axis] @ np.stack([np.sin(time), np.sin(2 * time)])
                path = f"{subject}/{label}_{trial}.txt"
                write(folder / "my_gestures" / path, joints)
                lines.append(f"{path},{label},{subject},{trial}")
    assert lines[0] + "\n" + "\n".join(line for line in lines if line.startswith("anna/wave")) + "\n" == block("csv")
    (folder / "my_gestures" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_it_is_read_as_the_page_says(data, tmp_path):
    frame = ["; ".join(cells) for cells in FRAME]
    # The page's frame, and the same two hundredths of a second later.
    lines = [*COMMENTS, *frame, *(line.replace("0,000;", "0,020;") for line in frame)]
    (data / "my_gestures" / "anna" / "bow_1.txt").write_text("\n".join(lines))
    config = parse_space(block("yaml"), "my_gestures", PAGE).default_config()
    prepared = prepare(config.data, data, tmp_path / "cache", num_workers=1)
    assert prepared.meta["refused"] == []
    assert len(prepared.catalog) == 9 * 3 * 2
    skeleton = prepared.layout.skeleton
    assert skeleton is not None
    assert skeleton.joint_names == tuple(JOINTS)
    assert [skeleton.joint_names[j] for j in walk(skeleton)[:3]] == ["pelvis", "neck", "left_shoulder"]
    row = prepared.catalog.set_index("name").loc["anna/bow_1"]
    assert (row["label"], row["subject"], row["trial"], row["length"]) == ("bow", "anna", 1, 2)
    assert row["rate_hz"] == pytest.approx(50)
    signals = np.load(prepared.folder / "signals.npy", mmap_mode="r")
    # The right hand of the page's first frame, in metres: right, up, depth.
    assert signals[row["offset"], 5].tolist() == pytest.approx([0.3117, 1.5026, 2.1024])


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_it_is_searched(data, storage):
    space = storage / "my_gestures.yaml"
    space.write_text(block("yaml"), encoding="utf-8")
    small = ["--trials", 2, "--max-epochs", 2, "--top-k", 1, "--final-seeds", 1, "--set", "encoder.name=small_cnn"]
    small += ["--set", "encoder.small_cnn.width=8", "--set", "search.grace_period=1", "--concurrent", 1]
    summary = storage / "summary.json"
    ended = tune("--space", space, "--data", data, "--storage", storage, *small, "--summary", summary)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(summary.read_text())
    assert told["state"] == "completed"
    # The page's protocol: anna's first recording of each of the last three classes; 3 x 5 queries are left.
    assert "15 sealed queries" in ended.stdout
    assert told["baselines"]["dtw_1nn"]["test"] > 0.8
    assert Path(told["report"]).is_file()


def test_the_page_lists_every_key():
    for part in (ManifestData, RecordingFormat, SkeletonFormat, TextFormat):
        keys = set(part.model_fields) - {"dataset"}
        assert {key for key in keys if f"`{key}`" not in SECTION} == set(), part.__name__


# ------------------------------------------------------------------------------------------------------ the source


def source_of(folder: Path, **keys):
    (folder / "yours").mkdir(exist_ok=True)
    (folder / "yours" / "manifest.csv").write_text("path,label,subject\na.npy,wave,p\nb.npy,clap,p\n")
    np.save(folder / "yours" / "a.npy", np.arange(9.0).reshape(3, 1, 3))
    return find_source(ManifestData.model_validate({"folder": "yours", "format": GLOVE, **keys}), folder)


GLOVE = {"sensors": {"glove": 1.0}, "rate_hz": 10}


def test_a_missing_or_broken_file_is_listed_and_left_out(tmp_path):
    config = ManifestData.model_validate({"folder": "yours", "format": GLOVE})
    source_of(tmp_path)
    prepared = prepare(config, tmp_path, tmp_path / "cache")
    assert list(prepared.catalog["name"]) == ["a"]
    assert prepared.meta["refused"] == [{"file": "b.npy", "reason": "does not exist"}]
    (tmp_path / "yours" / "b.npy").write_bytes(b"no array")
    prepared = prepare(config, tmp_path, tmp_path / "cache")
    assert prepared.meta["refused"] == [{"file": "b.npy", "reason": "is not a NumPy file, or it is cut"}]
    np.save(tmp_path / "yours" / "b.npy", np.arange(9.0).reshape(3, 1, 3))
    assert len(prepare(config, tmp_path, tmp_path / "cache").catalog) == 2


def test_the_format_and_the_table_are_in_the_key(tmp_path):
    first = source_of(tmp_path)
    assert source_of(tmp_path).key() == first.key()
    keys = {first.key(), source_of(tmp_path, format={**GLOVE, "rate_hz": 20}).key()}
    (tmp_path / "yours" / "manifest.csv").write_text("path,label,subject\na.npy,bow,p\nb.npy,clap,p\n")
    keys.add(find_source(ManifestData.model_validate({"folder": "yours", "format": GLOVE}), tmp_path).key())
    assert len(keys) == 3


def test_the_folder_is_found_below_the_data_folder_or_is_it_or_is_absolute(tmp_path):
    source_of(tmp_path)
    (tmp_path / "yours" / "manifest.yaml").write_text("rate_hz: 10\nsensors: {glove: 1.0}\n")
    yours = tmp_path / "yours"
    for folder, data in (("yours", tmp_path), ("yours", yours), (".", yours), (str(yours), None)):
        source = find_source(ManifestData(folder=folder), data)
        assert (source.folder.resolve(), len(source.files), source.layout.num_rows) == (yours, 2, 1)
    assert describe_data(ManifestData(folder="yours")) == "recordings of yours/manifest.csv"
    for config, data, said in (
        (ManifestData(folder="yours"), None, "set --data or DATASET_FOLDER"),
        (ManifestData(folder="mine"), tmp_path, "contains no mine/"),
        (ManifestData(folder="yours", manifest="m.csv"), tmp_path, "m.csv: no such file"),
        (ManifestData(folder=str(tmp_path / "none")), None, "none"),
    ):
        with pytest.raises(InputError, match=re.escape(said)) as caught:
            find_source(config, data)
        assert "\n" not in str(caught.value)


def test_a_wrong_format_in_a_search_space_is_told_by_line():
    text = block("yaml").replace("unit: mm", "unit: yard")
    line = text[: text.index("unit: yard")].count("\n") + 1
    with pytest.raises(InputError, match=f"my.yaml, line {line}: .*unit: a unit is one of metre"):
        parse_space(text, "my", "my.yaml")


# ------------------------------------------------------------------------------------------------------ ISL-Kinect


@pytest.fixture(scope="module")
def isl(real_data, tmp_path_factory):
    """(prepared set, split, frames) of ISL-Kinect by its search space alone."""
    if not (real_data / "isl_kinect").is_dir():
        pytest.skip("DATASET_FOLDER holds no isl_kinect/")
    config = read_space("isl_kinect").default_config()
    prepared = prepare(config.data, real_data, tmp_path_factory.mktemp("cache"), num_workers=1)
    return prepared, make_split(config.protocol, prepared.catalog), Frames.open(prepared.folder, torch.device("cpu"))


def test_isl_kinect_is_all_there(isl):
    prepared, split, _ = isl
    assert (len(prepared.catalog), prepared.meta["refused"]) == (2700, [])
    lengths = prepared.catalog["length"]
    assert (lengths.min(), lengths.median(), lengths.max()) == (18, 71, 189)
    assert sorted(prepared.catalog["repetition"].unique()) == list(range(1, 10))
    development = split.development
    assert len(development.train.classes) + len(development.validation.classes) == 21
    assert (len(split.sealed.queries.classes), len(split.sealed.queries)) == (9, 801)
    assert split.sealed.exemplars.names == tuple(f"{label}/{label}_p01_01" for label in split.sealed.exemplars.classes)


@pytest.mark.parametrize(
    ("normalization", "raw", "dtw"),
    [
        ({"center": "every_frame", "view": "face_camera", "scale": "torso"}, 0.71, 0.73),
        # What was measured as "centred on the recording's mean only" had one scale for each recording, too.
        ({"center": "mean", "view": "as_recorded", "scale": "extent"}, 0.41, 0.43),
    ],
)
def test_isl_kinect_baselines(isl, normalization, raw, dtw):
    prepared, split, frames = isl
    for kind, expected in (("raw_1nn", raw), ("dtw_1nn", dtw)):
        matching = Matching(kind, prepared.layout, NormalizeConfig(**normalization))
        queries, exemplars = View(frames, split.sealed.queries), View(frames, split.sealed.exemplars)
        nearest = matching.between(queries, exemplars).argmin(dim=1).numpy()
        accuracy = (split.sealed.exemplars.labels[nearest] == split.sealed.queries.labels).mean()
        assert accuracy == pytest.approx(expected, abs=0.02)
