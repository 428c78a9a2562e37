"""How busy the machine is: the share of its cores that this process may use, and of its GPUs."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

_NVML = "libnvidia-ml.so.1"
"""NVIDIA's management library; it comes with the driver."""


class CpuMeter:
    """Measures the share of the cores that is in use, between two calls of `share`.

    In a container with a limit it is the container's own use of that; else the use, by whomever, of those cores
    that this process may run on. Where neither can be read (no Linux), there is no figure.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._group = next((g for g in _own_groups(proc, cgroup) if cores_allowed(_text(g / "cpu.max"))), None)
        self._cores = allowed_cores()
        self._last = self._read()

    def share(self) -> float | None:
        """0 to 1 since the last call; None where it cannot be told."""
        before, self._last = self._last, self._read()
        if before is None or self._last is None or self._last[1] <= before[1]:
            return None
        return min(1.0, max(0.0, (self._last[0] - before[0]) / (self._last[1] - before[1])))

    def _read(self) -> tuple[float, float] | None:
        """Time used and time there was to use, in one and the same unit."""
        if self._group is not None:
            allowed = cores_allowed(_text(self._group / "cpu.max"))
            used_s = seconds_used(_text(self._group / "cpu.stat"))
            return None if allowed is None or used_s is None else (used_s, allowed * time.monotonic())
        return busy_and_total(_text(self._proc / "stat"), self._cores)


def allowed_cores() -> set[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def busy_and_total(stat: str, cores: Collection[int]) -> tuple[float, float] | None:
    """Busy and all ticks of some cores, in a text of `/proc/stat`; None where they are not in it.

    What a hypervisor took away (steal) was not idle.
    """
    busy = total = 0
    for line in stat.splitlines():
        name, *counts = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            # user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two already.
            ticks = [int(count) for count in counts[:8]]
            total += sum(ticks)
            busy += sum(ticks) - sum(ticks[3:5])
    return (float(busy), float(total)) if total else None


def cores_allowed(cpu_max: str) -> float | None:
    """The limit in a text of a control group's `cpu.max`, in cores; None where there is none."""
    quota, _, period = cpu_max.strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def seconds_used(cpu_stat: str) -> float | None:
    """Time of computation in a text of a control group's `cpu.stat`."""
    fields = dict(line.split()[:2] for line in cpu_stat.splitlines() if len(line.split()) >= 2)
    return int(fields["usage_usec"]) / 1e6 if "usage_usec" in fields else None


def _own_groups(proc: Path, cgroup: Path) -> Iterator[Path]:
    """The folder of this process's control group (version 2) and of those around it, the innermost first."""
    own = next((line[3:] for line in _text(proc / "self" / "cgroup").splitlines() if line.startswith("0::")), "/")
    folder = cgroup / own.strip("/")
    yield folder
    while folder != cgroup and cgroup in folder.parents:
        folder = folder.parent
        yield folder


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class GpuMeter:
    """Tells how busy NVIDIA's GPUs have been in the last instants (up to a second), by whomever."""

    def __init__(self, uuid: str | None = None, library: str = _NVML) -> None:
        """`uuid` (`GPU-…`): of the only one that matters; all of this machine by default."""
        self._nvml: ctypes.CDLL | None = None
        self._devices: list[ctypes.c_void_p] = []
        with suppress(OSError, AttributeError):
            nvml = ctypes.CDLL(library)
            if nvml.nvmlInit_v2() == 0:
                self._nvml, self._devices = nvml, _devices(nvml, uuid)

    def share(self) -> float | None:
        """0 to 1, the mean over the GPUs; None where there is none, or it does not tell."""
        shares = []
        for device in self._devices:
            found = _Utilization()
            assert self._nvml is not None
            if self._nvml.nvmlDeviceGetUtilizationRates(device, ctypes.byref(found)) == 0:
                shares.append(found.gpu / 100)
        return sum(shares) / len(shares) if shares else None


def _devices(nvml: ctypes.CDLL, uuid: str | None) -> list[ctypes.c_void_p]:
    device, count = ctypes.c_void_p(), ctypes.c_uint()
    if uuid is not None:
        return [device] if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)) == 0 else []
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return []
    devices = [ctypes.c_void_p() for _ in range(count.value)]
    return [d for i, d in enumerate(devices) if nvml.nvmlDeviceGetHandleByIndex_v2(i, ctypes.byref(d)) == 0]
