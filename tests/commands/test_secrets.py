"""Secrets of a tracking URI are in nothing that a search writes or prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from support.made_events import made_events
from support.made_history import START
from support.tracked import TrackedSearch

from sldml.commands.closing import closing_lines
from sldml.commands.command import own_command, resume_command
from sldml.commands.request import search_request
from sldml.errors import hide_secrets
from sldml.journal import AttemptBegun, AttemptEnded, SearchBegun, find_search
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.report.report import write_report
from sldml.report.searches_report import write_comparison
from sldml.report.summary import Timing, search_summary
from sldml.search.cluster import Slots
from sldml.search.identity import attempt_begun, search_begun
from sldml.tracking import Tracker, default_artifact_root, default_uri, runs

PLANTED = ("plantedinuri", "plantedinyaml", "plantedinenv", "plantedinquery")
URI = f"postgresql+psycopg://me:{PLANTED[0]}#/?s@127.0.0.1:54399/runs?sslpassword={PLANTED[3]}"
TOKEN_URI = f"http://{PLANTED[0]}@127.0.0.1:54399"
SPACE = f"""# tune.py --tracking-uri http://me:{PLANTED[1]}@host:5000
space: {{optimizer: {{lr: {{float: [0.001, 0.1]}}}}}}
"""


@pytest.mark.parametrize("uri", [URI, TOKEN_URI])
@pytest.mark.parametrize("glued", [False, True])
def test_nothing_written_or_printed_has_a_secret(
    uri: str,
    glued: bool,
    storage: Path,
    made_set: PreparedSet,
    made_split: Split,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    clean_environment: None,
) -> None:
    caplog.set_level("DEBUG", "sldml")
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD"):
        monkeypatch.setenv(name, PLANTED[2])
    monkeypatch.chdir(storage)
    (storage / "my.yaml").write_text(SPACE)
    given = [f"--tracking-uri={uri}"] if glued else ["--tracking-uri", uri]
    monkeypatch.setattr("sys.argv", ["launch/tune.py", "--space", "my.yaml", *given])
    space = str(storage / "my.yaml")
    request = search_request(space, command=own_command(), tracking_uri=uri, storage=str(storage), name="demo-1")
    (storage / "my.yaml").unlink()
    assert request.tracking_uri == uri

    begun = search_begun(request, made_set, made_split, Slots(1, 1.0, 0.0))
    attempt = attempt_begun(request, Slots(1, 1.0, 0.0))
    assert "127.0.0.1:54399" in begun.command
    assert "127.0.0.1:54399" in str(attempt.options.tracking_uri)
    assert not [secret for secret in (PLANTED[0], PLANTED[3]) if secret in repr(request) + begun.command]
    # The server is faked: what is sent to it is in an SQLite store.
    monkeypatch.setattr(runs, "MlflowClient", lambda tracking_uri: MlflowClient(default_uri(storage)))
    search = TrackedSearch(storage, begun)
    for event in made_events():
        known = {SearchBegun: begun, AttemptBegun: attempt.model_copy(update={"time": START})}
        if not isinstance(event, AttemptEnded):
            search.journal.append(known.get(type(event), event))
    history = find_search("demo-1", storage).history
    write_report(history, search.folder / "report.html")
    write_comparison([find_search("demo-1", storage)] * 2, storage / "compared.html")
    tracker = Tracker(search.folder, uri, begun, artifact_root=default_artifact_root(storage))
    tracker._warn(f"{tracker.shown_uri} does not answer")
    search.journal.append(AttemptEnded(state="failed", artifacts=({"path": "report.html"},), time=START + 20))
    assert tracker.close(60) == 0
    places: dict[str, Any] = {
        "mlflow": {"tracking_uri": hide_secrets(uri), "experiment_id": "1", "run_id": tracker.run_id},
        "report": "report.html",
        "model": None,
    }
    summary = search_summary(history, "failed", Timing(0.0), places, None)
    (storage / "summary.json").write_text(json.dumps(summary))
    resume = resume_command("demo-1", storage, tracking_uri=uri, address=None)

    assert list(search.folder.glob("tracking-*.json"))
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "search.json", "space.yaml", "report.html", "mlflow.db"} <= {path.name for path in files}
    wholes = [(str(path), path.read_bytes().decode(errors="replace")) for path in files]
    wholes += [("log", caplog.text), ("lines", "\n".join([*closing_lines(summary, resume=resume), resume]))]
    assert not [(name, secret) for name, text in wholes for secret in PLANTED if secret in text or secret in name]


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune.py", "--space", "demo", "--dry-run", "--tracking-uri", "http://me:planted@127.0.0.1:9"),
        ("tune.py", "--space", "demo", "--dry-run", "--tracking-uri", "http://me:plan#planted@127.0.0.1:9"),
        ("tune.py", "--space", "demo", "--tracking-uri", "me:planted@127.0.0.1:5000"),
        ("tune.py", "--space", "demo", "postgresql://me:planted@127.0.0.1:9/runs"),
        ("tune.py", "--space", "demo", "--storage", "s3://key:planted@bucket"),
        ("train.py", "--from-run", "0" * 32, "--tracking-uri", "postgresql://me:planted[@127.0.0.1:9/runs"),
        ("track.py", "x", "--storage", "/nowhere", "--tracking-uri", "ftp://planted@host"),
    ],
)
def test_errors_have_no_secret(launched: Any, arguments: tuple[str, ...]) -> None:
    status, lines, err = launched(*arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert "planted" not in err + "\n".join(lines)
