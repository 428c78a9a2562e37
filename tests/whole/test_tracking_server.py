"""A search that tracks to `mlflow server` on PostgreSQL, with the server killed in the middle; then MLflow's pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow.tracking import MlflowClient
from pictures.mlflow_compare import chromium, compare_trials
from support.running import TINY, count, kill, launch, start, wait_for
from support.servers import MlflowServer, postgresql

from sldml.journal import read_history

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1200)]
NUM_TRIALS, NUM_EPOCHS = 6, 8


@pytest.fixture
def store() -> Iterator[str]:
    with postgresql() as uri:
        yield uri


def test_a_search_whose_server_is_killed_ends_with_every_metric_in_postgresql(store: str, tmp_path: Path) -> None:
    """Counted in the database itself, against the journal; and no trial waited for the server."""
    server = MlflowServer(store, tmp_path / "proxied")
    server.start()
    results, summary_file, log = tmp_path / "results", tmp_path / "summary.json", tmp_path / "log"
    journal = results / "away" / "journal.jsonl"
    arguments = [
        *(*TINY, "--trials", NUM_TRIALS, "--max-epochs", NUM_EPOCHS, "--final-seeds", 2),
        *("--set", "search.scheduler=none", "--name", "away", "--storage", results, "--tracking-uri", server.uri),
        *("--summary", summary_file, "--register", "demo-recogniser"),
    ]
    search = start(*arguments, log=log)
    try:
        wait_for(lambda: count(journal, "trial_ended") >= 2, search, log)
        server.kill()
        ended_before = count(journal, "trial_ended")
        assert ended_before < NUM_TRIALS - 2, "the search was over before its server was killed"
        wait_for(
            lambda: "does not answer" in log.read_text() and count(journal, "trial_ended") >= ended_before + 2,
            search,
            log,
        )
        server.start()
        assert search.wait(timeout=600) == 0, log.read_text()
        output = log.read_text()
        assert output.count("does not answer") == 1
        assert output.count("answers again") == 1
        assert "s3cret-w0rd" not in output

        history = read_history(journal)
        assert len(history.trials) == NUM_TRIALS
        expected = {
            (f"trial:{trial.trial_id}", name, epoch.epoch): value
            for trial in history.trials.values()
            for epoch in trial.epochs
            for name, value in epoch.metrics.items()
        }
        assert len(expected) > NUM_TRIALS * NUM_EPOCHS * 8
        for (key, repeat, fold), scored in history.folds.items():
            if scored.trial_id is not None:
                step = (repeat - 1) * scored.num_folds + fold
                expected[f"trial:{key}", "folds/accuracy_each", step] = scored.accuracy
        assert history.test is not None
        assert history.test.folds is not None
        for row in history.test.folds.rows:
            if row.kind == "trained":
                expected[f"trial:{row.name}", "folds/accuracy", 0] = row.mean
                expected[f"trial:{row.name}", "folds/accuracy_std", 0] = row.std
        found = metrics_of_trials(store)
        assert set(found) == set(expected)
        assert found == pytest.approx(expected)

        summary = json.loads(summary_file.read_text())
        assert summary["tracking"]["written"] == len(journal.read_bytes().splitlines())
        assert (summary["tracking"]["waiting"], summary["tracking"]["refused"]) == (0, 0)
        assert_complete(server, summary)
        before = dump(store)
        sent = launch("track.py", "away", "--storage", results, "--tracking-uri", server.uri)
        assert sent.returncode == 0, sent.stderr
        assert "0 events sent" in sent.stdout
        assert dump(store) == before
        assert not (results / "mlflow-artifacts").exists(), "artifacts went past the server"
        if chromium() is not None:
            assert compare_trials(server.uri, "demo", tmp_path) == []
            assert (tmp_path / "mlflow_compare.png").stat().st_size > 20_000
            assert (tmp_path / "mlflow_scatter.png").stat().st_size > 20_000
    finally:
        if search.poll() is None:
            kill(search)
        server.kill()


def assert_complete(server: MlflowServer, summary: dict[str, Any]) -> None:
    """The runs have their artifacts and have ended, and the model is registered."""
    client = MlflowClient(server.uri)
    (version,) = client.search_model_versions("name = 'demo-recogniser'")
    assert version.status == "READY"
    parent = client.get_run(summary["mlflow"]["run_id"])
    assert parent.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"confusion.png", "confusion_table.json", "per_class.json", "report.html", "space.yaml"} <= files
    runs = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    stages = [run.data.tags["stage"] for run in runs]
    assert (stages.count("search"), stages.count("final")) == (NUM_TRIALS, 2)
    for run in runs:
        assert run.info.status == "FINISHED"
        if run.data.tags["stage"] == "search":
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "val/accuracy")]
            assert steps == list(range(1, NUM_EPOCHS + 1))
        if run.data.tags["stage"] == "final":
            tables = {file.path for file in client.list_artifacts(run.info.run_id)}
            assert {"confusion.json", "confusion.png", "confusion_table.json", "per_class.json"} <= tables


def dump(store: str) -> dict[str, list[str]]:
    """All rows of the tables that a search writes."""
    engine = sqlalchemy.create_engine(store)
    with engine.connect() as connection:
        rows = {
            table: sorted(map(repr, connection.execute(sqlalchemy.text(f"SELECT * FROM {table}"))))
            for table in ("runs", "metrics", "params", "tags", "inputs", "logged_models", "model_versions")
        }
    engine.dispose()
    return rows


def metrics_of_trials(store: str) -> dict[tuple[str, str, int], float]:
    """The metrics of all trials by run, name and step."""
    engine = sqlalchemy.create_engine(store)
    query = (
        "SELECT tags.value, metrics.key, metrics.step, metrics.value FROM metrics "
        "JOIN tags ON tags.run_uuid = metrics.run_uuid AND tags.key = 'key' WHERE tags.value LIKE 'trial:%'"
    )
    with engine.connect() as connection:
        rows = list(connection.execute(sqlalchemy.text(query)))
    engine.dispose()
    found = {(key, name, int(step)): float(value) for key, name, step, value in rows}
    assert len(found) == len(rows)
    return found
