"""`--compare` as a person runs it: killed in the middle, taken up again, and ended in a table."""

import json
from collections import Counter

import pytest
from mlflow import MlflowClient
from support.running import TINY, events, kill, start, tune, wait_for

from sldml.journal import read_history
from sldml.report.comparison import HEADER

COMPARED = [
    *TINY,
    "--trials",
    "2",
    "--final-seeds",
    "2",
    "--concurrent",
    "2",
    "--compare",
    "loss",
    "--choices",
    "triplet_margin,proxy_anchor,sup_con",
]


@pytest.mark.verify
@pytest.mark.timeout(1200)
def test_a_killed_comparison_goes_on_to_its_table(storage):
    folder, log = storage / "c", storage / "log"
    journal = folder / "journal.jsonl"
    process = start(*COMPARED, "--name", "c", "--storage", storage, log=log)
    wait_for(lambda: sum(e["event"] == "trial_ended" for e in events(journal)) >= 2, process, log)
    kill(process)
    before = read_history(journal)

    ended = tune("--resume", "c", "--storage", storage, "--summary", storage / "summary.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((storage / "summary.json").read_text())
    assert (summary["trials"]["requested"], summary["trials"]["completed"]) == (6, 6)
    after = read_history(journal)
    counted = Counter(record.config["loss"]["name"] for record in after.trials.values())
    assert counted == {"triplet_margin": 2, "proxy_anchor": 2, "sup_con": 2}
    begun = Counter(e["trial_id"] for e in events(journal) if e["event"] == "trial_started")
    assert begun == {f"t{i:04d}": 1 for i in range(1, 7)}
    for trial_id, record in before.trials.items():
        if record.state != "running":
            assert after.trials[trial_id] == record, "a finished trial was touched"
    for record in after.trials.values():
        assert [e.epoch for e in record.epochs] == list(range(1, 7)), "every trial runs all epochs of its three folds"
        assert {f"val/accuracy_fold_{i}" for i in (1, 2, 3)} <= record.epochs[-1].metrics.keys()

    comparison = summary["comparison"]
    rows = {row["name"]: row for row in comparison["rows"]}
    assert list(rows)[:3] == comparison["choices"] == ["triplet_margin", "proxy_anchor", "sup_con"]
    for choice, row in list(rows.items())[:3]:
        own = [r for r in after.ranked() if r.config["loss"]["name"] == choice]
        assert row["trial_id"] == own[0].trial_id
        assert row["val"]["mean"] == pytest.approx(own[0].value)
        assert row["test"]["seeds"] == [1, 2]
        finals = {final["trial_id"]: final for final in summary["final"]}
        assert row["test"]["values"] == finals[row["trial_id"]]["test_accuracy"]["values"]
        assert row["verdict"] in (
            ("reference",) if choice == "triplet_margin" else ("better", "worse", "not distinguishable")
        )
    assert rows["dtw_1nn"]["test"]["mean"] == summary["baselines"]["dtw_1nn"]["test"]
    assert sum(e["event"] == "test" for e in events(journal)) == 1
    assert not any(e["event"] == "fold" for e in events(journal))

    assert summary["model"] is None
    assert not (folder / "model").exists()
    assert "a comparison saves no model" in ended.stdout
    assert "--resume" not in ended.stdout
    assert f"| {' | '.join(HEADER)} |" in (folder / "comparison.md").read_text()
    assert '<section id="comparison">' in (folder / "report.html").read_text()

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100)
    choices = Counter((run.data.tags["stage"], run.data.tags["choice"]) for run in runs if "choice" in run.data.tags)
    assert choices == {(stage, name): 2 for stage in ("search", "final") for name in comparison["choices"]}
    assert "comparison.md" in [artifact.path for artifact in client.list_artifacts(summary["mlflow"]["run_id"])]
