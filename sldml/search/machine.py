"""Whether Ray can be started on this machine, checked before anything is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sldml.errors import InputError

LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket."""
_SOCKET = "ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""The longest one that Ray makes below its folder."""
LEAST_FREE_BYTES = 100 * 2**20


def check_machine() -> None:
    """Check what Ray needs to start.

    Raises:
        InputError: it will not start; the message says what to change.
    """
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    told = f"Ray keeps its files below {folder} (RAY_TMPDIR, else TMPDIR)"
    if not str(folder).isascii():
        raise InputError(f"{told}, which must have ASCII characters only: set RAY_TMPDIR to another folder")
    longest = len(f"{folder}/{_SOCKET.format(pid=os.getpid())}")
    if longest > LONGEST_SOCKET:
        most = len(str(folder)) - (longest - LONGEST_SOCKET)
        raise InputError(f"{told}: its path is too long for Ray's sockets (at most {most} characters): set RAY_TMPDIR")
    ray = folder / "ray"
    if ray.exists() and not (ray.is_dir() and os.access(ray, os.W_OK | os.X_OK)):
        raise InputError(f"{ray} is a file or another user's: set RAY_TMPDIR to a folder of your own")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{told}, which cannot be written to: set RAY_TMPDIR to another folder")
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise InputError(f"{told}, where less than 100 MB are free: make room, or set RAY_TMPDIR to another folder")
    home = Path.home()
    if not (home.is_dir() and os.access(home, os.W_OK | os.X_OK)):
        raise InputError(f"the home folder {home} (HOME) cannot be written to, and Ray needs it: set HOME")
