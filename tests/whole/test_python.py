"""Searches from Python: a script that is interrupted and resumes, and a notebook; both without control codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.running import ROOT, count, default_interrupts, kill, tiny_arguments, wait_for

pytestmark = pytest.mark.verify

CONTROL_CODE = "\x1b["
SCRIPT = """
import sldml

try:
    sldml.tune(name="script", **{arguments})
except KeyboardInterrupt as stop:
    print("stopped", stop)
result = sldml.tune(resume="script")
print(result)
print(result.trials[["trial_id", "state", "optimizer.lr"]])
print(result.epochs[["trial_id", "epoch", "val/accuracy"]])
print(result.baselines[["baseline", "stands", "normalize.center"]])
print(result.finals[["trial_id", "seed", "test/accuracy"]])
"""
"""As a person writes it first: without `if __name__ == "__main__"`."""
CELLS = [
    "import sldml\nresult = sldml.load('script')\nresult",
    """
import ray
context = ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
other = sldml.tune(name="notebook", **{arguments})
assert ray.is_initialized()
""",
    """
assert result.trials["state"].isin(["completed", "pruned"]).all()
assert other.epochs["trial_id"].nunique() == len(other.trials) == 4
assert other.finals["test/accuracy"].between(0, 1).all()
assert other.recognizer(enrolled=True).gallery is not None
str(other.report())
""",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where script and notebook run; both find the same results."""
    return tmp_path_factory.mktemp("python")


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """What the script printed, which got Ctrl-C in its first search."""
    (folder / "search.py").write_text(SCRIPT.replace("{arguments}", repr(tiny_arguments())))
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "search.py"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=default_interrupts,
        )
    try:
        journal = folder / "results" / "script" / "journal.jsonl"
        wait_for(lambda: count(journal, "trial_ended") >= 1, process, log)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(300)
    finally:
        if process.poll() is None:
            kill(process)
    assert process.returncode == 0, log.read_text()
    assert count(journal, "attempt") == 2
    return log.read_text()


def test_a_script_is_interrupted_in_order_and_resumes(printed: str) -> None:
    assert "stopped to resume: sldml.tune(resume='script', storage=" in printed
    assert "<SearchResult script: 4 trials; best t000" in printed
    assert "Traceback" not in printed
    assert CONTROL_CODE not in printed
    for column in ("optimizer.lr", "val/accuracy", "normalize.center", "test/accuracy"):
        assert column in printed


def test_a_notebook_shows_progress_and_results(printed: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = [nbformat.v4.new_code_cell(cell.replace("{arguments}", repr(tiny_arguments()))) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    shown: list[str] = []

    class Client(NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] == "update_display_data":
                shown.append(msg["content"]["data"]["text/html"])
            return super().process_message(msg, cell, cell_index)

    Client(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()

    assert CONTROL_CODE not in nbformat.writes(notebook).encode().decode("unicode_escape")
    loaded, tuned, checked = (cell.outputs for cell in cells)
    assert "<table" in loaded[-1]["data"]["text/html"]
    lines = "".join(output["text"] for output in tuned if output["output_type"] == "stream")
    assert "baseline dtw_1nn: validation" in lines
    assert any("starting Ray" in html or "baselines" in html or "trials" in html for html in shown), shown
    assert shown[-1] == "", "the progress is removed at the end"
    assert checked[-1]["data"]["text/plain"] == repr(str(folder / "results" / "notebook" / "report.html"))
