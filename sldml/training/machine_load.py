"""How busy the machine is: the share of the cores that this process may use, and of its GPUs."""

from __future__ import annotations

from contextlib import suppress
from statistics import mean
from typing import Any

import psutil
import pynvml


class CpuMeter:
    """Measures how busy the cores are that this process may run on, by all processes."""

    def __init__(self) -> None:
        process = psutil.Process()
        # macOS has no affinity: there it is all cores.
        self._cores = process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(psutil.cpu_count() or 1)
        psutil.cpu_percent(percpu=True)  # the first call returns zeros

    def share(self) -> float:
        """0 to 1 since the last call."""
        percents = psutil.cpu_percent(percpu=True)
        return float(mean(percents[core] for core in self._cores if core < len(percents))) / 100


class GpuMeter:
    """Reads the utilisation of NVIDIA GPUs in the last moments (up to a second), by all processes."""

    def __init__(self, uuid: str | None = None) -> None:
        """`uuid`: of one GPU (`GPU-…`); all GPUs of the machine by default."""
        self._devices: list[Any] = []
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            if uuid is not None:
                self._devices = [pynvml.nvmlDeviceGetHandleByUUID(uuid)]
            else:
                self._devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

    def share(self) -> float | None:
        """0 to 1, the mean over the GPUs that report it; None without such a GPU."""
        shares = []
        for device in self._devices:
            with suppress(pynvml.NVMLError):
                shares.append(pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
        return mean(shares) if shares else None
