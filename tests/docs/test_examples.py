"""The Python and the YAML of README.md and docs/ work as they are shown."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.catalogs import catalog_of
from support.documents import PAGES, blocks, section
from support.searched import replace_pipeline

from sldml.config.data import ManifestData
from sldml.config.representation import NormalizeConfig
from sldml.config.space import SearchSettings
from sldml.config.space_file import fields_at, parse_space, read_space
from sldml.config.trial import TrialConfig
from sldml.prepared.prepared_set import prepare
from sldml.protocols.make_split import make_split
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recordings.readers import ntu
from sldml.recordings.synthetic.dataset import SyntheticSource, generate

MODEL_SECTIONS = {"README.md": "## Using a model", "docs/model.md": "## From Python"}


def run(snippet: str) -> str:
    """Run it in the current folder; what it prints."""
    with redirect_stdout(io.StringIO()) as output:
        exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})
    return output.getvalue()


def test_every_snippet_is_run_here():
    assert [page for page, text in PAGES.items() if blocks(text, "python")] == [
        "README.md",
        "docs/model.md",
        "docs/python.md",
        "docs/recordings.md",
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a saved model, NTU files, and three of them as examples."""
    files = generate(SyntheticSource(num_auxiliary=4, recordings_per_class=3), tmp_path / "synthetic" / "ntu")
    Recognizer(Matching("raw_1nn", ntu.LAYOUT, NormalizeConfig())).save(tmp_path / "results" / "NAME" / "model")
    for place, start in (("examples", "S001C003P008R001"), ("recordings", "S001C001")):
        (tmp_path / place).mkdir()
        for file in files:
            if file.name.startswith(start) and file.stem.endswith(("A001", "A007", "A013")):
                (tmp_path / place / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", MODEL_SECTIONS)
def test_a_model_recognises_recordings(folder: Path, page: str):
    (snippet,) = blocks(section(PAGES[page], MODEL_SECTIONS[page]), "python")
    lines = run(snippet.replace("/tmp/synthetic", "synthetic")).splitlines()
    assert lines
    for line in lines:
        label, nearest, ratio = line.split()
        assert label == nearest
        assert nearest in ("A001", "A007", "A013")
        assert 0 <= float(ratio) <= 1


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_searches_from_python(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    requests = replace_pipeline(monkeypatch, tmp_path)
    text = section(PAGES[page], "## Searching from Python") if page == "README.md" else PAGES[page]
    printed = run("\n".join(blocks(text, "python")))
    assert "val/accuracy" in printed
    assert "optimizer.lr" in printed
    assert requests


def test_a_recording_of_a_declared_format_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = PAGES["docs/recordings.md"]
    own = section(page, "## Your own dataset")
    place = tmp_path / "my_gestures" / "anna"
    place.mkdir(parents=True)
    format_ = yaml.safe_load(next(iter(blocks(own, "yaml"))))["data"]["format"]
    (tmp_path / "my_gestures" / "manifest.yaml").write_text(yaml.safe_dump(format_))
    (tmp_path / "my_gestures" / "manifest.csv").write_text(next(iter(blocks(own, "csv"))))
    lines = next(iter(blocks(own, "text"))).splitlines()
    frame = [line for line in lines if line.startswith("0,000")]
    text = "\n".join([*frame, *(line.replace("0,000;", "0,020;") for line in frame)])
    (place / "wave_1.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks(page, "python")
    assert run(snippet) == "(2, 6, 3) 50.0\n"


def test_the_dataset_of_the_readme_is_read(tmp_path: Path):
    own = section(PAGES["README.md"], "## Your own recordings")
    (table,), (description,) = blocks(own, "csv"), blocks(own, "yaml")
    joints = yaml.safe_load(description)["skeleton"]["joints"]
    (tmp_path / "manifest.csv").write_text(table)
    (tmp_path / "manifest.yaml").write_text(description)
    values = np.arange(5 * len(joints) * 3).reshape(5, -1) * 100
    for row in table.splitlines()[1:]:
        path = tmp_path / row.split(",")[0]
        path.parent.mkdir(exist_ok=True)
        np.savetxt(path, values, delimiter=",")
    config = read_space("own").default_config().data
    assert isinstance(config, ManifestData)
    prepared = prepare(config, tmp_path, tmp_path / "cache", num_workers=1)
    assert prepared.meta["refused"] == []
    assert sorted(prepared.catalog["label"]) == ["clap", "wave"]
    assert set(prepared.catalog["rate_hz"]) == {30.0}
    signals = np.load(prepared.folder / "signals.npy")
    assert signals[1, 2].tolist() == pytest.approx((values[1, 6:9] / 1000).tolist())


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_the_configuration_exist(page: str):
    parts = "|".join(TrialConfig.model_fields)
    spans = re.findall(rf"`(?:--set )?(?!\w+\.py)((?:{parts}|search)(?:\.[a-z_]+)+)(?:[.=][^`\n]*)?`", PAGES[page])
    for path in spans:
        part, _, key = path.partition(".")
        assert key in SearchSettings.model_fields if part == "search" else fields_at(path)


def test_the_search_space_of_the_page_is_one():
    (text,) = blocks(section(PAGES["docs/search_spaces.md"], "## The file"), "yaml")
    space = parse_space(text, "example", "docs/search_spaces.md")
    assert {leaf.path for leaf in space.leaves()} == {
        *("optimizer.lr", "loss.name", "loss.triplet_margin.margin", "loss.sup_con.temperature"),
        *("miner.name", "miner.multi_similarity.epsilon"),
    }


def test_the_protocol_of_the_page_is_one():
    (text,) = blocks(PAGES["docs/protocols.md"], "yaml")
    config = TrialConfig.model_validate({**yaml.safe_load(text), "data": {"dataset": "manifest"}})
    names = [f"a{action}_{subject}" for action in range(1, 20) for subject in ("p01", "p02")]
    split = make_split(config.protocol, catalog_of(names))
    assert split.sealed.exemplars.classes == tuple(f"a{action}" for action in range(11, 20))
    assert set(split.sealed.exemplars.subjects) == {"p01"}
