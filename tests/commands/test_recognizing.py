"""`launch/recognize.py`: what a person gives, and what he is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from support.running import launch
from support.shipped import ship_model

from sldml.config.data import ManifestData, SyntheticData, UtdMhadData
from sldml.config.protocol import NtuOneShot, OneShot, UtdMhadOneShot
from sldml.config.recording_format import RecordingFormat
from sldml.journal import Shipped
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.classes import NTU_NOVEL
from sldml.protocols.exemplars import ntu_exemplar
from sldml.recognition.recognizer import Recognizer
from sldml.recordings.readers import ntu
from sldml.recordings.sources import write_synthetic

MADE = SyntheticData(num_auxiliary=8, recordings_per_class=5)
Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def recognize(launched: Run) -> Run:
    return partial(launched, "recognize.py")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made set's recordings as NTU files: exemplars in one folder, queries in another."""
    folder = tmp_path_factory.mktemp("raw")
    write_synthetic(MADE, folder / "all")
    exemplars = {ntu_exemplar(label) for label in NTU_NOVEL}
    for kind in ("exemplars", "queries"):
        (folder / kind).mkdir()
    for path in (folder / "all" / "ntu").iterdir():
        if path.stem[-4:] in NTU_NOVEL:
            shutil.copy(path, folder / ("exemplars" if path.stem in exemplars else "queries") / path.name)
    return folder


