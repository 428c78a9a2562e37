"""Checksums of a prepared set's files, which `sha256sum --check SHA256SUMS` understands, too.

A disk can change what it stores without changing any size. A check reads the whole set, so it is done when it is asked
for (`--strict`) and once a day; the time of the last check is the modification time of `SHA256SUMS`. Measured on one
core of an AMD EPYC, from the page cache: SHA-256 1.2 to 1.5 GB/s with its processor instructions (SHA-NI), 0.3 GB/s
without; BLAKE2b 0.6 GB/s. Most disks are slower than the former.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from sldml.prepared.whole_folder import CHECKSUMS, CONTENTS

_DAY_S = 24 * 60 * 60
_CHUNK_BYTES = 4 * 2**20
_WORTH_TELLING_BYTES = 2**30
_MB = 10**6

Progress = Callable[[int, int], None]
"""Called with (MB done, MB in all)."""


def write_checksums(folder: Path) -> None:
    """Write the checksums of the other files in `folder`."""
    lines = [f"{_digest(folder / name)}  {name}\n" for name in CONTENTS]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="ascii")


def mismatch(folder: Path, progress: Progress | None = None) -> str | None:
    """Read all files in `folder` and compare them with their checksums. Returns what is wrong.

    Args:
        folder: A finished prepared set, or a copy.
        progress: Called while a large set is read.
    """
    try:
        expected = (folder / CHECKSUMS).read_text(encoding="ascii", errors="replace").splitlines()
        if len(expected) != len(CONTENTS):
            return f"{CHECKSUMS} has {len(expected)} lines, not {len(CONTENTS)}"
        total = sum((folder / name).stat().st_size for name in CONTENTS)
        done = 0

        def tell(num_bytes: int) -> None:
            nonlocal done
            done += num_bytes
            if progress is not None and total >= _WORTH_TELLING_BYTES:
                progress(done // _MB, total // _MB)

        for name, line in zip(CONTENTS, expected, strict=True):
            if line != f"{_digest(folder / name, tell)}  {name}":
                return f"{name} does not match its checksum"
    except OSError as error:  # a disk that cannot read a block
        return " ".join(str(error).split())
    return None


def check_is_due(folder: Path) -> bool:
    """Whether the last check of a set is more than a day ago, or in the future by some other clock, or unknown."""
    try:
        return abs(time.time() - (folder / CHECKSUMS).stat().st_mtime) > _DAY_S
    except OSError:
        return True


def mark_checked(folder: Path) -> None:
    """Note that a set has been checked now. Where that cannot be written, it is checked again next time."""
    with contextlib.suppress(OSError):
        os.utime(folder / CHECKSUMS)


def _digest(path: Path, tell: Callable[[int], None] | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if tell is not None:
                tell(len(chunk))
    return digest.hexdigest()
