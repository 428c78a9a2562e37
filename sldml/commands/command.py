"""Shared by all commands: running them, exit statuses (2 bad input, 130 interrupted, 1 other errors), common options.

Imports little, so that `--help` and worker processes that import a command start fast.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import typer

from sldml.errors import HIDDEN, InputError, hide_arguments, hide_secrets, hide_uris, scheme_of
from sldml.interruption import interruption

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_TAKEN = ("prepared", "mlflow-artifacts", "mlflow.db")
"""Other entries of the folder of results, which no search may be named after."""
_DATABASE_FILES = (".db", ".sqlite", ".sqlite3")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def run_command(
    function: Callable[..., None] | Mapping[str, Callable[..., None]], examples: str, *, about: str = ""
) -> NoReturn:
    """Run a command on the arguments of this process and exit with its status.

    Args:
        function: The command, or several subcommands by name.
        examples: Text for `--help`.
        about: Description of a command with subcommands; else the function's docstring is used.
    """
    if isinstance(function, Mapping):
        app = _group(function, examples, about)
    else:
        app = new_app(str(function.__doc__), examples)
        add_command(app, None, function, examples)
    run_app(app)


def _group(functions: Mapping[str, Callable[..., None]], examples: str, about: str) -> typer.Typer:
    app = new_app(about, examples)
    app.callback()(lambda: None)  # else a single subcommand would run without its name
    for name, function in functions.items():
        app.command(name)(function)
    return app


def new_app(about: str, examples: str) -> typer.Typer:
    """A command line without commands yet."""
    return typer.Typer(
        help=_help(about, examples), add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )


def add_command(
    app: typer.Typer,
    name: str | None,
    function: Callable[..., None] | Mapping[str, Callable[..., None]],
    examples: str,
    *,
    about: str = "",
    line: str | None = None,
) -> None:
    """Add a command, or a group of subcommands; `line` describes it in the list of commands, else see `run_command`."""
    if isinstance(function, Mapping):
        app.add_typer(_group(function, examples, about), name=name, short_help=line)
    else:
        app.command(name, help=_help(str(function.__doc__), examples), short_help=line)(function)


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command line on the arguments of this process and exit with its status."""
    interruption.install()
    try:
        # In this mode it returns the exit status, 130 after an interruption.
        status = app(prog_name=Path(sys.argv[0]).name, standalone_mode=False)
    except InputError as error:
        _end(f"error: {' '.join(str(error).split())}", BAD_INPUT)
    except (typer.Abort, KeyboardInterrupt):  # older versions of Typer
        _end(interruption.closing_line(), INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message"):  # from click: an unknown option, a value that is not a number
            _end(f"error: {error.format_message()} (see --help)", BAD_INPUT)
        raise
    if status == INTERRUPTED:
        _end(interruption.closing_line(), INTERRUPTED)
    sys.exit(status or DONE)


def _is_console_script() -> bool:
    """Whether this process was called as `sldml …`, not as `python launch/….py`."""
    return Path(sys.argv[0]).stem == "sldml"


def spelled(text: str) -> str:
    """A text with each `python launch/NAME.py` replaced by `sldml NAME` if this process was called like that."""
    return re.sub(r"python launch/(\w+)\.py", r"sldml \1", text) if _is_console_script() else text


def own_command() -> str:
    """The command that started this process, without the secrets in it."""
    start = ["sldml"] if _is_console_script() else ["python", sys.argv[0]]
    return shlex.join([*start, *hide_arguments(sys.argv[1:])])


def tune_command(*options: str) -> str:
    """A command line of `tune` to be printed; it can be run as it is in a shell."""
    return spelled(shlex.join(["python", "launch/tune.py", *options]))


def resume_command(name: str, storage: Path, *, tracking_uri: str | None, address: str | None = None) -> str:
    """The command that resumes a search; its journal has all other options. A secret has to be written again."""
    options = ["--resume", name, "--storage", str(storage)]
    if tracking_uri is not None:
        options += ["--tracking-uri", hide_secrets(tracking_uri)]
    if address is not None:
        options += ["--address", address]
    return tune_command(*options)


def _help(about: str, examples: str) -> str:
    # Typer joins the lines of a help text, except in paragraphs that start with a backspace.
    return f"{about}\n\n{_preformatted(spelled(examples))}"


def _preformatted(text: str) -> str:
    """Mark every paragraph so that its lines are kept."""
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in text.strip().split("\n\n"))