@pytest.fixture(scope="module")
def dtw(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A model that needs no training, and its accuracy on the sealed test."""
    folder = tmp_path_factory.mktemp("models") / "demo" / "model"
    shipped = ship_model(folder, made_set, MADE, NtuOneShot())
    assert shipped.shipped is not None
    return folder, shipped.shipped.accuracy


# ------------------------------------------------------------------------------------------------ as it should be


def test_raw_files_are_named_as_on_the_sealed_test(recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path):
    model, accuracy = dtw
    out = tmp_path / "named.json"
    status, lines, _ = recognize(
        "--model", model, "--exemplars", raw / "exemplars", raw / "queries", "--json", out, "--no-unknown"
    )
    assert status == 0
    named = json.loads(out.read_text())
    counts = named["counts"]
    assert (counts["inputs"], counts["labelled"], counts["unknown"], counts["broken"]) == (80, 80, 0, 0)
    assert counts["right"] == counts["nearest_right"]
    assert counts["right"] / 80 == accuracy
    assert lines[0] == "model: dynamic time warping, without training (from search made)"
    assert lines[1].startswith("20 actions enrolled by 20 recordings: A001, A007, ")
    assert f"correct: {counts['right']} of 80 ({accuracy:.3f})" in lines
    assert any(line.startswith("  recognising ") for line in lines)
    assert any(line.startswith("  reading the file ") for line in lines)
    first = named["recordings"][0]
    shown = f"{first['file']}: {first['label']}  distance {first['distance']:.4g}  ratio {first['ratio']:.3f}"
    assert any(line.startswith(shown) for line in lines)
    # A search's own exemplars do the same, wherever its folder lies.
    status, lines, _ = recognize("--model", "demo", "--storage", model.parents[1], raw / "queries", "--no-unknown")
    assert status == 0
    assert f"correct: {counts['right']} of 80 ({accuracy:.3f})" in lines


def test_above_the_threshold_recordings_are_unknown(recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path):
    out = tmp_path / "named.json"
    arguments = ("--model", dtw[0], raw / "queries", "--json", out)
    status, lines, _ = recognize(*arguments, "--unknown", "0.6")
    named = json.loads(out.read_text())
    assert status == 0
    assert named["threshold"] == 0.6
    known = [one for one in named["recordings"] if one["ratio"] <= 0.6]
    assert 0 < len(known) < 80
    assert named["counts"]["named"] == len(known)
    assert all(one["label"] == (one["nearest"] if one["ratio"] <= 0.6 else None) for one in named["recordings"])
    unknown = next(one for one in named["recordings"] if one["label"] is None)
    assert any(f"{unknown['file']}: unknown (nearest {unknown['nearest']})  distance" in line for line in lines)
    recognize(*arguments)
    assert json.loads(out.read_text())["threshold"] == Recognizer.load(dtw[0]).threshold < 1.0


def test_own_recordings_are_called_by_their_folders(recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path):
    own = tmp_path / "own"
    for action, word in (("A001", "wave"), ("A007", "clap")):
        (own / word).mkdir(parents=True)
        shutil.copy(raw / "exemplars" / f"{ntu_exemplar(action)}.skeleton", own / word / "mine.skeleton")
    (own / "clap" / "broken.skeleton").write_text("")
    query = next((raw / "queries").glob("*A007.skeleton"))
    status, lines, _ = recognize("--model", dtw[0], "--exemplars", own, query, own / "wave" / "mine.skeleton")
    assert status == 0
    assert f"left out: {own / 'clap' / 'broken.skeleton'}: is empty" in lines
    assert "2 actions enrolled by 2 recordings: clap, wave" in lines
    assert "1 of the inputs left out (exemplars)" in lines
    assert sum("  distance " in line for line in lines) == 1
    assert not any(line.startswith("correct:") for line in lines)  # nobody said what A007 is called here


def test_broken_inputs_are_listed_and_left_out(recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path):
    broken = tmp_path / "x.skeleton"
    broken.write_text("3\n")
    out = tmp_path / "named.json"
    query = next((raw / "queries").glob("*A007.skeleton"))
    status, lines, _ = recognize("--model", dtw[0], broken, query, "--json", out)
    assert status == 0
    assert any(line.startswith(f"{broken}: left out: ends ") for line in lines)
    assert any(line.endswith("; 1 files could not be read") for line in lines)
    (told,) = json.loads(out.read_text())["broken"]
    assert told["file"] == str(broken)
    status, _, err = recognize("--model", dtw[0], broken)
    assert status == 2
    assert err == "error: none of the 1 inputs can be read; see the reasons above\n"


def test_a_model_that_does_not_know_its_files_takes_a_space(
    recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path
):
    old = shutil.copytree(dtw[0], tmp_path / "old")
    saved = json.loads((old / "model.json").read_text())
    (old / "model.json").write_text(json.dumps({**saved, "data": None}))
    query = next((raw / "queries").glob("*A007.skeleton"))
    status, _, err = recognize("--model", old, query)
    assert status == 2
    assert "without the way its files are read: give its search space, --space NAME" in err
    assert recognize("--model", old, query, "--space", "demo")[0] == 0
    status, _, err = recognize("--model", old, query, "--space", "utd_mhad")
    assert status == 2
    assert "have 20 rows (head …), but the model expects 50 others" in err


def test_declared_npy_files(recognize: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    data, lines = tmp_path / "data", ["path,label,subject"]
    data.mkdir()
    for label in ("a", "b", "c", "d", "e", "f", "g", "h"):
        wave = rng.normal(size=(12, 1, 3))
        for trial in range(4):
            np.save(data / f"{label}{trial}.npy", (wave + 0.3 * rng.normal(size=wave.shape)).astype(np.float32))
            lines.append(f"{label}{trial}.npy,{label},s{trial % 2}")
    (data / "manifest.csv").write_text("\n".join(lines))
    (data / "manifest.yaml").write_text("sensors: {wrist: 4.0}\nrate_hz: 50\n")
    config, protocol = ManifestData(folder=str(data)), OneShot(num_auxiliary=6)
    prepared = prepare(config, None, tmp_path / "cache", num_workers=1)
    shipped = ship_model(tmp_path / "model", prepared, config, protocol, free="raw_1nn")
    assert Recognizer.load(tmp_path / "model").data == config.model_copy(
        update={"format": RecordingFormat(sensors={"wrist": 4.0}, rate_hz=50)}
    )
    for name in ("g", "h"):
        for trial in range(4):
            folder = tmp_path / "new" / ("exemplars" if trial == 0 else "queries") / name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / f"{name}{trial}.npy", folder)
    out = tmp_path / "named.json"
    new = tmp_path / "new"
    status, _, _ = recognize(
        "--model", tmp_path / "model", "--exemplars", new / "exemplars", new / "queries", "--json", out
    )
    counts = json.loads(out.read_text())["counts"]
    assert (status, counts["labelled"]) == (0, 6)
    assert counts["nearest_right"] / 6 == shipped.shipped.accuracy


def test_a_model_is_exported_with_a_persons_exemplars(
    recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, out = tmp_path / "own", tmp_path / "served here"
    for action in ("A001", "A007"):
        (own / f"my {action}").mkdir(parents=True)
        shutil.copy(raw / "exemplars" / f"{ntu_exemplar(action)}.skeleton", own / f"my {action}")
    arguments = ("--model", dtw[0], "--exemplars", own, "--unknown", "0.625", "--export", out)
    status, lines, _ = recognize(*arguments)
    assert status == 0
    assert lines[-1] == f"to serve: mlflow models serve --env-manager local -m '{out}'"
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    model = mlflow.pyfunc.load_model(str(out))
    query = ntu.read(next((raw / "queries").glob("*A007.skeleton")))
    (found,) = model.predict(pd.DataFrame({"values": [query.values.tolist()]})).to_dict("records")
    expected = Recognizer.load(dtw[0])
    expected.threshold = 0.625
    expected.enrol_signals(
        [ntu.read(raw / "exemplars" / f"{ntu_exemplar(action)}.skeleton").values for action in ("A001", "A007")],
        ["my A001", "my A007"],
    )
    (wanted,) = expected.recognize([query])
    assert (found["label"], found["nearest"]) == (wanted.label, wanted.nearest)
    assert found["ratio"] == pytest.approx(wanted.ratio)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "{model}"], "give recordings to recognise (files or folders), or --export DIR"),
        (["--model", "nowhere", "{query}"], "--model nowhere: is neither a model's folder nor a search in "),
        (["--model", "{model}", "nowhere"], "nowhere: no such file or folder"),
        (["--model", "{model}", "{tmp}"], "contains no file of the kind *.skeleton"),
        (["--model", "{model}", "--exemplars", "nowhere", "{query}"], "--exemplars nowhere: is not a folder"),
        (["--model", "{model}", "--exemplars", "{tmp}", "{query}"], "contains no file of the kind *.skeleton"),
        (["--model", "{model}", "--exemplars", "{raw}/exemplars", "{raw}/exemplars"], "contains only exemplars"),
        (["--model", "{model}", "{query}", "--unknown", "0.5", "--no-unknown"], "give only one of them"),
        (["--model", "{model}", "{query}", "--unknown", "1.5"], "--unknown 1.5: must be a ratio of two distances"),
        (["--model", "{model}", "{query}", "--unknown", "much"], "--unknown"),
        (["--model", "{model}", "{query}", "--set", "data.modality=fused"], "--set changes a search space"),
        (["--model", "{model}", "{query}", "--space", "nothing"], "there is no search space 'nothing'"),
        (["--model", "{model}", "{query}", "--device", "abacus"], "--device abacus: cannot be used here"),
        (["--model", "{model}", "{query}", "--json", "{tmp}"], "--json {tmp}: is a folder; give a file"),
        (["--model", "{model}", "--json", "x.json", "--export", "out"], "--json x.json: needs recordings"),
        (["--model", "{model}", "--export", "{tmp}"], "--export {tmp}: already exists; give a new folder"),
        (["{query}"], "--model"),
    ],
)
def test_bad_input_is_one_line(
    recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path, monkeypatch, arguments: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    query = next((raw / "queries").glob("*A007.skeleton"))
    places = {"model": dtw[0], "query": query, "tmp": tmp_path, "raw": raw}
    status, lines, err = recognize(*(argument.format(**places) for argument in arguments))
    assert (status, lines) == (2, [])
    assert err.count("\n") == 1
    assert said.format(**places) in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_exemplars_wants_some(recognize: Run, raw: Path, dtw: tuple[Path, float], tmp_path: Path):
    bare = shutil.copytree(dtw[0], tmp_path / "bare")
    (bare / "exemplars.safetensors").unlink()
    status, lines, err = recognize("--model", bare, raw / "queries")
    assert (status, lines) == (2, [])
    assert "the model was saved without exemplars: give --exemplars DIR" in err


# ------------------------------------------------------------------------------------------------ real recordings


@pytest.fixture(scope="module")
def utd(real_utd: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return prepare(UtdMhadData(), real_utd, tmp_path_factory.mktemp("utd"), num_workers=2)


@pytest.fixture
def raw_utd(real_utd: Path, tmp_path: Path) -> tuple[object, ...]:
    """Arguments that name copies of raw files by copies of the exemplars."""
    for kind in ("exemplars", "queries"):
        (tmp_path / kind).mkdir()
    for action in range(12, 28):
        for path in (real_utd / "utd_mhad").rglob(f"a{action}_s*_skeleton.mat"):
            kind = "exemplars" if path.stem == f"a{action}_s1_t1_skeleton" else "queries"
            shutil.copy(path, tmp_path / kind / path.name)
    return "--exemplars", tmp_path / "exemplars", tmp_path / "queries", "--json", tmp_path / "named.json"


def counts_as_recorded(named: Path, shipped: Shipped) -> dict[str, int]:
    """Raw files are recognised exactly as the sealed test recorded."""
    counts: dict[str, int] = json.loads(named.read_text())["counts"]
    assert (counts["inputs"], counts["labelled"], counts["broken"]) == (494, 494, 0)
    assert counts["nearest_right"] / 494 == shipped.accuracy
    assert 0.3 < shipped.accuracy < 1.0
    return counts


@pytest.mark.verify
def test_utd_mhad_by_a_trained_model(
    recognize: Run, utd: PreparedSet, raw_utd: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shipped = ship_model(tmp_path / "model", utd, UtdMhadData(), UtdMhadOneShot(), trained=True).shipped
    assert shipped is not None
    assert shipped.kind == "trained"
    assert recognize("--model", tmp_path / "model", *raw_utd)[0] == 0
    counts_as_recorded(tmp_path / "named.json", shipped)


@pytest.mark.verify
def test_utd_mhad_without_training_in_a_fresh_process_from_another_folder(
    utd: PreparedSet, raw_utd: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shipped = ship_model(tmp_path / "model", utd, UtdMhadData(), UtdMhadOneShot()).shipped
    assert shipped is not None
    assert shipped.kind == "training_free"
    ended = launch("recognize.py", "--model", tmp_path / "model", *raw_utd, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    counts = counts_as_recorded(tmp_path / "named.json", shipped)
    # Its threshold rejects at most 5 % of the eleven development classes; of the sixteen novel ones it is near to that.
    assert 0.9 < counts["named"] / 494 < 1.0
    assert counts["right"] > 0.95 * counts["named"]
