"""Every command that README and docs show is accepted by its program, or run by a test that is named here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.documents import (
    PAGES,
    TEMPLATES,
    UsageError,
    console_commands,
    examples_of,
    launch_commands,
    options,
    parse,
    scripts,
)
from support.running import ROOT

from sldml.config.space_file import FOLDER, read_space
from sldml.search.compared_spaces import compare

CONSOLE = {command for text in PAGES.values() for command in console_commands(text)}
LAUNCHED = sorted(
    {command for text in (*PAGES.values(), *TEMPLATES.values()) for command in launch_commands(text)}
    | {command for script in scripts() for command in launch_commands(examples_of(script))}
)

ELSEWHERE = {
    "make demo": (".ci/run", "make", "demo"),
    "make test": (".ci/run", "make", "test"),
    "export DATASET_FOLDER": (".ci/run", "export DATASET_FOLDER"),
    "ray get-auth-token": ("tests/whole/test_clusters.py", "auth"),
    "ray start --head": ("tests/whole/test_clusters.py", '"--head"'),
    "RAY_AUTH_MODE=token ray job submit": ("tests/whole/test_clusters.py", '"submit"'),
    "ray stop": ("tests/whole/test_clusters.py", "ray"),
    "mlflow server": ("tests/support/servers.py", '"--backend-store-uri"'),
    "mlflow ui": ("tests/support/servers.py", '"--backend-store-uri"'),  # another name of `mlflow server`
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false mlflow models serve": ("tests/tracking/test_serving.py", "serve"),
    "curl": ("tests/tracking/test_serving.py", "/invocations"),
}
"""For commands that are not in launch/: the file that runs them, and texts in it."""
OF_OTHER_PROGRAMS = {"--dashboard-agent-listen-port"}


def test_all_commands_are_shown() -> None:
    assert len(CONSOLE) > 25
    shown = {command.split()[1] for command in CONSOLE if command.startswith("python ")}
    assert shown == set(scripts())


@pytest.mark.parametrize("command", sorted(c for c in CONSOLE if not c.startswith("python launch/")))
def test_other_programs_are_run_somewhere(command: str) -> None:
    found = [place for start, place in ELSEWHERE.items() if command.startswith(start)]
    assert found, f"no test runs: {command}"
    file, *texts = found[0]
    content = (ROOT / file).read_text(encoding="utf-8")
    assert [text for text in texts if text not in content] == []


@pytest.mark.parametrize("command", LAUNCHED)
def test_a_command_accepts_its_options_and_settings(command: str) -> None:
    try:
        parameters = parse(command)
    except UsageError as error:
        pytest.fail(f"{command}: {error}")
    check_settings(command.split()[1], parameters)


def check_settings(script: str, parameters: dict[str, Any]) -> None:
    """Read the search space with the settings of the command, as far as the space is one of the project's."""
    space = parameters.get("space")
    if space is None or not (FOLDER / f"{space}.yaml").is_file() or script == "launch/evaluate.py":
        return
    chosen = read_space(space, parameters["settings"] or [])
    if (axis := parameters.get("compare")) is not None:
        choices = parameters["choices"]
        compare(chosen, axis, choices=choices and choices.split(","), against=parameters["against"])


@pytest.mark.parametrize("page", PAGES)
def test_options_in_the_text_exist(page: str) -> None:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGES[page], flags=re.M | re.S))
    own = [span for span in spans if re.match(r"--|\w+\.py |python launch/", span)]
    shown = {option for span in own for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    assert shown - options() - OF_OTHER_PROGRAMS == set()


@pytest.mark.parametrize("wrong", ["--spice demo", "--space demo --top-k many", "--space demo extra"])
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse(f"python launch/tune.py {wrong}")


@pytest.mark.verify
@pytest.mark.timeout(1200)
def test_the_commands_of_the_pages_work_in_their_order(tmp_path: Path) -> None:
    """Synthetic recordings, a search over them, its report, recognition and evaluation by its model, the export."""
    data, results, exemplars = tmp_path / "synthetic", tmp_path / "results", tmp_path / "examples"
    environment = {**os.environ, "SLDML_CACHE": str(tmp_path / "prepared")}

    def run(start: str, *more: str, **changes: str) -> str:
        command = next(command for command in sorted(CONSOLE) if command.startswith(f"python launch/{start}"))
        for old, new in {"/tmp/synthetic": str(data), "NAME": "walk", "examples/": str(exemplars), **changes}.items():
            command = command.replace(old, new)
        ended = subprocess.run(
            [sys.executable, *command.split()[1:], *more],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    run("prepare.py synthetic", "--recordings-per-class", "4", **{"--num-auxiliary 30": "--num-auxiliary 8"})
    run(
        "tune.py --space utd_mhad --trials 50",
        *("--set", "protocol.num_auxiliary=8", "--max-epochs", "1", "--top-k", "1", "--final-seeds", "1"),
        *("--set", "encoder.name=small_cnn", "--set", "encoder.small_cnn.width=16", "--set", "representation.steps=16"),
        *("--set", "representation.name=swap_axes", "--storage", str(results), "--name", "walk"),
        **{"utd_mhad": f"ntu --data {data}", "--trials 50": "--trials 1"},
    )
    for action, name in (("A001", "drink"), ("A007", "throw"), ("A013", "tear")):
        files = sorted((data / "ntu").glob(f"*{action}.skeleton"))
        for folder, file in (("examples", files[0]), ("recordings", files[1])):
            place = tmp_path / folder / name
            place.mkdir(parents=True)
            (place / file.name).write_bytes(file.read_bytes())
    at = ("--storage", str(results))
    change = {" recordings/": f" {tmp_path / 'recordings'}", "recognised.json": str(tmp_path / "recognised.json")}
    output = run("recognize.py --model NAME --exemplars examples/ recordings/ --json", *at, "--no-unknown", **change)
    assert (tmp_path / "recognised.json").stat().st_size > 100
    assert {"drink", "throw", "tear"} & set(re.findall(r"\w+", output))
    run("recognize.py --model NAME --exemplars examples/ --export", *at, served=str(tmp_path / "served"))
    assert (tmp_path / "served" / "serving_input_example.json").is_file()
    evaluated = {" --data ~/data --set protocol.num_auxiliary=15": f" --data {data}"}
    assert "dtw_1nn" in run("evaluate.py", *at, **evaluated)
    run("report.py NAME", *at)
    assert (results / "walk" / "report.html").stat().st_size > 100_000
