"""A page in a headless Chromium, for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def in_chromium(
    path: Path, profile: Path, *arguments: str, real_time: bool = False
) -> subprocess.CompletedProcess[str]:
    """Open a page and end; its clock runs ahead of the real one unless `real_time`."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: `apt-get install chromium`")
    time = "--timeout=15000" if real_time else "--virtual-time-budget=20000"
    return subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--enable-logging=stderr", time, *arguments, path.absolute().as_uri(),
        ],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
