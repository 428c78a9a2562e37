"""What a browser makes of the pages: every figure drawn, no error on the console, and printed on A4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures.mlflow_compare import chromium
from playwright.sync_api import Browser, Page, sync_playwright
from support.made_history import HOSTILE, LABELS, made_history
from support.made_searches import three_searches
from support.pages import AFTER_THE_TEST, FIGURES, SECTIONS

from sldml.report.report import write_report
from sldml.report.searches_report import write_comparison

pytestmark = pytest.mark.verify
DRAWN = r'class="(trace|scatterlayer|barlayer|heatmaplayer|hm)\b'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium: `apt-get install chromium`")
    with sync_playwright() as browsers:
        opened = browsers.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose scripts must run without a complaint."""
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 2000})
    opened.set_default_timeout(120_000)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text))
    yield opened
    opened.close()
    assert complaints == []


def opened(page: Page, path: Path) -> str:
    """The page's elements after all figures have been drawn."""
    page.goto(path.as_uri())
    page.wait_for_function("document.body.dataset.drawnMs")
    return page.content()


def figures_in(dom: str) -> dict[str, str]:
    """The drawn figures of a page by name."""
    pieces = re.split(r'id="figure-(\w+)"', dom)
    return {name: rest.split("</figure>")[0] for name, rest in zip(pieces[1::2], pieces[2::2], strict=True)}


def assert_prints_on_a4(page: Page, num_pages: Any) -> None:
    content = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(595, 842)}
    assert len(boxes) == num_pages


@pytest.mark.parametrize("labels", [LABELS, HOSTILE], ids=["plain", "hostile"])
def test_a_browser_draws_every_section_without_an_error(page: Page, tmp_path: Path, labels: list[str]) -> None:
    history = made_history(30, labels=labels)
    if labels is HOSTILE:
        for number, trial in enumerate(history.trials.values()):
            trial.params["<b>x</b>.name"] = HOSTILE[number % 2]
    path = write_report(history, tmp_path / "report.html")
    assert path.stat().st_size < 10e6
    dom = opened(page, path)
    assert "<title>demo-20261122-133000" in dom
    drawn = figures_in(dom)
    assert set(drawn) == set(FIGURES)
    for name, svg in drawn.items():
        assert 'class="main-svg"' in svg, name
        assert re.search(DRAWN, svg), name
    if labels is HOSTILE:
        # In the figures, too, a label is the letters that it is made of.
        assert "&lt;b&gt;x&lt;/b&gt;" in drawn["parallel"]
        assert "&lt;b&gt;x&lt;/b&gt;" in drawn["slices"]
        for name, label in (
            ("slices", "&lt;/script&gt;&lt;scrip"),
            ("embedding_map", "&lt;b&gt;bold&lt;/b&gt; &amp;amp;"),
        ):
            assert label in drawn[name], name
    for section in (*SECTIONS, *AFTER_THE_TEST):
        content = re.search(rf'<section id="{section}".*?</section>', dom, re.DOTALL)
        assert content, section
        assert re.search(r"<table|<svg|<dl|<img", content[0]), section
    if labels is LABELS:
        assert_prints_on_a4(page, pytest.approx(11, abs=3))


def test_several_searches_are_drawn_beside_one_another(page: Page, tmp_path: Path) -> None:
    path = write_comparison(three_searches(names=["small", "<b>middle</b>", "large"]), tmp_path / "comparison.html")
    drawn = figures_in(opened(page, path))
    assert set(drawn) == {"best_so_far", "by_auxiliary"}
    for name, svg in drawn.items():
        assert re.search(DRAWN, svg), name
    assert "&lt;b&gt;middle&lt;/b&gt;" in drawn["best_so_far"]
    assert_prints_on_a4(page, pytest.approx(3, abs=1))
