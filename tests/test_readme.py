"""The README names every file, and what it shows is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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


def test_options_that_are_shown_exist():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "launch").glob("*.py"))
    declared = set(re.findall(r'"(--[a-z-]+)"', source))
    declared |= {"--" + name.replace("_", "-") for name in re.findall(r"^    (\w+): Annotated\[", source, re.MULTILINE)}
    commands = re.findall(r"python launch/(?:tune|prepare)\.py[^\n`]*", README)
    shown = {option for line in commands for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)}
    assert len(commands) > 8
    assert shown <= declared | {"--help"}
