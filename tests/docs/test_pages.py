"""Links, anchors and pictures of README.md and docs/ exist, and pictures are small."""

from __future__ import annotations

import re

import pytest
from support.documents import PAGES, folder_of
from support.running import ROOT

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))
MAX_PICTURE_BYTES = 300_000


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_wrong_link_would_be_found():
    assert "using-a-server" in anchors(PAGES["docs/mlflow.md"])
    assert "using-a-servant" not in anchors(PAGES["docs/mlflow.md"])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if "://" not in target]
    broken = []
    for target in targets:
        path, _, anchor = target.partition("#")
        file = (folder_of(page) / path).resolve() if path else ROOT / page
        if not file.is_file() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_picture_is_shown_and_small():
    shown = {name for text in PAGES.values() for name in re.findall(r"pictures/([\w.]+)\)", text)}
    assert shown == {path.name for path in PICTURES}
    assert [path.name for path in PICTURES if path.stat().st_size > MAX_PICTURE_BYTES] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_named_exist(page: str):
    paths = re.findall(r"`((?:sldml|launch|tests|search_spaces|docs)/[\w./]*)`", PAGES[page])
    assert [path for path in paths if not (ROOT / path).exists()] == []
