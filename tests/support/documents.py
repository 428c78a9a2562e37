"""README.md and the pages of docs/: their code blocks, and the commands that they show."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from support.running import ROOT

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What Typer raises for a wrong command line; it has a copy of click that it does not export."""
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
"""Text by path."""
TEMPLATES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in ("search_spaces", "launch/cluster")
    for path in sorted((ROOT / folder).glob("*.yaml"))
}
"""YAML files whose comments show commands."""


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """What is below a heading, up to the next heading of the same or a higher level."""
    level = len(heading) - len(heading.lstrip("#"))
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    outside = re.sub(r"^```.*?^```$", lambda block: " " * len(block[0]), text, flags=re.MULTILINE | re.DOTALL)
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(outside, start)
    return text[start:] if end is None else text[start : end.start()]


def console_commands(text: str) -> list[str]:
    """The lines after `$` in console blocks, without comments; continued lines are joined."""
    lines = [line for block in blocks(text, "console") for line in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.M)]
    return [re.sub(r"\\\n\s*", "", line).partition("    #")[0].strip() for line in lines]


def launch_commands(text: str) -> list[str]:
    """Every `python launch/…` in a text: in console blocks, code spans, other commands, and comments of YAML files.

    Those of the console script, `sldml …`, are spelled in the same way.
    """
    joined = re.sub(r"\n#     (?=--)", " ", re.sub(r"\\\n\s*", "", text))
    joined = re.sub(r"^\$ sldml (\w+)", r"$ python launch/\1.py", joined, flags=re.MULTILINE)
    found = re.findall(r"python (launch/[^\n`]+)", joined)
    return [f"python {command.partition('    #')[0].strip()}" for command in found]


@cache
def _registered(script: str) -> tuple[dict[str, Callable[..., None]], str]:
    """The functions that a script in launch/ runs, by sub-command ('' without any), and the examples of its help."""
    found: dict[str, Any] = {}

    def record(function: Any, examples: str, *, about: str = "") -> None:
        found.update(functions=function if isinstance(function, Mapping) else {"": function}, examples=examples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sldml.commands.command.run_command", record)
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return found["functions"], found["examples"]


def examples_of(script: str) -> str:
    """The examples in the help of a script in launch/."""
    return _registered(script)[1]


def command_of(script: str, word: str = "") -> Any:
    """The click command of a script in launch/, and of its sub-command if it has any."""
    app = typer.Typer(add_completion=False)
    app.command()(_registered(script)[0][word])
    return typer.main.get_command(app)


def _split(command: str) -> tuple[str, str, list[str]]:
    """Script, sub-command ('' without any) and arguments of `python launch/…`."""
    _, script, *arguments = shlex.split(command)
    return script, arguments.pop(0) if "" not in _registered(script)[0] else "", arguments


def parse(command: str) -> dict[str, Any]:
    """The parameters of a command `python launch/…`, parsed and converted as when it is run.

    Raises:
        UsageError: an option is unknown, a value has the wrong type, or an argument is missing.
    """
    script, word, arguments = _split(command)
    parameters: dict[str, Any] = command_of(script, word).make_context(script, arguments).params
    return parameters


def run(command: str) -> None:
    """Run a command `python launch/…` in this process."""
    script, word, _ = _split(command)
    _registered(script)[0][word](**parse(command))


def scripts() -> list[str]:
    """The commands in launch/."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "launch").glob("*.py"))


def options() -> set[str]:
    """The options of all commands in launch/."""
    commands = [command_of(script, word) for script in scripts() for word in _registered(script)[0]]
    return {
        name
        for command in commands
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


def folder_of(page: str) -> Path:
    """The folder that relative links of a page start from."""
    return (ROOT / page).parent
