"""Work is interrupted if Ray's head stops responding, and only then."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from sldml.interruption import interruption
from sldml.search import head
from sldml.search.head import head_watched

pytestmark = pytest.mark.timeout(60)


class Head:
    """Accepts connections at an address until it is told not to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def die(self) -> None:
        self._socket.close()


@pytest.fixture
def ray_head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    made = Head()
    monkeypatch.setattr(head.ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=made.address))
    monkeypatch.setattr(head, "_EVERY_S", 0.05)
    monkeypatch.setattr(head, "_GIVE_UP_S", 0.3)
    interruption.mark_working()
    yield made
    made.die()
    interruption.mark_working()


def test_a_head_that_answers_is_left_alone(ray_head: Head) -> None:
    with head_watched():
        time.sleep(1.0)
    assert interruption.failure is None


def test_work_is_interrupted_once_the_head_is_gone_for_long(ray_head: Head) -> None:
    def watched() -> None:
        with head_watched():
            ray_head.die()
            time.sleep(30.0)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        watched()
    assert 0.3 < time.monotonic() - started < 20.0
    assert interruption.failure == (
        f"Ray's head at {ray_head.address} no longer responds; everything in the journal is safe"
    )


def test_a_head_that_cannot_be_reached_from_here_is_not_watched(ray_head: Head) -> None:
    ray_head.die()
    with head_watched():
        time.sleep(1.0)
    assert interruption.failure is None


def test_rays_processes_are_ended_with_the_work(ray_head: Head) -> None:
    """Its agents are children of processes that die with the head."""
    with contextlib.suppress(KeyboardInterrupt), head_watched():
        agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "ray::agent"])
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        time.sleep(0.5)
        ray_head.die()
        time.sleep(30.0)
    try:
        assert agent.wait(10) != 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("work", "gives_up"),
    [
        (lambda: None, False),
        (lambda: time.sleep(1.5), True),
        (lambda: (interruption.mark_closing(), time.sleep(1.0)), False),
        (lambda: (interruption.mark_closing(), time.sleep(2.5)), True),
    ],
    ids=["in time", "stuck", "closing", "closing for ever"],
)
def test_work_that_does_not_end_is_given_up(
    ray_head: Head, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object], gives_up: bool
) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(head, "_NOTICE_S", 0.5)
    monkeypatch.setattr(head, "_CLOSE_S", 1.0)
    monkeypatch.setattr(interruption, "give_up", given_up.set)

    def watched() -> None:
        """In a thread, which hears no signals: stuck in a call of Ray, it would not either."""
        with head_watched():
            ray_head.die()
            time.sleep(0.5)
            work()

    worker = threading.Thread(target=watched)
    worker.start()
    worker.join()
    assert given_up.is_set() == gives_up
