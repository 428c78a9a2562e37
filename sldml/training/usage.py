"""The process that trains, and the share of its cores and of its GPU that it uses."""

from __future__ import annotations

import os
import socket
import time

import torch

from sldml.training.epoch_metrics import Metrics
from sldml.training.machine_load import GpuMeter

WORKER = f"{socket.gethostname()}:{os.getpid()}"
"""Host and process id."""


class Usage:
    """Measures how much of its processor time and of its GPU a training uses, from epoch to epoch."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = None
        if device.type == "cuda":
            self._gpu = GpuMeter(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def of_epoch(self) -> Metrics:
        """Usage since the last call.

        Returns:
            `worker` (host and process), `time/cpu_share` (0 to 1, of the processor time of torch's threads), and on a
            GPU `time/gpu_share` (0 to 1, its utilisation of the last moments by all processes).
        """
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        available_s = max(1e-9, (wall_s - self._wall_s) * torch.get_num_threads())
        share = min(1.0, (cpu_s - self._cpu_s) / available_s)
        self._wall_s, self._cpu_s = wall_s, cpu_s
        gpu_share = None if self._gpu is None else self._gpu.share()
        shares = {"time/cpu_share": share, "time/gpu_share": gpu_share}
        return {"worker": WORKER, **{name: value for name, value in shares.items() if value is not None}}
