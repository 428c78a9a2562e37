"""How large the report of a search with many trials is, and how long a browser takes to draw all of it.

Run: python -m tests.benchmarks.report_page [--trials 100]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pictures.mlflow_compare import chromium
from support.made_history import made_history

from sldml.report.report import write_report

ATTEMPTS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    num_trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        page = write_report(made_history(num_trials), Path(folder) / "report.html")
        print(f"{num_trials} trials: {page.stat().st_size / 1e6:.1f} MB")
        waited = []
        for _ in range(ATTEMPTS):
            browser = browsers.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(page.as_uri())
            tab.wait_for_function("document.body.dataset.drawnMs")
            waited.append(int(tab.evaluate("document.body.dataset.drawnMs")))
            browser.close()
        print(f"all figures drawn after {min(waited)} to {max(waited)} ms, {ATTEMPTS} times")


if __name__ == "__main__":
    main()
