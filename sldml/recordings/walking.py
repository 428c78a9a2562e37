"""Finding files in a folder and below, also behind symbolic links."""

import os
from collections.abc import Iterator
from pathlib import Path

from sldml.errors import InputError


def files_below(folder: Path) -> list[Path]:
    """All files in `folder` and below, sorted; each file once, by its resolved path.

    Links to folders are followed, and each folder is visited once, so loops end. Of several paths to a file, the one
    without links is kept, otherwise the first. Broken links are listed, so that reading them reports the reason.

    Raises InputError: a folder cannot be read.
    """
    visited: set[str] = set()
    found: dict[str, Path] = {}
    waiting = [(folder, os.path.realpath(folder))]
    while waiting:
        links: list[tuple[Path, str]] = []
        for start, real_start in waiting:
            for path, real in _walk(start, real_start, visited, links):
                found.setdefault(real, path)
        # Links come last: what they lead to may be below the folder itself.
        waiting = []
        for path, real in sorted(links):
            if not os.path.isdir(real):  # noqa: PTH112 -- a path that was resolved
                found.setdefault(real, path)
            elif real not in visited:
                waiting.append((path, real))
    return sorted(found.values())


def _walk(folder: Path, real: str, visited: set[str], links: list[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Path and resolved path of each file below a folder; its links are appended to `links`."""
    if real in visited:
        return
    visited.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror or error})") from error
    for entry in entries:
        path, real_path = folder / entry.name, f"{real.rstrip('/')}/{entry.name}"
        if entry.is_symlink():
            links.append((path, os.path.realpath(path)))
        elif entry.is_dir():
            yield from _walk(path, real_path, visited, links)
        else:
            yield path, real_path
