"""Shares from made figures of psutil and of NVIDIA's management library."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from sldml.training.machine_load import CpuMeter, GpuMeter


def test_only_the_cores_of_the_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(cpu_affinity=lambda: [0, 2]))
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu: [50.0, 99.0, 100.0, 99.0])
    assert CpuMeter().share() == pytest.approx(0.75)


def test_the_real_share_is_a_share() -> None:
    meter = CpuMeter()
    sum(range(10**6))
    assert 0.0 <= meter.share() <= 1.0


def fake_gpus(monkeypatch: pytest.MonkeyPatch, busy: dict[str, int | None]) -> None:
    """GPUs by UUID with their utilisation in percent; None: the driver does not report it."""
    names = list(busy)

    def handle(uuid: str) -> str:
        if uuid not in busy:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def rates(device: str) -> Any:
        if busy[device] is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=busy[device])

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(names))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", names.__getitem__)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", rates)


def test_the_mean_over_the_gpus_that_report(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, {"GPU-a": 20, "GPU-b": 90, "GPU-c": None})
    assert GpuMeter().share() == pytest.approx(0.55)
    assert GpuMeter("GPU-b").share() == pytest.approx(0.9)
    assert GpuMeter("GPU-c").share() is None
    assert GpuMeter("GPU-x").share() is None


def test_without_a_driver_there_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert GpuMeter().share() is None
