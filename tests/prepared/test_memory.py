import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from sldml.prepared.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def batch():
    torch.ones(8 * 2**20)  # 32 MiB, 8192 pages
for _ in range(40):  # small blocks settle between large ones, so that it takes a few
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.verify
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such setting")
def test_batches_after_the_first_need_no_new_pages() -> None:
    faults = {}
    for kept in ("returned", "kept"):
        command = [sys.executable, "-c", SCRIPT, kept]
        faults[kept] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert faults["returned"] > 9 * 8192, "or this test says nothing"
    assert faults["kept"] < 8192
