"""What all commands share: exit statuses, one clear line for bad input, absolute places inside a Ray job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pytest
import typer
from support.running import ROOT, default_interrupts

from sldml.commands.command import (
    cache_folder,
    in_ray_job,
    parse_duration,
    run_command,
    search_name,
    storage_folder,
    tracking_store,
)
from sldml.errors import InputError

EXAMPLES = """
Examples:

  python launch/made.py --what done

  python launch/made.py --what done --count 3 --and-a-very-long-option-so-that-the-line-would-be-folded 12345678
"""


def made(
    what: Annotated[str, typer.Option(help="What to do.")] = "done",
    count: Annotated[int, typer.Option(min=1, help="How often.")] = 1,
) -> None:
    """Do what is asked."""
    match what:
        case "input":
            raise InputError("f.yaml, line 3: no such\n  loss")
        case "interrupt":
            raise KeyboardInterrupt
        case "exit":
            raise typer.Exit(3)
        case "sys.exit":
            sys.exit(130)
        case "value":
            raise ValueError("a bug")
        case "sleep":
            print("ready", flush=True)
            time.sleep(60)
        case _:
            print(f"{what} {count}")


@pytest.fixture(autouse=True)
def _own_handler():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    pipe = signal.set_wakeup_fd(-1)
    yield
    signal.set_wakeup_fd(pipe)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["made.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_command(made, EXAMPLES)
    assert isinstance(ended.value.code, int)
    return ended.value.code


# ------------------------------------------------------------------------------------------------ exit statuses


def test_done_is_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, "--what", "done", "--count", "2") == 0
    assert capsys.readouterr() == ("done 2\n", "")


def test_bad_input_is_2_and_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, "--what", "input") == 2
    assert capsys.readouterr() == ("", "error: f.yaml, line 3: no such loss\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--wat"], "--wat"), (["--count", "many"], "--count"), (["--count", "0"], "--count"), (["more"], "more")],
)
def test_wrong_options_are_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
):
    assert status_of(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert named in err
    assert "--help" in err


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, "--what", "interrupt") == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize(("what", "status"), [("exit", 3), ("sys.exit", 130)])
def test_a_command_may_choose_its_status(monkeypatch: pytest.MonkeyPatch, what: str, status: int):
    assert status_of(monkeypatch, "--what", what) == status


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["made.py", "--what", "value"])
    with pytest.raises(ValueError, match="a bug"):
        run_command(made, EXAMPLES)


def test_help_has_the_description_and_the_examples_unfolded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "70")
    assert status_of(monkeypatch, "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "Do what is asked." in lines
    assert {line.strip() for line in EXAMPLES.splitlines()} <= set(lines)
    assert any(line.startswith("--count") and "How often." in line for line in lines)


def process(*arguments: str) -> subprocess.Popen[str]:
    code = "import test_command as t; t.run_command(t.made, '')"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_interrupts,
    )


def test_a_bug_is_1_with_its_traceback():
    _, err = (made_process := process("--what", "value")).communicate(timeout=60)
    assert made_process.returncode == 1
    assert "Traceback" in err
    assert err.rstrip().endswith("ValueError: a bug")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_from_outside_is_130_without_traceback(number: signal.Signals):
    sleeping = process("--what", "sleep")
    try:
        assert sleeping.stdout is not None
        assert sleeping.stdout.readline() == "ready\n"
        sleeping.send_signal(number)
        _, err = sleeping.communicate(timeout=60)
    finally:
        sleeping.kill()
    assert sleeping.returncode == 130
    assert err.strip() == "interrupted"


# ------------------------------------------------------------------------------------------------ durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("1d2h3m4s", 93784.0),
        ("0h5s", 5.0),
    ],
)
def test_durations(text: str, seconds: float):
    assert parse_duration(text, "--time-budget") == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "h", "2 h", " 2h", "2h ", "-2h", "2w", "1h30", "0s", "0h0m", "1e3s", "2H", "1h,2m"]
)
def test_what_is_no_duration(text: str):
    with pytest.raises(InputError, match=r"--time-budget .*: write a time as 90s, 30m, 2h or 1d"):
        parse_duration(text, "--time-budget")


# ------------------------------------------------------------------------------------------------ places


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def inside(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    return outside


def test_results_go_to_an_absolute_folder(outside: Path):
    assert not in_ray_job()
    assert storage_folder(None) == outside / "results"
    assert storage_folder("here/there") == outside / "here" / "there"
    assert storage_folder("/data/results") == Path("/data/results")
    assert storage_folder("~/results") == Path("/home/someone/results")
    assert storage_folder("file:///data/my%20results") == Path("/data/my results")
    assert storage_folder("file:results") == outside / "results"


@pytest.mark.parametrize("given", ["demo", "demo-2", "7.b_c", "große-suche"])
def test_names_of_searches(given: str):
    assert search_name(given) == given


@pytest.mark.parametrize("given", ["", ".", "..", "../demo", "a/b", "/tmp/a", ".demo", "-demo", "a b", "a\nb"])
def test_a_name_is_no_path(given: str):
    with pytest.raises(InputError, match="letters, digits"):
        search_name(given)


@pytest.mark.parametrize("given", ["prepared", "mlflow-artifacts", "mlflow.db"])
def test_a_search_is_not_called_as_what_lies_beside_it(given: str):
    with pytest.raises(InputError, match="are reserved"):
        search_name(given)


@pytest.mark.parametrize("given", ["s3://bucket/results", "gs://bucket", "hdfs://host/results"])
def test_results_cannot_go_to_an_object_store(outside: Path, given: str):
    with pytest.raises(InputError, match=f"--storage {given}: .* mount it and give its folder"):
        storage_folder(given)


@pytest.mark.parametrize("given", [None, "results", "./results", "file:results"])
def test_inside_a_ray_job_results_need_an_absolute_folder(inside: Path, given: str | None):
    assert in_ray_job()
    with pytest.raises(InputError, match="in a Ray job it must be an absolute path"):
        storage_folder(given)


@pytest.mark.parametrize("given", ["/shared/results", "file:///shared/results"])
def test_inside_a_ray_job_absolute_results_are_taken(inside: Path, given: str):
    assert storage_folder(given) == Path("/shared/results")


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        (None, None),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("/data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql+psycopg2://u:p@h/db"),
    ],
)
def test_tracking_stores_are_absolute(outside: Path, given: str | None, uri: str | None):
    assert tracking_store(given) == (None if uri is None else uri.format(here=outside))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("127.0.0.1:5000", "--tracking-uri 127.0.0.1:5000: write http://127.0.0.1:5000"),
        ("localhost:5000/mlflow", "--tracking-uri localhost:5000/mlflow: write http://localhost:5000/mlflow"),
        ("me:pw@server:5000", "--tracking-uri ***: write http://me:***@server:5000"),
        ("https//server:5000", "--tracking-uri https//server:5000: write https://server:5000"),
        ("http:/server", "--tracking-uri http:/server: write http://server"),
        ("http:server", "--tracking-uri http:server: write http://server"),
        ("postgres:/me:pw@db/runs", "--tracking-uri ***: write postgresql://me:***@db/runs"),
        ("databricks", "--tracking-uri databricks: is no URI; give http://HOST:PORT of a server"),
        ("", "--tracking-uri '': is empty: leave it out"),
        ("mlruns", "--tracking-uri mlruns: is a folder"),
        ("postgresql://me:***@db/runs", "write the password (or token) in place of ***"),
    ],
)
def test_what_is_no_uri_is_told_and_what_was_meant(outside: Path, given: str, said: str):
    (outside / "mlruns").mkdir()
    (outside / "127.0.0.1:5000").touch()
    with pytest.raises(InputError) as caught:
        tracking_store(given)
    assert said in str(caught.value)


def test_a_file_that_exists_is_a_store_whatever_its_name(outside: Path):
    (outside / "runs").touch()
    assert tracking_store("runs") == f"sqlite:///{outside}/runs"


@pytest.mark.parametrize("given", ["sqlite:///mlflow.db", "mlflow.db", "sqlite:///here/mlflow.db"])
def test_inside_a_ray_job_a_relative_tracking_store_is_refused(inside: Path, given: str):
    with pytest.raises(InputError, match=r"--tracking-uri .*: in a Ray job it must be absolute"):
        tracking_store(given)


@pytest.mark.parametrize("given", [None, "sqlite:////data/mlflow.db", "https://mlflow.example"])
def test_inside_a_ray_job_absolute_tracking_stores_are_taken(inside: Path, given: str | None):
    assert tracking_store(given) == given


def test_prepared_sets_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, outside: Path):
    monkeypatch.delenv("SLDML_CACHE", raising=False)
    assert cache_folder(Path("/results")) == Path("/results/prepared")
    monkeypatch.setenv("SLDML_CACHE", "~/prepared")
    assert cache_folder(Path("/results")) == Path("/home/someone/prepared")
    monkeypatch.setenv("SLDML_CACHE", "prepared")
    assert cache_folder(Path("/results")) == outside / "prepared"


# ------------------------------------------------------------------------------------------------ several in one


def status_of_two(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    def other(size: Annotated[int, typer.Option(help="How large.")]) -> None:
        """Do another thing."""
        print(f"other {size}")

    monkeypatch.setattr(sys, "argv", ["made.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_command({"make": made, "other": other}, EXAMPLES, about="Two things.")
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["make", "--count", "2"], 0, "done 2\n", ""),
        (["other", "--size", "3"], 0, "other 3\n", ""),
        (["make", "--what", "input"], 2, "", "error: f.yaml, line 3: no such loss\n"),
        (["make", "--what", "interrupt"], 130, "", "interrupted\n"),
        ([], 2, "", "error: Missing command. (see --help)\n"),
        (["wat"], 2, "", "error: No such command 'wat'. (see --help)\n"),
        (["other"], 2, "", "error: Missing option '--size'. (see --help)\n"),
    ],
)
def test_a_command_may_have_several_functions(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    out: str,
    err: str,
):
    assert status_of_two(monkeypatch, *arguments) == status
    found = capsys.readouterr()
    assert (found.out, found.err.lstrip()) == (out, err)


def test_a_command_of_several_functions_lists_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of_two(monkeypatch, "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "Two things." in lines
    assert {line.strip() for line in EXAMPLES.splitlines()} <= set(lines)
    assert any(line.split() == ["make", "Do", "what", "is", "asked."] for line in lines)
    assert status_of_two(monkeypatch, "other", "--help") == 0
    assert "How large." in capsys.readouterr().out


def test_one_function_in_several_still_needs_its_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["made.py", "make"])
    with pytest.raises(SystemExit) as ended:
        run_command({"make": made}, "", about="One thing.")
    assert ended.value.code == 0
    assert capsys.readouterr().out == "done 1\n"
