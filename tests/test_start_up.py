"""Until its first training step, a worker loads nothing that it does not use: every worker pays for each module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIRST_STEP = ROOT / "tests" / "support" / "first_step.py"
UNUSED = {
    *("faiss", "matplotlib", "mlflow", "numba", "optuna", "plotly", "sklearn", "tensorboardX", "torchvision"),
    *("sympy", "torch._dynamo", "torch._inductor", "torch.distributed.tensor", "triton"),
    # `scipy.stats` and `scipy.special` stand in `sys.modules` without being loaded; these are parts of them.
    *("scipy.stats._stats_py", "scipy.special._ufuncs"),
}


def first_step(part: str, folder: Path, *changes: str) -> str:
    command = [sys.executable, str(FIRST_STEP), part, str(folder), *changes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize(
    "changes",
    [
        ["loss.name=multi_similarity", "miner.name=multi_similarity", "optimizer.name=adamw"],
        ["loss.name=proxy_anchor", "optimizer.name=schedule_free", "train.gradient_clip=1.0"],
    ],
    ids=lambda changes: changes[0],
)
def test_a_worker_s_first_step_loads_nothing_unused(changes: list[str], tmp_path: Path):
    first_step("prepare", tmp_path, *changes)
    done = json.loads(first_step("run", tmp_path).splitlines()[-1])
    assert done["loss"] > 0
    assert {"torch", "ray.tune", "pytorch_metric_learning"} <= set(done["modules"])
    assert UNUSED & set(done["modules"]) == set()
