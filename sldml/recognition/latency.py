"""How long a recogniser takes for one recording, measured one recording at a time as in use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sldml.recognition.recognizer import Recognizer

_MOST = 50
"""So many recordings tell a median; the 95th percentile of them is rough."""
_MOST_S = 5.0
"""A slow model is not measured for longer, neither at enrolling nor at recognising."""

_Item = TypeVar("_Item")


def measure_latency(
    model: Recognizer, exemplars: Sequence[NDArray[np.float32]], queries: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """Time enrolling and recognising; what is enrolled in `model` is left as it is.

    What a process does once (compiling the warping's loop, the first use of a network, the index of a large gallery)
    does not count.

    Args:
        model: Measured on its device, among what is enrolled in it.
        exemplars: [frames, rows, 3] each, to time enrolling.
        queries: [frames, rows, 3] each, to time recognising.

    Returns:
        `enrol_ms_per_recording` and `recognise_ms_per_recording` (medians), `recognise_ms_p95`, how many `recordings`
        were recognised among how many `exemplars`, `device`, `threads`.
    """
    model.emptied().enrol_signals(exemplars[:1], [""])
    model.recognize_signals(queries[:1])
    enrolling = timed(exemplars, lambda signal: model.emptied().enrol_signals([signal], [""]))
    recognising = timed(queries, lambda signal: model.recognize_signals([signal]))
    return {
        "enrol_ms_per_recording": percentile_ms(enrolling, 50),
        "recognise_ms_per_recording": percentile_ms(recognising, 50),
        "recognise_ms_p95": percentile_ms(recognising, 95),
        "recordings": len(recognising),
        "exemplars": 0 if model.gallery is None else len(model.gallery),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
    }


def latency_lines(latency: Mapping[str, Any]) -> list[str]:
    """For a person, what `measure_latency` found, and `read_ms_per_recording` and `read_ms_p95` where it has them."""
    found, threads = latency, latency["threads"]
    lines = [
        f"latency, one recording at a time on {found['device']} with {threads} thread{'s' if threads > 1 else ''}, "
        f"median of {found['recordings']} (95th percentile):",
        f"  recognising {found['recognise_ms_per_recording']:.1f} ms ({found['recognise_ms_p95']:.1f}), "
        f"{found['exemplars']} enrolled; enrolling {found['enrol_ms_per_recording']:.1f} ms",
    ]
    if "read_ms_per_recording" in found:
        lines.append(f"  reading the file {found['read_ms_per_recording']:.1f} ms ({found['read_ms_p95']:.1f})")
    return lines


def evenly(count: int, most: int = _MOST) -> list[int]:
    """At most `most` positions of `count`, evenly from the first to the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []


def timed(items: Sequence[_Item], call: Callable[[_Item], object]) -> list[float]:
    """Seconds of each call, for items evenly from all, until there are enough."""
    seconds: list[float] = []
    for place in evenly(len(items)):
        started = time.perf_counter()
        call(items[place])
        seconds.append(time.perf_counter() - started)
        if sum(seconds) > _MOST_S:
            break
    return seconds


def percentile_ms(seconds: Sequence[float], percentile: float) -> float:
    """In milliseconds; 0 where nothing was timed."""
    return round(1e3 * float(np.percentile(seconds, percentile)), 3) if seconds else 0.0
