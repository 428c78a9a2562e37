"""Trainings that are silent for too long are ended, and no others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sldml.search import hanging
from sldml.search.hanging import EPOCHS, SHORTEST_S, START_UP_S, HangWatch, end_process


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hanging.time, "monotonic", clock)
    return clock


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    killed: list[str] = []
    monkeypatch.setattr(hanging, "end_process", lambda trial, worker: killed.append(trial.trial_id))
    return killed


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name, temporary_state=SimpleNamespace(ray_actor=None))


def test_a_training_is_ended_after_many_times_the_longest_epoch(clock: Clock, killed: list[str]) -> None:
    said: list[str] = []
    watch = HangWatch(said.append)
    for name in ("slow", "quick"):
        watch.started(trial(name))
        watch.reported(trial(name), "host:1")
    clock.now += 30.0
    watch.reported(trial("slow"), "host:1")  # an epoch of 30 s
    limit = 30.0 * EPOCHS
    assert limit > SHORTEST_S
    clock.now = 1000.0 + limit - 1.0
    watch.look()
    assert killed == []
    clock.now += 6.0
    watch.look()
    assert killed == ["quick"]
    assert "no report from a training for 605 s (the longest epoch took 30 s)" in said[0]
    clock.now += 6.0
    watch.look()
    assert killed == ["quick"], "its end takes a moment"
    watch.ended(trial("slow"))
    clock.now += 10 * limit
    watch.started(trial("quick"))
    watch.look()
    assert killed == ["quick"]


def test_before_its_first_report_a_training_has_more_time(clock: Clock, killed: list[str]) -> None:
    watch = HangWatch(lambda line: None)
    watch.started(trial("first"))
    clock.now += 1e6
    watch.look()
    assert killed == [], "nothing is known of the length of an epoch"
    watch.started(trial("other"))
    for _ in range(2):
        clock.now += 1.0
        watch.reported(trial("other"), None)
    watch.started(trial("first"))
    clock.now += SHORTEST_S + START_UP_S - 1.0
    watch.reported(trial("other"), None)
    watch.look()
    assert killed == []


@pytest.mark.parametrize("stopped", [False, True])
def test_a_process_of_this_machine_is_killed_even_if_it_is_stopped(stopped: bool) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        end_process(trial("t"), "elsewhere.example:1")
        assert process.poll() is None
        end_process(trial("t"), f"{socket.gethostname()}:{process.pid}")
        assert process.wait(30) == -signal.SIGKILL
        end_process(trial("t"), f"{socket.gethostname()}:{process.pid}")
    finally:
        process.kill()
