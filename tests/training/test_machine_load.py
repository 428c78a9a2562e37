"""How busy the machine is, from made texts of the kernel's, and from a made library of NVIDIA's."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from sldml.training import machine_load
from sldml.training.machine_load import (
    CpuMeter,
    GpuMeter,
    busy_and_total,
    cores_allowed,
    seconds_used,
)

# user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  999 999 999 999 999 999 999 999 0 0
cpu0 100 10 20 300 40 5 5 20 50 0
cpu1 200 0 0 800 0 0 0 0 0 0
cpu10 7 0 0 3 0 0 0 0 0 0
intr 12345 0 1
ctxt 4242
"""


def test_ticks_of_the_cores_that_count():
    assert busy_and_total(STAT, {0}) == (160.0, 500.0)
    assert busy_and_total(STAT, {0, 1}) == (360.0, 1500.0)
    assert busy_and_total(STAT, {10}) == (7.0, 10.0)
    assert busy_and_total(STAT, {5}) is None
    assert busy_and_total("", {0}) is None


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("50000 100000", 0.5), ("", None), ("1 0", None)],
)
def test_limits_of_a_container(text: str, cores: float | None):
    assert cores_allowed(text) == cores


def test_time_that_a_container_used():
    assert seconds_used("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n") == 2.5
    assert seconds_used("") is None


def test_the_share_is_that_since_the_last_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine_load, "allowed_cores", lambda: {0, 1})
    stat = tmp_path / "stat"
    stat.write_text(STAT)
    meter = CpuMeter(tmp_path, tmp_path / "cgroup")
    assert meter.share() is None, "no time has passed"
    stat.write_text(STAT.replace("cpu1 200 0 0 800", "cpu1 275 0 0 825"))
    assert meter.share() == pytest.approx(0.75)
    stat.unlink()
    assert meter.share() is None


def test_in_a_container_the_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/jobs/mine\n")
    inner = tmp_path / "cgroup" / "jobs" / "mine"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("200000 100000\n")
    usage = inner.parent / "cpu.stat"
    usage.write_text("usage_usec 1000000\n")
    now = 50.0
    monkeypatch.setattr("sldml.training.machine_load.time.monotonic", lambda: now)
    meter = CpuMeter(tmp_path, tmp_path / "cgroup")
    now = 54.0
    usage.write_text("usage_usec 7000000\n")
    assert meter.share() == pytest.approx(6 / (4 * 2))  # six seconds of computation; two cores for four seconds


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no Linux")
def test_a_core_that_computes_is_busy():
    meter = CpuMeter()
    used = time.process_time()
    while time.process_time() - used < 0.2:
        pass
    share = meter.share()
    assert share is not None
    assert 0.0 < share <= 1.0


def test_without_a_gpu_there_is_no_figure():
    assert GpuMeter(library="libno-such-library.so").share() is None


NVML = """
#include <string.h>
struct use { unsigned gpu, memory; };
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(0x7f0000000010UL + i); return 0; }
int nvmlDeviceGetHandleByUUID(const char *u, void **d) {
    *d = (void *)0x7f0000000011UL;
    return strcmp(u, "GPU-b") != 0;
}
int nvmlDeviceGetUtilizationRates(void *d, struct use *u) {
    unsigned i = (unsigned)((unsigned long)d - 0x7f0000000010UL);
    if (i == 2) return 3; /* not supported */
    u->gpu = i == 0 ? 20 : 90; u->memory = 1; return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_gpus_as_their_library_tells_them(tmp_path: Path):
    source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    assert GpuMeter(library=str(library)).share() == pytest.approx(0.55)  # of the two that tell
    assert GpuMeter("GPU-b", library=str(library)).share() == pytest.approx(0.9)
    assert GpuMeter("GPU-x", library=str(library)).share() is None
