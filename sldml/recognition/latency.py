"""Latency of a recogniser, measured one recording at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sldml.journal import Latency
from sldml.recognition.recognizer import Recognizer

_MOST = 50
"""Largest number of recordings: enough for a median; their 95th percentile is rough."""
_MOST_S = 5.0
"""Enrolling and recognising are each measured for at most about this many seconds."""

_Item = TypeVar("_Item")


def measure_latency(
    model: Recognizer, exemplars: Sequence[NDArray[np.float32]], queries: Sequence[NDArray[np.float32]]
) -> Latency:
    """Time enrolling and recognising. The exemplars enrolled in `model` do not change.

    What happens once per process (compiling the loop of DTW, the first use of a network, the index of a large gallery)
    is not timed.

    Args:
        model: A recogniser with enrolled exemplars, on the device to measure.
        exemplars: Recordings to enrol, [frames, rows, 3] each.
        queries: Recordings to recognise, [frames, rows, 3] each.

    Returns:
        Medians, and the 95th percentile of recognising.
    """
    model.emptied().enrol_signals(exemplars[:1], [""])
    model.recognize_signals(queries[:1])
    enrolling = timed(exemplars, lambda signal: model.emptied().enrol_signals([signal], [""]))
    recognising = timed(queries, lambda signal: model.recognize_signals([signal]))
    return Latency(
        enrol_ms_per_recording=percentile_ms(enrolling, 50),
        recognise_ms_per_recording=percentile_ms(recognising, 50),
        recognise_ms_p95=percentile_ms(recognising, 95),
        recordings=len(recognising),
        exemplars=0 if model.gallery is None else len(model.gallery),
        device=str(model.device),
        threads=torch.get_num_threads(),
    )


def latency_lines(found: Latency) -> list[str]:
    """Lines to print a result of `measure_latency`."""
    lines = [
        f"latency, one recording at a time on {found.device} with {found.threads} "
        f"thread{'s' if found.threads > 1 else ''}, median of {found.recordings} (95th percentile):",
        f"  recognising {found.recognise_ms_per_recording:.1f} ms ({found.recognise_ms_p95:.1f}), "
        f"{found.exemplars} enrolled; enrolling {found.enrol_ms_per_recording:.1f} ms",
    ]
    if found.read_ms_per_recording is not None:
        lines.append(f"  reading the file {found.read_ms_per_recording:.1f} ms ({found.read_ms_p95:.1f})")
    return lines


def evenly(count: int, most: int = _MOST) -> list[int]:
    """At most `most` positions of `count`, evenly from the first to the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []


def timed(items: Sequence[_Item], call: Callable[[_Item], object]) -> list[float]:
    """Seconds of each call, for items evenly from the sequence, until the time limit."""
    seconds: list[float] = []
    for place in evenly(len(items)):
        started = time.perf_counter()
        call(items[place])
        seconds.append(time.perf_counter() - started)
        if sum(seconds) > _MOST_S:
            break
    return seconds


def percentile_ms(seconds: Sequence[float], percentile: float) -> float:
    """A percentile in milliseconds; 0 without any measurement."""
    return round(1e3 * float(np.percentile(seconds, percentile)), 3) if seconds else 0.0
