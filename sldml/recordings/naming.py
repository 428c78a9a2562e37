"""Names and labels as a person sees them: their order, and which of them look alike."""

from __future__ import annotations

import re
import unicodedata


def natural_key(name: str) -> tuple[list[str | int], str]:
    """To sort names with numbers in them as a person would: `a2` before `a10`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def appearance(text: str) -> str:
    """The same for texts that look alike: they differ in Unicode forms, invisible characters or white space alone."""
    visible = (char for char in unicodedata.normalize("NFC", text) if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", " ".join("".join(visible).split()))
