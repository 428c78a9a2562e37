"""Every command that README and docs show is accepted by its program, or run by a test that is named here."""

from __future__ import annotations

import json
import re
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
    run,
    scripts,
)
from support.running import ROOT
from support.shipped import ship_model

from sldml.config.data import SyntheticData
from sldml.config.protocol import NtuOneShot
from sldml.config.space_file import FOLDER, read_space
from sldml.prepared.prepared_set import PreparedSet
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
    "sldml --help": ("tests/commands/test_main.py", '"--help"'),
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
OWN = ("python launch/", *(f"sldml {Path(script).stem}" for script in scripts()))
"""How the commands in launch/ and those of the console script begin."""
OF_OTHER_PROGRAMS = {"--dashboard-agent-listen-port"}


def test_all_commands_are_shown() -> None:
    assert len(CONSOLE) > 25
    shown = {command.split()[1] for command in CONSOLE if command.startswith("python ")}
    assert shown == set(scripts())


@pytest.mark.parametrize("command", sorted(c for c in CONSOLE if not c.startswith(OWN)))
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


def test_the_commands_of_the_pages_work_on_a_model(
    made_set: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Synthetic recordings are written, recognised by a saved model, evaluated, and the model is exported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLDML_CACHE", str(made_set.folder.parent))

    def output_of(start: str, **changes: str) -> str:
        command = next(command for command in sorted(CONSOLE) if command.startswith(f"python launch/{start}"))
        for old, new in changes.items():
            command = command.replace(old, new)
        run(command)
        return capsys.readouterr().out

    written = output_of("prepare.py synthetic", **{"/tmp/synthetic": "made", "30": "4"})
    assert written.endswith(
        f"python launch/tune.py --space ntu --data {tmp_path / 'made'} --set protocol.num_auxiliary=4\n"
    )
    for action, name in (("A001", "drink"), ("A007", "throw"), ("A013", "tear")):
        files = sorted((tmp_path / "made" / "ntu").glob(f"*{action}.skeleton"))
        for folder, file in (("examples", files[0]), ("recordings", files[1])):
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / file.name).write_bytes(file.read_bytes())
    data = SyntheticData(num_auxiliary=8, recordings_per_class=5)
    ship_model(tmp_path / "results" / "NAME" / "model", made_set, data, NtuOneShot())

    recognised = output_of("recognize.py --model NAME --exemplars examples/ recordings/ --json")
    assert len(re.findall(r"\b(drink|throw|tear)\b", recognised)) >= 3
    assert len(json.loads((tmp_path / "recognised.json").read_text())["recordings"]) == 3
    assert "DTW" in output_of("evaluate.py", **{"num_auxiliary=15": "num_auxiliary=8"})
    output_of("recognize.py --model NAME --exemplars examples/ --export")
    assert (tmp_path / "served" / "serving_input_example.json").is_file()
