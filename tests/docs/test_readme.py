"""The README names every file, and what it shows is there."""

from __future__ import annotations

import re
import subprocess
import sys

from support.running import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = README.partition("\n## What lies where\n")[2].partition("\n## ")[0]


def test_every_file_stands_in_the_tree():
    files = [p for top in ("launch", "search_spaces", "sldml") for p in (ROOT / top).rglob("*")]
    names = {p.name for p in files if p.suffix in (".py", ".yaml", ".jinja") and p.name != "__init__.py"}
    names -= {p.name for p in (ROOT / "launch" / "cluster").iterdir()}
    assert {name for name in names if not re.search(rf"(?<!\w){re.escape(name)}", TREE)} == set()


def test_the_tree_names_no_file_that_is_gone():
    told = set(re.findall(r"[\w.]+\.(?:py|yaml|jinja)\b", TREE))
    assert {
        name for name in told if not any((ROOT / top).rglob(name) for top in ("launch", "search_spaces", "sldml"))
    } == set()


def test_links_and_pictures_are_there():
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert any(target.endswith(".png") for target in linked)
    assert [target for target in linked if not (ROOT / target).is_file()] == []


def test_pictures_are_small():
    pictures = list((ROOT / "tests" / "pictures").glob("*.png"))
    assert pictures
    assert [p.name for p in pictures if p.stat().st_size > 300_000] == []


def options_of(words: tuple[str, ...]) -> set[str]:
    """Those that the help of a command tells."""
    command = [sys.executable, *words, "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  (--[a-z][a-z-]*)", told, re.MULTILINE))


def test_options_that_are_shown_exist():
    shown: dict[tuple[str, ...], set[str]] = {}
    for line in re.findall(r"python (launch/(?:[^\n`\\]|\\\n)*)", README):
        words = line.split()
        command = tuple(words[: 2 if words[0] == "launch/prepare.py" else 1])
        shown.setdefault(command, set()).update(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line))
    assert len(shown) >= 8
    unknown = {command: options - options_of(command) for command, options in shown.items()}
    assert {command: options for command, options in unknown.items() if options} == {}
