"""Writing files atomically."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sldml.errors import InputError

Json = dict[str, Any]
"""A JSON object."""


def write_text(text: str, path: Path) -> Path:
    """Write `text` to `path` atomically, and return `path`. Missing folders are created.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(content: Mapping[str, Any], path: Path) -> Path:
    """Write one JSON object, as `write_text` does."""
    return write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def require_writable(path: Path, option: str = "--summary") -> None:
    """Check, before a long run, that the file given by `option` can be written.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; give a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from error
