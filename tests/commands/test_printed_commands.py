"""Every command that is printed can be run as it is printed, also where names have blanks and ampersands."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from mlflow.cli import cli as mlflow_cli
from support.made_history import made_history
from support.made_searches import write_journal

from sldml.commands import main, prepare, session
from sldml.commands.closing import closing_lines
from sldml.commands.command import add_command, new_app, tune_command
from sldml.commands.request import search_request
from sldml.journal import OptionsRecord
from sldml.report.summary import Timing, search_summary
from sldml.search.request import Request
from sldml.tracking import default_uri

SERVER = "http://me:pa%26ss@host:5000"


def command_of(line: str) -> list[str]:
    """The arguments of the command that a line ends with."""
    found = re.search(r"(python launch/|sldml |mlflow |MLFLOW_TRACKING_URI=).*", line)
    assert found, line
    return shlex.split(found[0].rstrip("`"))


def parsed(line: str) -> dict[str, Any]:
    """The options of the printed command, as the command itself reads them."""
    words = command_of(line)
    assert not {"&", "|", ";"} & set(words)
    if words[0].startswith("MLFLOW_TRACKING_URI="):
        words = words[1:]
    if words[0] == "mlflow":
        group: click.Command = mlflow_cli
        words = words[1:]
    else:
        app = new_app("", "")
        for name, (function, examples, about, short) in main._COMMANDS.items():
            add_command(app, name, function, examples, about=about, line=short)
        group = typer.main.get_command(app)
        words = words[1:] if words[0] == "sldml" else [Path(words[1]).stem, *words[2:]]
    context = None
    while hasattr(group, "resolve_command"):
        context = context or click.Context(group)
        _, found, words = group.resolve_command(context, words)
        assert found is not None
        group = found
    return group.make_context("made", words).params


@pytest.fixture
def odd(tmp_path: Path, clean_environment: None) -> Path:
    return tmp_path / "a b & c"


def request_of(odd: Path, **changes: Any) -> Request:
    given = {"name": "one", "storage": str(odd), "tracking_uri": SERVER, "address": "auto", **changes}
    return search_request("demo", command="", **given)


@pytest.mark.parametrize("argv", [["launch/tune.py"], ["/bin/sldml"]])
@pytest.mark.parametrize("tracking_uri", [SERVER, None, "here & there.db"])
def test_the_commands_of_a_search(
    odd: Path, argv: list[str], tracking_uri: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.chdir(odd.parent)
    request = request_of(odd, tracking_uri=tracking_uri)
    shown = {SERVER: "http://me:***@host:5000", None: None}.get(tracking_uri, f"sqlite:///{odd.parent}/here & there.db")
    resumed = parsed(session._resume(request))
    assert (resumed["resume"], resumed["storage"], resumed["tracking_uri"]) == ("one", str(odd), shown)
    assert resumed["address"] == "auto"
    assert parsed(f"{session._resume(request)} --final")["final"] is True
    again = parsed(session._search_again(request))
    assert (again["space"], again["warm_start"], again["storage"], again["tracking_uri"]) == (
        *("demo", "one", str(odd), shown),
    )


def test_a_space_of_a_file_is_named_by_its_file(odd: Path) -> None:
    odd.mkdir()
    (odd / "my space.yaml").write_text("space: {optimizer: {lr: {float: [0.001, 0.1]}}}\n")
    request = search_request(str(odd / "my space.yaml"), command="", storage=str(odd))
    assert parsed(session._search_again(request))["space"] == str(odd / "my space.yaml")


def test_the_last_lines_of_a_search(odd: Path) -> None:
    request = replace(request_of(odd), tracking_uri=None)
    places = {
        "mlflow": {"tracking_uri": default_uri(odd), "experiment_id": "1", "run_id": "a"},
        "report": "r/report.html",
        "model": None,
    }
    summary = search_summary(made_history(final=False), "interrupted", Timing(0.0), places, None)
    lines = closing_lines(summary, resume=session._resume(request), search_again="")
    (resume,) = [line for line in lines if line.startswith("to resume: ")]
    assert parsed(resume)["storage"] == str(odd)
    (compare,) = [line for line in lines if line.startswith("compare: ")]
    assert parsed(compare)["backend_store_uri"] == default_uri(odd)


@pytest.mark.parametrize("final", [True, False])
def test_the_next_commands_of_a_report(odd: Path, launched: Any, final: bool) -> None:
    for name in ("one", "two"):
        history = made_history(5, final=final)
        options = OptionsRecord(tracking_uri="postgresql://me:***@host/runs", address="auto")
        history.attempts[-1] = history.attempts[-1].model_copy(update={"options": options})
        write_journal(odd / name, history)
    _, lines, _ = launched("report.py", "one", "--storage", odd)
    found = parsed(lines[-1].removesuffix(" OTHER…"))
    assert found["storage"] == str(odd)
    if not final:
        assert (found["resume"], found["tracking_uri"]) == ("one", "postgresql://me:***@host/runs")
    _, lines, _ = launched("report.py", "one", "two", "--storage", odd)
    assert parsed(lines[-1])["names"] == ["one"]


def test_the_next_commands_of_prepared_recordings(odd: Path, launched: Any) -> None:
    line = prepare._search_command("demo", odd / "data", ["seed=1", "protocol.novel=a b,c&d"], str(odd))
    found = parsed(line)
    assert (found["storage"], found["data"], found["settings"]) == (
        str(odd),
        odd / "data",
        ["seed=1", "protocol.novel=a b,c&d"],
    )
    _, lines, _ = launched(
        *("prepare.py", "synthetic", "--out", odd, "--num-auxiliary", 4, "--recordings-per-class", 2)
    )
    assert parsed(lines[-1])["data"] == odd


def test_the_command_that_restores_an_experiment(odd: Path, empty_store: Path) -> None:
    from support.tracked import TrackedSearch

    from sldml.tracking import TrackingError

    odd.mkdir()
    (odd / "mlflow.db").write_bytes(empty_store.read_bytes())
    search = TrackedSearch(odd)
    tracker = search.tracked([search.begun])
    search.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="experiments restore") as caught:
        search.tracker()
    printed = str(caught.value).split("`")[1]
    assert shlex.split(printed)[0] == f"MLFLOW_TRACKING_URI={default_uri(odd)}"
    assert parsed(printed)["experiment_id"] == tracker.experiment_id


def test_serving_an_exported_model(odd: Path) -> None:
    line = f"to serve: {shlex.join(['mlflow', 'models', 'serve', '--env-manager', 'local', '-m', str(odd)])}"
    assert parsed(line)["model_uri"] == str(odd)


def test_a_printed_command_is_quoted() -> None:
    assert tune_command("--storage", "a b&c") == "python launch/tune.py --storage 'a b&c'"
