"""Modules whose loading is put off until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sldml.training.metric_learning import deferred


@pytest.mark.parametrize(
    "use",
    [
        "import scipy.stats",
        "from scipy.stats import rankdata",
        "import scipy; scipy.stats.rankdata",
        "from pytorch_metric_learning.utils import common_functions; common_functions.get_label_map([7, 3])",
    ],
)
def test_scipy_stats_is_loaded_by_its_first_use(use: str):
    code = f"""
import sys
import sldml.training.metric_learning
before = "scipy.stats._stats_py" in sys.modules
{use}
print(before, "scipy.stats._stats_py" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (0, ["False", "True"]), run.stderr


def test_a_loss_that_needs_scipy_special_has_it():
    code = """
import sys, torch
from sldml.training.metric_learning import losses
loss = losses.LargeMarginSoftmaxLoss(num_classes=2, embedding_size=4)
print(float(loss(torch.ones(2, 4), torch.tensor([0, 1]))) > 0, "scipy.special._ufuncs" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (0, ["True", "True"]), run.stderr


def test_only_the_named_module_is_deferred_and_only_within():
    code = """
import sys
from sldml.training.metric_learning import deferred
with deferred("colorsys"):
    import colorsys, quopri
print(type(colorsys).__name__, type(quopri).__name__, len([f for f in sys.meta_path if "Deferring" in repr(f)]))
print(colorsys.rgb_to_hsv(0, 0, 1)[2], type(colorsys).__name__)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["_LazyModule", "module", "0", "1", "module"], run.stderr


def test_the_finder_is_removed_after_a_failed_import():
    before = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError), deferred("colorsys"):
        import no_such_module  # noqa: F401
    assert sys.meta_path == before
