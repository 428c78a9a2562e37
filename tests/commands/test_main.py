"""The console script `sldml`: its subcommands, and how commands are spelled in what is printed."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.documents import scripts
from support.made_history import made_history
from support.made_searches import write_journal

import sldml
from sldml.commands.command import own_command, spelled
from sldml.commands.main import main

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def called(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Called]:
    """Runs `sldml` with arguments in this process: its exit status, and what it wrote to stdout and stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    pipe = signal.set_wakeup_fd(-1)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/sldml", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    yield run
    signal.set_wakeup_fd(pipe)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_help_lists_the_commands_of_launch(called: Called) -> None:
    status, out, _ = called("--help")
    assert status == 0
    listed = re.findall(r"^  (\w+) +[A-Z].*[a-z]\.$", out.partition("Commands:")[2], re.MULTILINE)
    assert sorted(f"launch/{name}.py" for name in listed) == scripts()


@pytest.mark.parametrize("script", scripts())
def test_examples_are_spelled_as_the_command_was_called(called: Called, script: str) -> None:
    name = Path(script).stem
    status, out, _ = called(name, "--help")
    assert status == 0
    assert f"Usage: sldml {name} " in out
    assert f"  sldml {name} " in out
    assert "launch/" not in out


def test_the_version(called: Called) -> None:
    assert called("--version") == (0, f"sldml {sldml.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["tuna"], "tuna"),
        (["tune"], "--space NAME or FILE is needed"),
        (["prepare"], "Missing command"),
        (["train", "--space", "demo", "--config", "x.yaml"], "give one of --space"),
    ],
)
def test_bad_input_is_one_line_and_status_2(called: Called, arguments: list[str], said: str) -> None:
    status, out, err = called(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


def test_the_next_command_is_spelled_in_the_same_way(called: Called, tmp_path: Path) -> None:
    write_journal(tmp_path / "one", made_history(5, final=False))
    status, out, _ = called("report", "one", "--storage", tmp_path)
    assert status == 0
    assert f"to resume the search, if it has stopped: sldml tune --resume one --storage {tmp_path}" in out


@pytest.mark.parametrize(
    ("argv", "shown", "own"),
    [
        (["/bin/sldml", "tune", "--name", "a b"], "sldml tune --resume x", "sldml tune --name 'a b'"),
        (["launch/tune.py", "--name", "a"], "python launch/tune.py --resume x", "python launch/tune.py --name a"),
    ],
)
def test_spelling(monkeypatch: pytest.MonkeyPatch, argv: list[str], shown: str, own: str) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert spelled("python launch/tune.py --resume x") == shown
    assert own_command() == own
