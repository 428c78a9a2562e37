"""`launch/evaluate.py`: a protocol on a saved model."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.shipped import ship_model

from sldml.commands.evaluating import Task, seen_in_training, wilson
from sldml.config.data import SyntheticData, UtdMhadData
from sldml.config.protocol import NtuOneShot
from sldml.config.representation import NormalizeConfig
from sldml.embedding.view import View
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.classes import NTU_DEVELOPMENT, NTU_NOVEL
from sldml.protocols.split import Split
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recordings import Layout
from sldml.report.shipped import difference_sentence

MADE = SyntheticData(num_auxiliary=8, recordings_per_class=5)
Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture(autouse=True)
def _own_cache(clean_environment: None, monkeypatch: pytest.MonkeyPatch, made_set: PreparedSet):
    monkeypatch.setenv("SLDML_CACHE", str(made_set.folder.parent))


@pytest.fixture
def evaluate(launched: Run) -> Run:
    return partial(launched, "evaluate.py")


@pytest.fixture(scope="module")
def models(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict]]:
    """A folder with two searches' models, `trained` and `free`, and what their sealed tests recorded."""
    folder = tmp_path_factory.mktemp("models")
    return folder, {
        name: ship_model(folder / name / "model", made_set, MADE, NtuOneShot(), trained=name == "trained")
        for name in ("trained", "free")
    }


@pytest.mark.parametrize("name", ["trained", "free"])
def test_its_own_protocol_gives_what_the_sealed_test_recorded(
    name: str, evaluate: Run, models, made_set: PreparedSet, made_split: Split, made_frames, tmp_path: Path
):
    folder, shipped = models
    out = tmp_path / "evaluated.json"
    status, lines, _ = evaluate("--model", name, "--storage", folder, "--summary", out)
    assert status == 0
    found = json.loads(out.read_text())
    recorded = shipped[name]
    assert found["accuracy"] == recorded.shipped.accuracy
    assert found["confusion"] == recorded.confusion.model_dump(mode="json")
    assert found["per_class"] == recorded.per_class
    assert (found["num_queries"], found["num_classes"], found["warnings"]) == (80, 20, [])
    assert found["prepared"] == made_set.hash
    low, high = found["ci95"]
    assert (
        f"one-shot accuracy {found['accuracy']:.3f} [{low:.3f}, {high:.3f}], {round(80 * found['accuracy'])} of 80"
        in (line.partition(";")[0] for line in lines)
    )
    # Training-free ways beside it, normalised as the search's validation liked best.
    candidates = [NormalizeConfig(center="every_frame"), Recognizer.load(folder / name / "model").matching.normalize]
    for free, normalization in (("dtw_1nn", candidates[0]), ("raw_1nn", candidates[1])):
        matching = Matching(free, made_set.layout, normalization)  # type: ignore[arg-type]
        exemplars, queries = (
            View(made_frames, made_split.sealed.exemplars),
            View(made_frames, made_split.sealed.queries),
        )
        distances = matching.between(exemplars, queries)
        right = exemplars.labels[distances.argmin(dim=0).numpy()] == queries.labels
        assert found["baselines"][free]["accuracy"] == right.mean()
    assert any(line.startswith("baseline DTW 1-NN: ") for line in lines)
    assert any(line.startswith("  recognising ") for line in lines)
    table = [line.split() for line in lines if line.startswith("A")]
    assert [row[0] for row in table] == list(NTU_NOVEL)
    assert sum(int(row[1]) for row in table) == round(80 * found["accuracy"])


def test_the_difference_to_the_best_baseline_is_the_one_of_the_search(evaluate: Run, models, tmp_path: Path):
    folder, shipped = models
    out = tmp_path / "evaluated.json"
    status, lines, _ = evaluate("--model", "trained", "--storage", folder, "--summary", out)
    assert status == 0
    found, recorded = json.loads(out.read_text()), shipped["trained"].against
    assert recorded is not None
    assert found["against"] == recorded.model_dump(mode="json")
    assert found["against"]["accuracy"] == found["baselines"]["dtw_1nn"]["accuracy"]
    assert found["against_sentence"] == difference_sentence(recorded, "on these queries")
    assert f"difference: {found['against_sentence']}" in lines
    assert not any("no record" in line for line in lines)

    status, lines, _ = evaluate("--model", "free", "--storage", folder, "--summary", out)
    assert status == 0
    found = json.loads(out.read_text())
    assert (found["against"], found["against_sentence"]) == (None, None)
    assert not any(line.startswith("difference: ") for line in lines)


