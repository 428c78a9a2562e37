"""Ends a search in order when Ray's head stops responding.

Without a head, Ray kills the driver after a minute (here later, see `sldml.search.cluster`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import psutil
import ray

from sldml.interruption import interruption

_EVERY_S = 2.0
_GIVE_UP_S = 15.0
"""The head may be restarted meanwhile."""
_TIMEOUT_S = 3.0
_NOTICE_S = 15.0
"""Time for the work to notice that it was interrupted. Some calls of Ray never return without a head."""
_CLOSE_S = 120.0
"""Time for the report and for tracking, which may wait a minute for its server."""


@contextlib.contextmanager
def head_watched() -> Iterator[None]:
    """In this context, the work of this thread is interrupted if Ray's head stops responding."""
    address = ray.get_runtime_context().gcs_address
    if not _answers(address):  # it is reachable for the cluster, but not from here
        yield
        return
    ended, started, working = threading.Event(), set[psutil.Process](), threading.current_thread()
    watch = threading.Thread(target=_watch, args=(address, working, started, ended), name="head watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
        if interruption.failure is not None:
            _kill_rest(started)


def _watch(address: str, working: threading.Thread, started: set[psutil.Process], ended: threading.Event) -> None:
    """`started` receives the processes below this one: Ray's agents outlive the head, and belong to nobody then."""
    answered = time.monotonic()
    while not ended.wait(_EVERY_S):
        if _answers(address):
            answered = time.monotonic()
            started |= set(psutil.Process().children(recursive=True))
        elif time.monotonic() - answered > _GIVE_UP_S:
            interruption.fail(f"Ray's head at {address} no longer responds; everything in the journal is safe", working)
            if not _ends(ended):
                _kill_rest(started)
                interruption.give_up()
            return


def _ends(ended: threading.Event) -> bool:
    """Whether the interrupted work ends in time."""
    return ended.wait(_NOTICE_S) or (interruption.is_closing and ended.wait(_CLOSE_S))


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _kill_rest(started: set[psutil.Process]) -> None:
    for process in started:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and "ray" in " ".join(process.cmdline()):
                process.kill()
