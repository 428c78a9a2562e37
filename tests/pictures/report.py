"""The screenshot of docs/results.md: the top of a search's report. Needs Chromium.

Run: python -m tests.pictures.report results/demo/report.html
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "report.png"
WIDTH_PX, HEIGHT_PX = 1180, 1620


def screenshot(report: Path, out: Path) -> None:
    """Open a report and write its first `HEIGHT_PX` pixels."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(report.absolute().as_uri())
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    screenshot(arguments.report, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")
