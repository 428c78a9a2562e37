"""Tracking against real SQLite stores: what a search hands over is what MLflow has in the end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from support.tracked import children, open_tracker, steps

from sldml.tracking import TrackingError, check, default_uri, hide_password
from sldml.tracking.runs import MAX_PARAM_CHARACTERS

STARTED = 1_700_000_000.0


def test_parent_and_children_with_params_tags_metrics_and_times(storage: Path) -> None:
    tracker = open_tracker(storage, tags={"stage": "search", "commit": "abc"})
    tracker.start_run(
        "trial:t0003",
        name="t0003",
        params={"loss.name": "arcface", "loss.arcface.margin_deg": 28.6, "head": False, "list": [1, 2]},
        tags={"stage": "search", "trial_id": "t0003"},
        started=STARTED,
    )
    for epoch in (1, 2, 3):
        tracker.log_metrics(
            "trial:t0003", {"val/accuracy": epoch / 10, "epoch": epoch}, step=epoch, time=STARTED + epoch
        )
    tracker.end_run("trial:t0003", status="KILLED", tags={"state": "pruned"}, time=STARTED + 9.5)
    tracker.log_metrics(None, {"search/best": 0.3}, step=1)
    assert tracker.close() == 0

    client = MlflowClient(default_uri(storage))
    parent = client.get_run(tracker.run_id)
    assert parent.info.run_name == "demo-1"
    assert parent.info.status == "FINISHED"
    assert {parent.data.tags[k] for k in ("key", "search", "stage", "commit")} == {"search", "demo-1", "abc"}
    assert parent.data.metrics == {"search/best": 0.3}
    child = children(storage, tracker)["trial:t0003"]
    assert child.info.run_name == "t0003"
    assert (child.info.status, child.info.start_time, child.info.end_time) == (
        "KILLED",
        1_700_000_000_000,
        1_700_000_009_500,
    )
    assert child.data.params == {
        "loss.name": "arcface",
        "loss.arcface.margin_deg": "28.6",
        "head": "False",
        "list": "[1, 2]",
    }
    assert child.data.tags["state"] == "pruned"
    assert child.data.tags["trial_id"] == "t0003"
    history = client.get_metric_history(child.info.run_id, "val/accuracy")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (1, 0.1, 1_700_000_001_000),
        (2, 0.2, 1_700_000_002_000),
        (3, 0.3, 1_700_000_003_000),
    ]


def test_artifacts_lie_beside_the_database(storage: Path) -> None:
    file = storage / "confusion.txt"
    file.write_text("1 0\n0 1\n")
    tracker = open_tracker(storage)
    tracker.start_run("final:t1:0", name="t1 seed 0", params={}, tags={"stage": "final"})
    tracker.log_dict("final:t1:0", {"loss": {"name": "arcface"}}, "config.json")
    tracker.log_artifact("final:t1:0", file, "tables")
    tracker.log_text(None, "<p>report</p>", "report.html")
    assert tracker.flush(30)
    run_id = children(storage, tracker)["final:t1:0"].info.run_id
    folder = storage / "mlflow-artifacts" / run_id / "artifacts"
    assert json.loads((folder / "config.json").read_text()) == {"loss": {"name": "arcface"}}
    assert (folder / "tables" / "confusion.txt").read_text() == "1 0\n0 1\n"
    assert (storage / "mlflow-artifacts" / tracker.run_id / "artifacts" / "report.html").is_file()
    assert tracker.close() == 0


def test_resuming_finds_the_runs_and_doubles_no_metric(storage: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = open_tracker(storage)
    first.start_run("trial:t0", name="t0", params={"lr": 0.1}, tags={"stage": "search"})
    for epoch in (1, 2):
        first.log_metrics("trial:t0", {"val/accuracy": 0.5, "epoch": epoch}, step=epoch)
    first.log_metrics("trial:t0", {"train/loss": 1.0}, step=1)
    first.log_metrics(None, {"search/best": 0.5}, step=1)
    first.close("KILLED")

    second = open_tracker(storage)
    assert (second.experiment_id, second.run_id) == (first.experiment_id, first.run_id)
    second.start_run("trial:t0", name="t0", params={"lr": 0.2, "new": 1}, tags={"stage": "search"})
    assert second.flush(30)
    assert children(storage, second)["trial:t0"].info.status == "RUNNING"
    for epoch in (1, 2, 3):  # replayed from the first: only what the store lacks may be added
        second.log_metrics("trial:t0", {"val/accuracy": 0.5, "epoch": epoch, "train/loss": 1.0}, step=epoch)
    second.log_metrics(None, {"search/best": 0.5}, step=1)
    second.end_run("trial:t0", status="FINISHED", tags={"state": "completed"})
    assert second.close() == 0

    runs = MlflowClient(default_uri(storage)).search_runs([second.experiment_id])
    assert len(runs) == 2
    child = children(storage, second)["trial:t0"]
    assert steps(storage, child.info.run_id, "val/accuracy") == [1, 2, 3]
    assert steps(storage, child.info.run_id, "train/loss") == [1, 2, 3]
    assert steps(storage, second.run_id, "search/best") == [1]
    assert child.data.params == {"lr": "0.1", "new": "1"}
    assert "parameter lr stays '0.1'" in caplog.text
    assert child.info.status == "FINISHED"


def test_another_search_gets_its_own_parent(storage: Path) -> None:
    one, two = open_tracker(storage, "o'clock"), open_tracker(storage, "two")
    three = open_tracker(storage, "two", search_id="two of another person")
    assert one.experiment_id == two.experiment_id
    assert len({one.run_id, two.run_id, three.run_id}) == 3
    again = open_tracker(storage, "o'clock")
    assert again.run_id == one.run_id
    for tracker in (one, two, three, again):
        tracker.close()


def test_a_thousand_metrics_and_more(storage: Path) -> None:
    tracker = open_tracker(storage)
    tracker.start_run("trial:t0", name="t0", params={f"p{i}": i for i in range(250)}, tags={})
    for epoch in range(300):
        tracker.log_metrics("trial:t0", {f"m{i}": epoch for i in range(8)}, step=epoch)
    tracker.log_metrics("trial:t0", {f"wide{i}": i for i in range(1200)}, step=1)
    assert tracker.close() == 0
    child = children(storage, tracker)["trial:t0"]
    assert len(child.data.params) == 250
    assert len(child.data.metrics) == 1208
    assert steps(storage, child.info.run_id, "m7") == list(range(300))


def test_odd_values_harm_nothing(storage: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = open_tracker(storage)
    tracker.start_run("trial:t0", name="t0", params={"long": "x" * 10_000, "dos<h>": 1}, tags={"t": "y" * 9000})
    tracker.log_metrics("trial:t0", {"train/loss": float("nan"), "epoch": 1, "acc<b>": 0.5}, step=1)
    tracker.log_metrics("trial:never_started", {"epoch": 1}, step=1)
    tracker.log_artifact("trial:t0", storage / "gone.txt")
    tracker.log_metrics("trial:t0", {"epoch": 2}, step=2)
    assert tracker.close() == 2
    child = children(storage, tracker)["trial:t0"]
    assert child.data.metrics == {"epoch": 2, "acc_b_": 0.5}
    assert len(child.data.params["long"]) == MAX_PARAM_CHARACTERS
    assert child.data.params["long"].endswith("(cut, 10000 characters)")
    assert "train/loss is not a finite number" in caplog.text
    assert "refused 2 items" in caplog.text


def test_handing_over_does_not_wait_for_the_store(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = open_tracker(storage)
    begun, released = threading.Event(), threading.Event()
    log_batch = tracker._client.log_batch

    def blocked(*args: object, **kwargs: object) -> None:
        begun.set()
        assert released.wait(60)
        log_batch(*args, **kwargs)

    monkeypatch.setattr(tracker._client, "log_batch", blocked)
    tracker.start_run("trial:t0", name="t0", params={"lr": 0.1}, tags={})
    assert begun.wait(60)
    for epoch in range(500):
        tracker.log_metrics("trial:t0", {"epoch": float(epoch)}, step=epoch)
    told = tracker.to_json()  # all of it was handed over while the store was busy with the first call
    assert told["handed_over"] == 501
    assert told["waiting"] > 0
    assert told["longest_handover_ms"] > 0
    released.set()
    assert tracker.close() == 0
    told = tracker.to_json()
    assert (told["handed_over"], told["waiting"], told["refused"]) == (502, 0, 0)
    assert steps(storage, children(storage, tracker)["trial:t0"].info.run_id, "epoch") == list(range(500))


def test_closed_is_closed(storage: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = open_tracker(storage)
    tracker.log_metrics(None, {"a": np.float32(0.5)})
    assert tracker.close("FAILED") == 0
    tracker.log_metrics(None, {"b": 1})  # a search that ends must not fail by a late report
    assert "after the end" in caplog.text
    run = MlflowClient(default_uri(storage)).get_run(tracker.run_id)
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"a": 0.5}


# ------------------------------------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    "uri",
    ["http://user:pa55word@127.0.0.1:9", "http://no-such-host.invalid:5000", "postgresql://me:pa55word@127.0.0.1:9/runs"],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_a_dead_server_is_told_in_one_line(uri: str) -> None:
    with pytest.raises(TrackingError) as caught:
        check(uri, timeout_s=3)
    message = str(caught.value)
    assert "\n" not in message
    assert "pa55word" not in message
    assert "does not answer" in message or "driver psycopg is not installed" in message
    assert len(message) < 400


@pytest.mark.timeout(60)
def test_a_server_that_accepts_but_never_answers_is_told_too() -> None:
    release = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(300)

        do_POST = do_GET

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(TrackingError, match="does not answer"):
            check(f"http://127.0.0.1:{server.server_port}", timeout_s=1)
        assert not release.is_set()
    finally:
        release.set()
        server.shutdown()


@pytest.mark.verify
def test_check_makes_the_database_and_says_nothing(tmp_path: Path) -> None:
    uri = default_uri(tmp_path / "deep" / "er")
    code = (
        "from sldml.tracking import Tracker, check\n"
        f"check({uri!r}); Tracker({uri!r}, experiment='e', search='s').close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "deep" / "er" / "mlflow.db").stat().st_size > 0


def test_what_cannot_be_a_store_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "mlflow.db"
    other.write_text("this is a text file and no database at all, long enough to have a header")
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be opened.*not a database"):
        check(default_uri(tmp_path))
    assert other.read_text().startswith("this is")
    with pytest.raises(TrackingError, match="cannot be opened or created"):
        check(default_uri(other / "below a file"))
    with pytest.raises(TrackingError, match="absolute"):
        check("sqlite:///mlflow.db")
    for uri in ("mlruns", f"file://{tmp_path}", "ftp://server/x", "http://"):
        with pytest.raises(TrackingError, match="tracking URI"):
            check(uri)


def test_a_deleted_experiment_is_told(storage: Path) -> None:
    tracker = open_tracker(storage)
    tracker.close()
    MlflowClient(default_uri(storage)).delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="experiments restore -x"):
        open_tracker(storage)


@pytest.mark.parametrize("password", ["secret", "p", "with:colon", "p@ss/w%rd"])
def test_password_is_hidden(password: str) -> None:
    for secret in {password, quote(password, safe="")} - {"p@ss/w%rd"}:
        uri = f"postgresql://me:{secret}@db/runs"
        assert hide_password(uri) == "postgresql://me:***@db/runs"
        assert hide_password(uri, f"cannot open {uri}: up to date") == (
            "cannot open postgresql://me:***@db/runs: up to date"
        )
    assert hide_password("http://h/?token=abc&x=1") == "http://h/?token=***&x=1"
    assert hide_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


@pytest.mark.verify
def test_two_processes_start_on_one_new_store(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    code = (
        "import sys; from sldml.tracking import Tracker, check\n"
        f"check({uri!r}); tracker = Tracker({uri!r}, experiment='e', search=sys.argv[1])\n"
        "tracker.start_run('trial:t0', name='t0', params={}, tags={})\n"
        "for i in range(30): tracker.log_metrics('trial:t0', {'epoch': i}, step=i)\n"
        "sys.exit(tracker.close())"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE) for name in "ab"]
    assert [(process.wait(300), process.stderr.read() if process.stderr else b"") for process in started] == [
        (0, b""),
        (0, b""),
    ]
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert sorted(run.data.tags["key"] for run in runs) == ["search", "search", "trial:t0", "trial:t0"]
