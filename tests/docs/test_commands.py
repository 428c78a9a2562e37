"""Every command that the README shows is run: here, by the test that is named here, or by CI itself."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.running import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    re.sub(r"\\\n\s*", "", line).partition("    #")[0].strip()
    for block in BLOCKS
    for line in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)
]
LAUNCHED = [command for command in COMMANDS if command.startswith("python launch/")]

ELSEWHERE = {
    "make demo": (".ci/run", "make demo"),
    "make test": (".ci/run", "make test"),
    "export DATASET_FOLDER": (".ci/run", "export DATASET_FOLDER"),
    "ray get-auth-token": ("tests/test_on_clusters.py", "auth"),
    "ray start --head": ("tests/test_on_clusters.py", '"--head"'),
    "RAY_AUTH_MODE=token ray job submit": ("tests/test_on_clusters.py", '"submit"'),
    "ray stop": ("tests/test_on_clusters.py", "ray"),
    "mlflow server": ("tests/servers.py", '"--backend-store-uri"'),
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false mlflow models serve": ("tests/test_serving.py", "serve"),
}
"""Of commands that are no `launch/*.py`: which file runs it, and a piece of that file."""


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) > 20
    assert {command.split()[1] for command in LAUNCHED} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "launch").glob("*.py")
    }


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in LAUNCHED])
def test_other_programs_are_run_somewhere(command: str) -> None:
    found = [place for start, place in ELSEWHERE.items() if command.startswith(start)]
    assert found, f"no test runs: {command}"
    file, piece = found[0]
    assert piece in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", LAUNCHED)
def test_every_option_is_one_of_its_command(command: str) -> None:
    """With `--help` at its end a command does nothing else; but first it looks at what stands before."""
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:], "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.verify
@pytest.mark.timeout(1800)
def test_the_way_of_the_readme_is_walked_on_made_recordings(tmp_path: Path) -> None:
    """Its own lines in their order, with small numbers and folders of the test's behind them."""
    made, results = tmp_path / "made", tmp_path / "results"
    small = ["--storage", str(results), "--trials", "2", "--max-epochs", "2", "--top-k", "1", "--final-seeds", "1"]

    def run(start: str, *more: str, **change: str) -> str:
        command = next(command for command in LAUNCHED if command.startswith(f"python launch/{start}"))
        change = {"/tmp/made": str(made), "NAME": "walk", "examples/": str(tmp_path / "examples"), **change}
        for old, new in change.items():
            command = command.replace(old, new)
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:], *more],
            cwd=ROOT, env={**os.environ, "SLDML_CACHE": str(tmp_path / "prepared")},
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("prepare.py synthetic", "--recordings-per-class", "4")
    run("tune.py --space demo --tracking-uri", *small, "--name", "walk", "--set", "data.num_auxiliary=8",
        **{"http://127.0.0.1:5000": f"sqlite:///{results / 'mlflow.db'}"})  # fmt: skip
    run("tune.py --resume", "--storage", str(results), "--no-final",
        **{"demo-20261122-140000": "walk", "--trials +20": ""})  # fmt: skip

    # Files of the dataset, each exemplar under a name of a person's own.
    for action, name in (("A001", "drink"), ("A007", "throw"), ("A013", "tear")):
        files = sorted((made / "ntu").glob(f"*{action}.skeleton"))
        for folder, file in (("examples", files[0]), ("recordings", files[1])):
            place = tmp_path / folder / name
            place.mkdir(parents=True)
            (place / file.name).write_bytes(file.read_bytes())
    at = ("--storage", str(results))
    change = {" recordings/": f" {tmp_path / 'recordings'}", "named.json": str(tmp_path / "named.json")}
    named = run("recognize.py --model NAME --exemplars examples/ recordings/", *at, "--no-unknown", **change)
    assert (tmp_path / "named.json").stat().st_size > 100
    assert {"drink", "throw", "tear"} & set(re.findall(r"\w+", named))
    run("recognize.py --model NAME --exemplars examples/ --export", *at, served=str(tmp_path / "served"))
    assert (tmp_path / "served" / "MLmodel").is_file()
    run("evaluate.py", *at, **{" --data ~/data --set protocol.num_auxiliary=15": ""})
    run("report.py NAME", *at)
    run(
        "train.py --space demo",
        *at,
        "--max-epochs",
        "2",
        "--no-final",
        "--name",
        "other",
        "--set",
        "data.num_auxiliary=8",
    )
    run("report.py NAME OTHER", *at, OTHER="other", **{"compared.html": str(tmp_path / "compared.html")})
    assert (tmp_path / "compared.html").stat().st_size > 100_000

    (snippet,) = [
        s for s in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL) if "Recognizer.load" in s
    ]
    snippet = snippet.replace("results/NAME/model", str(results / "walk" / "model")).replace("/tmp/made", str(made))
    done = subprocess.run([sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(\w+ A\d+ \d\.\d+\n)+", done.stdout), done.stdout
