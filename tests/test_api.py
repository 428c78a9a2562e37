"""`import sldml`: what it loads, the tables of a search, and what is refused."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.made_history import search_begun
from support.made_searches import write_journal
from support.searched import leave_search, replace_pipeline, searched_history

import sldml
from sldml.commands.notebook import progress_printer
from sldml.config.space_file import FOLDER
from sldml.journal import History
from sldml.report.frames import baselines_frame, epochs_frame, finals_frame, trials_frame
from sldml.search.request import Request


@pytest.fixture
def history() -> History:
    return searched_history()


@pytest.fixture
def result(history: History, tmp_path: Path) -> sldml.SearchResult:
    leave_search(tmp_path / "results" / "one", history)
    return sldml.load("one", storage=tmp_path / "results")


# ------------------------------------------------------------------------------------------------ the package


def test_every_public_name_is_there():
    assert set(sldml.__all__) <= set(dir(sldml))
    for name in sldml.__all__:
        assert getattr(sldml, name) is not None
    with pytest.raises(AttributeError, match="module 'sldml' has no attribute 'tuna'"):
        _ = sldml.tuna  # type: ignore[attr-defined]


def test_every_argument_is_described():
    described = inspect.getdoc(sldml.tune)
    assert described is not None
    assert [name for name in inspect.signature(sldml.tune).parameters if f"\n    {name}: " not in described] == []


# ------------------------------------------------------------------------------------------------ results


def test_a_search_is_found_by_name_and_by_folder(result: sldml.SearchResult):
    assert result.folder.name == "one"
    assert sldml.load(result.folder).name == result.name
    assert sldml.load(str(result.folder)).trials.equals(result.trials)


def test_its_tables_are_those_of_its_journal(result: sldml.SearchResult, history: History):
    assert result.trials.equals(trials_frame(history))
    assert result.epochs.equals(epochs_frame(history))
    assert result.baselines.equals(baselines_frame(history))
    assert list(result.finals) == list(finals_frame(history))


def test_the_best_trial_and_the_saved_model(result: sldml.SearchResult, history: History):
    assert result.best is not None
    assert result.shipped is not None
    best = history.ranked()[0]
    assert (result.best.trial_id, result.best.value, result.best.config) == (best.trial_id, best.value, best.config)
    assert (result.shipped.name, result.shipped.is_trained, result.shipped.accuracy) == (
        best.trial_id,
        True,
        history.shipped.accuracy,
    )
    assert f"12 trials; best {best.trial_id}" in repr(result)
    assert f"{history.shipped.accuracy:.3f} on the sealed test" in repr(result)
    assert result._repr_html_().count("<table") == 2


def test_the_saved_model_is_loaded(result: sldml.SearchResult):
    assert isinstance(result.recognizer(), sldml.Recognizer)
    gallery = result.recognizer(enrolled=True).gallery
    assert gallery is not None
    assert list(gallery.actions) == ["wave"]


def test_the_report_is_written(result: sldml.SearchResult):
    assert "Leaderboard" in result.report().read_text(encoding="utf-8")


def test_a_search_may_have_no_results_yet(tmp_path: Path):
    write_journal(tmp_path / "new", History(search_begun(name="new")))
    new = sldml.load(tmp_path / "new")
    assert (new.best, new.shipped) == (None, None)
    assert repr(new) == "<SearchResult new: 0 trials>"
    assert new._repr_html_() == "<p>SearchResult new: 0 trials</p>"
    with pytest.raises(sldml.InputError, match="new has saved no model"):
        new.recognizer()


# ------------------------------------------------------------------------------------------------ searches


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Request]:
    return replace_pipeline(monkeypatch, tmp_path)


def test_arguments_reach_the_request(requested: list[Request], tmp_path: Path):
    settings = {"optimizer.lr": 1e-5, "miner.name": "none", "search.grace_period": 2}
    result = sldml.tune("demo", trials=3, max_epochs=2, seed=5, time_budget=90, settings=settings, progress=False)
    (request,) = requested
    assert result.folder == request.folder
    assert request.storage == tmp_path / "results"
    config = request.space.default_config()
    assert (request.num_trials, config.train.max_epochs, request.time_budget_s) == (3, 2, 90.0)
    assert (config.optimizer.lr, config.miner.name, request.space.search.grace_period) == (1e-5, "none", 2)
    assert request.command.startswith("sldml.tune('demo', trials=3, max_epochs=2")


def test_a_space_may_be_a_file_or_a_dict(requested: list[Request]):
    file = FOLDER / "demo.yaml"
    sldml.tune(file, name="file", progress=False)
    sldml.tune(yaml.safe_load(file.read_text()), name="dict", progress=False)
    from_file, from_dict = (request.space for request in requested)
    assert (from_file.name, from_dict.name) == ("demo", "custom")
    assert list(from_dict.leaves()) == list(from_file.leaves())
    assert from_dict.default_config() == from_file.default_config()


@pytest.mark.parametrize(
    ("space", "arguments", "said"),
    [
        ("nope", {}, "there is no search space 'nope'; there are demo, "),
        ({"space": {"optimizer": {"lrr": {"choice": [1]}}}}, {}, "the search space: optimizer.lrr: there is no 'lrr'"),
        ({"data": object()}, {}, "the search space: only dicts, lists"),
        ("demo", {"settings": {"loss.name": "nope"}}, "settings: loss.name=nope: "),
        ("demo", {"settings": {"loss.name": ["sup_con"]}}, "settings: ['sup_con'] is no plain value"),
        ("demo", {"trials": "+5"}, "trials +5: adding trials needs resume"),
        ("demo", {"time_budget": "soon"}, "time_budget soon: write a time"),
        ("demo", {"name": "a/b"}, "name a/b: write letters"),
        ("ntu", {}, "no data folder: set data or DATASET_FOLDER"),
        ("demo", {"resume": "one"}, "leave out space and name"),
        (None, {"resume": "one"}, "one is neither a search in"),
        ("demo", {"register": "a", "final": False}, "no model is saved with compare or final=False"),
    ],
)
def test_bad_input_is_one_clear_line(requested: list[Request], space: Any, arguments: dict[str, Any], said: str):
    with pytest.raises(sldml.InputError) as refused:
        sldml.tune(space, **arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "--" not in str(refused.value)
    assert requested == []


def test_a_search_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(sldml.InputError, match=r"nope is neither a search in .*\(other folders: storage\)"):
        sldml.load("nope", storage=tmp_path)


def test_an_interrupted_search_raises_what_interrupted_it(requested: list[Request]):
    with pytest.raises(KeyboardInterrupt, match=r"to resume: sldml.tune\(resume='interrupted', storage="):
        sldml.tune("demo", name="interrupted", progress=False)
    with pytest.raises(RuntimeError, match="search failed failed: no trial has a value"):
        sldml.tune("demo", name="failed", progress=False)


def test_progress_is_plain_lines_or_silent(capsys: pytest.CaptureFixture[str]):
    for shown in (True, False):
        with progress_printer(shown) as printer:
            printer.say("baselines are scored")
            printer.counting("recordings")(1, 1)
    assert capsys.readouterr() == ("baselines are scored\nrecordings: 1 of 1\n", "")