def test_a_baseline_with_an_encoder_that_the_search_preferred_is_scored_too(
    evaluate: Run, made_set: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recorded = ship_model(tmp_path / "own" / "model", made_set, MADE, NtuOneShot(), trained=True)
    assert recorded.shipped is not None
    model = json.loads((tmp_path / "own" / "model" / "model.json").read_text())
    untrained = {
        "baseline": "untrained",
        "normalize": model["normalize"],
        "encoder": model["encoder"],
        "representation": model["representation"],
    }
    model["origin"]["best_baseline"] = untrained
    (tmp_path / "own" / "model" / "model.json").write_text(json.dumps(model))
    out, table = tmp_path / "e.json", tmp_path / "q.csv"
    status, lines, err = evaluate("--model", "own", "--storage", tmp_path, "--summary", out, "--queries", table)
    assert status == 0, err
    found = json.loads(out.read_text())
    assert list(found["baselines"]) == ["raw_1nn", "dtw_1nn", "untrained"]
    assert found["against"]["candidate"]["baseline"] == "untrained"
    assert found["against"]["difference"] == pytest.approx(
        found["accuracy"] - found["baselines"]["untrained"]["accuracy"]
    )
    assert any(line.startswith("baseline untrained encoder: ") for line in lines)
    assert table.read_text().partition("\n")[0].endswith(",raw_1nn,dtw_1nn,untrained")


def test_every_query_is_a_line_of_a_table(evaluate: Run, models, made_split: Split, made_frames, tmp_path: Path):
    folder, _ = models
    out, table = tmp_path / "evaluated.json", tmp_path / "deep" / "queries.csv"
    arguments = ("--model", "trained", "--storage", folder, "--summary", out, "--queries", table)
    status, lines, _ = evaluate(*arguments)
    assert status == 0
    assert f"written: {table}" in lines
    found = json.loads(out.read_text())
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["recording", "label", "predicted", "distance", "ratio", "raw_1nn", "dtw_1nn"]
    assert rows == [{name: str(value) for name, value in query.items()} for query in found["queries"]]
    assert list(table.parent.iterdir()) == [table]

    queries, exemplars = made_split.sealed.queries, View(made_frames, made_split.sealed.exemplars)
    labels = {name: queries.classes[c] for name, c in zip(queries.names, queries.labels, strict=True)}
    assert [row["recording"] for row in rows] == sorted(labels)
    assert {row["recording"]: row["label"] for row in rows} == labels
    for way, accuracy in {
        "predicted": found["accuracy"],
        **{name: baseline["accuracy"] for name, baseline in found["baselines"].items()},
    }.items():
        assert sum(row[way] == row["label"] for row in rows) == round(80 * accuracy)
    matching = Recognizer.load(folder / "trained" / "model").matching
    distances = matching.between(exemplars, View(made_frames, queries)).numpy()
    for row in rows[::7]:
        own = distances[:, queries.names.index(row["recording"])]
        assert row["predicted"] == exemplars.classes[exemplars.labels[own.argmin()]]
        assert float(row["distance"]) == pytest.approx(own.min(), rel=1e-5, abs=1e-6)
        assert float(row["ratio"]) == pytest.approx(own.min() / np.sort(own)[1], rel=1e-4, abs=1e-5)


def test_another_protocol_that_tests_what_was_trained_on_is_warned_of(evaluate: Run, models, tmp_path: Path):
    folder, _ = models
    space = tmp_path / "other.yaml"
    known = NTU_DEVELOPMENT[:2]
    space.write_text(
        "data: {dataset: synthetic, num_auxiliary: 8, recordings_per_class: 5}\n"
        f"protocol: {{name: one_shot, novel: [{known[0]}, {known[1]}, A001], num_auxiliary: 10}}\n"
        "space: {}\n"
    )
    out = tmp_path / "e.json"
    arguments = ("--storage", folder, "--space", space, "--summary", out)
    status, lines, err = evaluate("--model", "trained", *arguments)
    assert status == 0, err
    (warning,) = [line for line in lines if line.startswith("warning: ")]
    assert warning.startswith(f"warning: the model was trained on 2 of the 3 novel classes ({known[0]}, ")
    assert json.loads(out.read_text())["num_queries"] == 12
    status, lines, _ = evaluate("--model", "free", *arguments)  # what was not trained has seen nothing
    assert status == 0
    assert not any(line.startswith("warning: ") for line in lines)


def test_settings_change_the_models_own_protocol(evaluate: Run, models, tmp_path: Path):
    out = tmp_path / "e.json"
    arguments = ("--model", "free", "--storage", models[0], "--summary", out)
    status, _, _ = evaluate(*arguments, "--set", "protocol.num_auxiliary=5")
    assert status == 0
    assert json.loads(out.read_text())["protocol"]["num_auxiliary"] == 5


def test_models_that_do_not_say_what_they_were_trained_on_are_told_of():
    layout = Layout(None, 0, {"sensor": 1.0})
    matching, task = Matching("raw_1nn", layout, NormalizeConfig()), Task(MADE, NtuOneShot())
    silent = Recognizer(matching, data=MADE, origin={"kind": "trained"})
    assert "no record of its training classes" in seen_in_training(silent, task, ["A001"])[0]
    other = Recognizer(matching, data=UtdMhadData(), origin={"kind": "trained", "train_classes": ["A001"]})
    assert seen_in_training(other, task, ["A001"]) == []  # another dataset's A001


def test_the_interval_is_wilsons():
    # By hand: p = .8, n = 50, z = 1.96: (.8 + z²/100 ± z sqrt(.8·.2/50 + z²/10000)) / (1 + z²/50)
    z = 1.959964
    middle, half = 0.8 + z**2 / 100, z * np.sqrt(0.16 / 50 + z**2 / 10_000)
    expected = (middle - half) / (1 + z**2 / 50), (middle + half) / (1 + z**2 / 50)
    assert wilson(40, 50) == pytest.approx(expected, abs=1e-6)
    assert wilson(50, 50)[1] == 1.0


def old(models, tmp_path: Path) -> Path:
    """A model that does not know its recordings, as one that was made from Python."""
    folder = shutil.copytree(models[0] / "trained" / "model", tmp_path / "old")
    saved = json.loads((folder / "model.json").read_text())
    saved["data"] = None
    for key in ("protocol", "train_classes", "baselines", "best_baseline"):
        del saved["origin"][key]
    (folder / "model.json").write_text(json.dumps(saved))
    return folder


def test_a_model_without_its_recordings_wants_a_space(evaluate: Run, models, tmp_path: Path):
    folder = old(models, tmp_path)
    status, _, err = evaluate("--model", folder)
    assert status == 2
    assert "without its recordings and protocol: give its search space" in err
    settings = ("--set", "data.num_auxiliary=8", "--set", "data.recordings_per_class=5")
    out = tmp_path / "e.json"
    status, lines, _ = evaluate("--model", folder, "--space", "demo", *settings, "--summary", out)
    assert status == 0
    assert any("no record of its training classes" in line for line in lines)
    found = json.loads(out.read_text())
    assert found["accuracy"] == models[1]["trained"].shipped.accuracy
    # It does not know the best baseline of its search either.
    assert any("no record of the best baseline of its search" in line for line in lines)
    accuracies = {name: baseline["accuracy"] for name, baseline in found["baselines"].items()}
    assert accuracies[found["against"]["candidate"]["baseline"]] == max(accuracies.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "other"], "--model other: is neither a model's folder nor a search in "),
        (["--model", "free", "--set", "encoder.name=resnet18"], "only data.… and protocol.… can be set"),
        (["--model", "free", "--set", "protocol.num_auxiliary=many"], "--set protocol.num_auxiliary=many: "),
        (["--model", "free", "--space", "utd_mhad"], "no data folder: set --data or DATASET_FOLDER"),
        (["--model", "free", "--space", "utd_mhad", "--data", "{tmp}"], "contains no utd_mhad/"),
        (["--model", "free", "--summary", "{tmp}"], "--summary {tmp}: is a folder"),
        (["--model", "free", "--queries", "{tmp}"], "--queries {tmp}: is a folder"),
        (["--model", "free", "--queries", "/dev/null/q.csv"], "--queries /dev/null/q.csv: cannot be written"),
        (["--model", "free", "--queries", "{tmp}/e", "--summary", "{tmp}/e"], "--queries {tmp}/e: is the file of"),
        (["--model", "free", "--device", "abacus"], "--device abacus: cannot be used here"),
        ([], "--model"),
    ],
)
def test_bad_input_is_one_line(evaluate: Run, models, tmp_path: Path, arguments: list[str], said: str):
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    status, _, err = evaluate("--storage", models[0], *given)
    assert status == 2
    assert err.count("\n") == 1
    assert said.format(tmp=tmp_path) in err


def test_recordings_of_other_rows_are_refused(evaluate: Run, models, tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    lines = ["path,label,subject"]
    for number in range(24):
        np.save(data / f"{number}.npy", np.random.default_rng(number).normal(size=(6, 1, 3)))
        lines.append(f"{number}.npy,c{number // 3},s")
    (data / "manifest.csv").write_text("\n".join(lines))
    (data / "manifest.yaml").write_text("sensors: {wrist: 4.0}\nrate_hz: 50\n")
    space = tmp_path / "own.yaml"
    space.write_text(f"data: {{dataset: manifest, folder: {data}}}\nprotocol: {{name: one_shot}}\nspace: {{}}\n")
    status, _, err = evaluate("--model", "free", "--storage", models[0], "--space", space)
    assert status == 2
    assert "the model expects 50 rows" in err
    assert "these recordings have 1 (wrist" in err
