"""README.md is short, and its tree shows the packages of the project."""

from __future__ import annotations

import re

from support.documents import PAGES, section
from support.running import ROOT

README = PAGES["README.md"]
MAX_LINES = 250


def test_it_is_read_in_one_sitting():
    assert len(README.splitlines()) <= MAX_LINES


def test_its_tree_names_the_packages_and_files_of_the_root():
    tree = section(README, "## Layout")
    named = re.findall(r"^  ([\w.]+/?) ", tree, re.MULTILINE)
    entries = [path for path in (ROOT / "sldml").iterdir() if not path.name.startswith(("_", ".", "py.typed"))]
    assert sorted(named) == sorted(f"{path.name}/" if path.is_dir() else path.name for path in entries)
    folders = re.findall(r"^(\w+)/ ", tree, re.MULTILINE)
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert {"launch", "search_spaces", "tests"} <= set(folders)


def test_the_output_of_the_demo_is_marked():
    _, start, rest = README.partition("<!-- demo output -->\n")
    output, end, _ = rest.partition("<!-- /demo output -->")
    assert start
    assert end
    assert "sealed test" in output


def test_it_links_to_every_page():
    assert [page for page in PAGES if page != "README.md" and f"({page})" not in README] == []
