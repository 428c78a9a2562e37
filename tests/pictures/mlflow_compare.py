"""The screenshots of docs/mlflow.md: the trials of a search in MLflow, as parallel coordinates and as a scatter plot.

Needs Chromium, and a running server with the runs (`mlflow ui --backend-store-uri …`).

Run: python -m tests.pictures.mlflow_compare http://127.0.0.1:5000 demo [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from urllib.parse import quote

from mlflow.tracking import MlflowClient
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PARAMETERS = ("loss.name", "optimizer.lr", "augment.time_warp", "head.weight")
METRIC = "val/accuracy"
WIDTH, HEIGHT = 1400, 620
CLOSE = (WIDTH - 36, 36)
"""Position of the close button of MLflow's assistant, which has no accessible name."""
WAIT_MS = 120_000


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def compare_trials(server: str, experiment: str, folder: Path) -> list[str]:
    """Compare all trials of an experiment in MLflow, and write `mlflow_compare.png` and `mlflow_scatter.png`.

    Returns:
        The errors on the console of the page, except for resources that the server does not have (404).
    """
    client = MlflowClient(server)
    experiment_id = client.get_experiment_by_name(experiment).experiment_id
    ids = [run.info.run_id for run in client.search_runs([experiment_id], "tags.stage = 'search'")]
    address = f"{server}/#/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment_id]))}"
    errors: list[str] = []
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        page.goto(address)
        page.get_by_role("heading", name=f"Comparing {len(ids)} Runs").wait_for()
        _close_assistant(page)
        _parallel_coordinates(page)
        page.screenshot(path=folder / "mlflow_compare.png")
        _scatter(page, len(ids))
        page.screenshot(path=folder / "mlflow_scatter.png")
        browser.close()
    return [error for error in errors if "404" not in error]


def _close_assistant(page: Page) -> None:
    """Close the assistant panel that MLflow opens beside the page."""
    panel = page.get_by_text("MLflow Assistant")
    page.wait_for_timeout(5000)
    if panel.count():
        page.mouse.click(*CLOSE)
        page.wait_for_timeout(1000)


def _parallel_coordinates(page: Page) -> None:
    page.get_by_role("button", name="Clear All").click()
    parameters, metrics = (page.get_by_role("combobox").nth(i) for i in range(2))
    for box, names in ((parameters, PARAMETERS), (metrics, (METRIC,))):
        for name in names:
            box.click()
            box.fill(name)
            option = f".du-bois-light-select-item-option[title='{name}'], [role=option][title='{name}']"
            page.locator(option).last.click()
        box.press("Escape")
    page.locator("text.axis-title", has_text=METRIC).first.wait_for()
    page.wait_for_timeout(1500)


def _scatter(page: Page, num_runs: int) -> None:
    page.get_by_role("tab", name="Scatter Plot").click()
    panel = page.get_by_role("tabpanel").filter(has_text="X-axis")
    for place, name in enumerate(("optimizer.lr", METRIC)):
        panel.locator("button, [role=combobox], select").nth(place).click()
        page.get_by_role("option", name=name, exact=True).last.click()
    for axis, name in (("xtitle", "optimizer.lr"), ("ytitle", METRIC)):
        page.locator(f"text.{axis}", has_text=name).wait_for()
    drawn = page.evaluate("Array.from(document.querySelectorAll('.js-plotly-plot')).at(-1).data[0].x.length")
    assert drawn == num_runs, f"{drawn} points for {num_runs} runs"
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("experiment")
    parser.add_argument("--out", type=Path, default=PICTURES)
    given = parser.parse_args()
    for error in compare_trials(given.server, given.experiment, given.out):
        print(f"console: {error}")
    print(f"pictures in {given.out}")