def _end(message: str, status: int) -> NoReturn:
    print(hide_uris(message), file=sys.stderr, flush=True)
    sys.exit(status)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; if the reader of the output is gone, as with `| head`, the rest is lost."""
    try:
        for line in lines:
            print(line, flush=True)
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """From now on, what is printed to standard output is lost."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def parse_duration(text: str, option: str) -> float:
    """`90s`, `30m`, `2h`, `1d`, `1h30m` in seconds.

    Raises:
        InputError: the text has another form.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(value) * _UNITS_S[unit] for value, unit in parts)
    if "".join(value + unit for value, unit in parts) != text or seconds <= 0:
        raise InputError(f"{option} {text}: write a time as 90s, 30m, 2h or 1d")
    return seconds


def in_ray_job() -> bool:
    """Whether this process is the driver of a submitted Ray job, which runs in a temporary folder."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def storage_folder(given: str | None) -> Path:
    """The folder of results, absolute: `--storage`, or `results` in the current folder.

    Raises:
        InputError: a relative folder inside a Ray job, or a URI that is not a folder of this machine.
    """
    text = given or "results"
    scheme = urlsplit(text).scheme
    if scheme == "file":
        path = Path(unquote(urlsplit(text).path))
    elif scheme:
        raise InputError(
            f"--storage {text}: {scheme}: does not support appending to files; mount it and give its folder"
        )
    else:
        path = Path(text).expanduser()
    if in_ray_job() and not path.is_absolute():
        raise InputError(
            f"--storage {text}: in a Ray job it must be an absolute path (or file: URI) that all nodes can access, "
            "because the job's working folder is a temporary copy"
        )
    return path.absolute()


def search_name(given: str) -> str:
    """`--name`, the name of a folder in the folder of results.

    Raises:
        InputError: it is a path or a reserved name.
    """
    if not re.fullmatch(r"\w[\w.-]*", given):
        raise InputError(f"--name {given}: write letters, digits, _, - and . only (it names a folder in --storage)")
    if given in _TAKEN:
        raise InputError(f"--name {given}: {', '.join(_TAKEN)} are reserved; choose another name")
    return given


def model_name(given: str, *, saves_model: bool) -> str:
    """`--register`, a name in MLflow's model registry.

    Raises:
        InputError: the name is invalid, or the search will save no model.
    """
    if not saves_model:
        raise InputError(f"--register {given}: no model is saved with --compare or --no-final")
    if not re.fullmatch(r"\w[\w.-]{0,199}", given):
        raise InputError(f"--register {given}: write letters, digits, _, - and . only (at most 200)")
    return given


def tracking_store(given: str | None) -> str | None:
    """`--tracking-uri` with an SQLite file as an absolute URI; None stays None.

    Raises:
        InputError: it is neither a URI nor a file for SQLite, its secret is hidden, or it is a relative path inside a
            Ray job.
    """
    if given is None:
        return None
    if HIDDEN in given:
        raise InputError(f"--tracking-uri {hide_secrets(given)}: write the password (or token) in place of {HIDDEN}")
    prefix, slashes, rest = given.partition("sqlite:///")
    if slashes and not prefix and rest:
        path = Path(rest)
    elif not scheme_of(given) and _is_database_file(given):
        path = Path(given).expanduser()
    elif not scheme_of(given):
        raise InputError(f"--tracking-uri {hide_secrets(given) or repr(given)}: {_meant_by(given)}")
    else:
        return given
    if path.is_absolute():
        return f"sqlite:///{path}"
    if in_ray_job():
        raise InputError(
            f"--tracking-uri {given}: in a Ray job it must be absolute (sqlite:////…) or a server's URI, because the "
            "job's working folder is a temporary copy"
        )
    return f"sqlite:///{path.absolute()}"


def _is_database_file(given: str) -> bool:
    """Whether a text without a scheme is the path of an SQLite file, which may not exist yet."""
    return given.endswith(_DATABASE_FILES) or (not _is_host(given) and Path(given).is_file())


def _is_host(given: str) -> bool:
    """Whether it is `host:port`."""
    return re.search(r"(^|@)([\w.-]+|\[[0-9a-fA-F:]+\]):\d+(/|$)", given) is not None


def _meant_by(given: str) -> str:
    """What to write instead of a tracking URI that has no scheme."""
    if not given.strip():
        return "is empty: leave it out for the SQLite store in --storage"
    if _is_host(given):
        return f"write {hide_secrets(f'http://{given}')}"
    if found := re.match(r"(https?|postgres(?:ql)?|mysql|mssql)(\+\w+)?[:/;]+(?=[^/])(?!\d+$)", given):
        scheme = "postgresql" if found[1] == "postgres" else found[1]
        return f"write {hide_secrets(f'{scheme}{found[2] or str()}://{given[found.end() :]}')}"
    if Path(given).is_dir():
        return "is a folder, which MLflow no longer uses as a store; give an SQLite file, as mlflow.db"
    return "is no URI; give http://HOST:PORT of a server, the URI of a database, or an SQLite file, as mlflow.db"


def cache_folder(storage: Path) -> Path:
    """The folder of prepared sets: `SLDML_CACHE`, or `prepared` in the folder of results."""
    given = os.environ.get("SLDML_CACHE")
    return Path(given).expanduser().absolute() if given else storage / "prepared"
