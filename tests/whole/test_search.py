"""The command as a person runs it: a whole search, small, from raw files to report, model and MLflow runs."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from support.running import TINY, tune

from sldml.config.space_file import read_space
from sldml.journal import OBJECTIVE, read_history
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import open_prepared
from sldml.protocols.classes import NTU_NOVEL
from sldml.protocols.make_split import make_split
from sldml.recognition.baselines import BASELINES
from sldml.recognition.recognizer import Recognizer
from sldml.report.shipped import shipped_row
from sldml.search.final import predict

ARGUMENTS = [*TINY, "--concurrent", "2", "--top-k", "2", "--final-seeds", "2", "--name", "small"]
SETTINGS = [TINY[i + 1] for i, argument in enumerate(TINY) if argument == "--set"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(results folder, what was printed, the summary) of a search that ran to its end, from another folder."""
    folder = tmp_path_factory.mktemp("results")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ended = tune(*ARGUMENTS, "--storage", folder, "--summary", "out/summary.json", cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return folder, ended.stdout, json.loads((elsewhere / "out" / "summary.json").read_text())


def test_the_summary_tells_what_happened(finished):
    folder, _, summary = finished
    assert summary["name"] == "small"
    assert summary["space"] == "demo"
    assert summary["state"] == "completed"
    trials = summary["trials"]
    assert trials["requested"] == 4 == trials["completed"] + trials["pruned"] + trials["diverged"] + trials["failed"]
    assert set(summary["baselines"]) == {"raw_1nn", "dtw_1nn", "untrained", "untrained_dtw"}
    for baseline in summary["baselines"].values():
        assert 0 < baseline["val"] < 1
        assert 0 < baseline["test"] < 1
    assert [len(final["test_accuracy"]["values"]) for final in summary["final"]] == [2, 2]
    for final in summary["final"]:
        low, high = final["test_accuracy"]["ci95"]
        assert low <= final["test_accuracy"]["mean"] <= high
    timing = summary["timing"]
    busy = timing["bare_s"] + timing["baselines_s"]
    assert timing["efficiency"] == pytest.approx(busy / (timing["slots"] * timing["search_s"]))
    assert Path(summary["report"]) == folder / "small" / "report.html"
    assert Path(summary["report"]).stat().st_size > 1_000_000
    assert summary["environment"]["packages"]["ray"]


def test_baselines_are_scored_once_by_the_processes_beside_the_trials(finished):
    folder, printed, summary = finished
    events = [json.loads(line) for line in (folder / "small" / "journal.jsonl").read_text().splitlines()]
    scored = [place for place, event in enumerate(events) if event["event"] == "baselines" and event["worker"]]
    assert events[0]["event"] == "search"
    assert next(place for place, event in enumerate(events) if event["event"] == "trial_started") < scored[-1]
    names = [score["candidate"]["baseline"] for place in scored for score in events[place]["scores"]]
    assert Counter(names) == dict.fromkeys(BASELINES, 1)
    for name, baseline in summary["baselines"].items():
        assert f"baseline {name}: validation {baseline['val']:.3f} (" in printed
    assert summary["timing"]["baselines_s"] == pytest.approx(sum(events[place]["seconds"] for place in scored))
    steps = [line for line in printed.splitlines() if line.startswith("step ")]
    assert steps == [
        "step 1 of 6: data",
        "step 2 of 6: trials and baselines",
        "step 3 of 6: class folds",
        "step 4 of 6: final models",
        "step 5 of 6: sealed test",
        "step 6 of 6: report",
    ]


def test_finals_stand_in_the_order_of_the_folds_and_train_the_whole_schedule(finished):
    folder, _, summary = finished
    history = read_history(folder / "small" / "journal.jsonl")
    trained = [row["name"] for row in summary["folds"]["rows"] if row["kind"] == "trained"]
    assert [final["trial_id"] for final in summary["final"]] == trained[:2]
    for final in summary["final"]:
        assert final["num_epochs"] == 2
        for seed in (1, 2):
            epochs = history.finals[final["trial_id"], seed].epochs
            assert [e.epoch for e in epochs] == [1, 2]
            assert not any(name.startswith("val/") for e in epochs for name in e.metrics), (
                "something was there to choose by"
            )


def test_the_first_trial_is_the_default_configuration(finished):
    folder, _, summary = finished
    history = read_history(folder / "small" / "journal.jsonl")
    space = read_space("demo", [*SETTINGS, "train.max_epochs=2"])
    assert history.search.default == space.default_params() == history.search.first[0]
    default = history.default_trial
    assert default.trial_id == min(history.trials)
    assert default.config == space.default_config().to_dict()
    (row,) = [row for row in summary["folds"]["rows"] if row["is_default"]]
    assert row["name"] == default.trial_id


def test_every_configuration_is_what_was_sampled(finished):
    folder, _, _ = finished
    history = read_history(folder / "small" / "journal.jsonl")
    space = read_space("demo", [*SETTINGS, "train.max_epochs=2"])
    for record in history.trials.values():
        assert space.configure(record.params).to_dict() == record.config
        space.distributions(record.params)


def test_nothing_of_novel_classes_is_told_before_the_sealed_test(finished):
    folder, _, _ = finished
    lines = (folder / "small" / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    (sealed,) = [
        i for i, e in enumerate(events) if e["event"] == "stage" and (e["name"], e["state"]) == ("test", "started")
    ]
    for line, event in zip(lines[:sealed], events, strict=False):
        assert not any(label in line for label in NTU_NOVEL), event["event"]
        if event["event"] == "baselines":
            assert all(score["test"] is None for score in event["scores"])
    assert any(label in line for line in lines[sealed:] for label in NTU_NOVEL)


def test_the_shipped_model_loads_and_scores_as_recorded(finished):
    folder, printed, summary = finished
    model = Recognizer.load(Path(summary["model"]))
    (prepared_folder,) = (folder / "prepared").glob("synthetic-????????????????")
    prepared = open_prepared(prepared_folder)
    space = read_space("demo", SETTINGS)
    sealed = make_split(space.default_config().protocol, prepared.catalog).sealed
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    accuracy = (predict(model.matching, sealed, frames) == sealed.queries.labels).mean()
    assert accuracy == pytest.approx(summary["shipped"]["accuracy"])
    assert "class folds of the 10 auxiliary classes" in summary["shipped"]["reason"]
    assert "saved model: " in printed


def test_class_folds_decide_what_ships(finished):
    folder, printed, summary = finished
    history = read_history(folder / "small" / "journal.jsonl")
    table = summary["folds"]
    rows = {row["name"]: row for row in table["rows"]}
    trained = [name for name, row in rows.items() if row["kind"] == "trained"]
    best = [record.trial_id for record in history.ranked()[:1]]
    assert set(trained) == {*best, history.default_trial.trial_id}
    assert set(rows) == {*BASELINES, *trained}
    assert table["num_folds"] == 5
    assert table["num_scored"] >= 5
    assert f"class folds: ended after {table['num_scored']} folds, because {table['ending']}" in printed
    free = table["rows"][0]
    assert free["kind"] == "training_free"
    for name in trained:
        row = rows[name]
        assert row["accuracies"] == history.fold_accuracies(name)[: len(row["accuracies"])]
        assert len(row["accuracies"]) == table["num_scored"] or row["dropped"]
        pairs = list(zip(row["accuracies"], free["accuracies"], strict=False))
        assert row["difference"]["mean"] == pytest.approx(sum(a - b for a, b in pairs) / len(pairs))
        assert f"class folds {name}" in printed
    seeds = {event.seed for event in history.folds.values() if event.trial_id is not None}
    assert len(seeds) == len({event[1:] for event in history.folds})
    shipped = summary["shipped"]
    if rows[trained[0]]["difference"]["ci95"][0] > 0:
        assert (shipped["kind"], shipped["trial_id"]) == ("trained", trained[0])
        assert shipped["better_than_baseline"] > 0.97
    else:
        assert (shipped["kind"], shipped["candidate"]) == ("training_free", free["candidate"])
        assert f"saved model: {free['name']} (no training)" in printed
        assert 0 <= shipped["better_than_default"] <= 1
        assert summary["chances_sentence"] in printed
    report = (folder / "small" / "report.html").read_text()
    assert "Over all class folds" in report
    ships = shipped_row(history)
    assert f"Saved model: {ships.name}, {100 * ships.accuracy:.1f}" in report
    assert ships.accuracy == shipped["accuracy"]
    assert not list(Path(summary["model"]).glob("*.p*kl")), "a pickle was shipped"


def test_mlflow_has_the_search_its_trials_baselines_and_finals(finished):
    from mlflow import MlflowClient

    folder, _, summary = finished
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    assert summary["mlflow"]["tracking_uri"] == f"sqlite:///{folder / 'mlflow.db'}"
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=100)
    parent = next(run for run in runs if run.info.run_id == summary["mlflow"]["run_id"])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1
    tried = [c for b in summary["baselines"].values() for c in b["candidates"]]
    assert len(tried) == 4  # one of each baseline: the normalisation is fixed
    assert Counter(run.data.tags["stage"] for run in children) == {"search": 4, "baseline": len(tried), "final": 4}
    standing = {r.data.tags["baseline"]: r for r in children if r.data.tags.get("stands") == "true"}
    for name, baseline in summary["baselines"].items():
        assert standing[name].data.metrics["test/accuracy"] == pytest.approx(baseline["test"])
    assert all(run.info.status == "FINISHED" for run in runs)

    history = read_history(folder / "small" / "journal.jsonl")
    trials = {run.data.tags["trial_id"]: run for run in children if run.data.tags["stage"] == "search"}
    assert set(trials) == set(history.trials)
    for trial_id, run in trials.items():
        record = history.trials[trial_id]
        assert run.data.tags["state"] == record.state
        assert run.data.tags["loss"] == record.config["loss"]["name"]
        for name, value in record.params.items():
            assert run.data.params[name] == str(value)
        metrics = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert [(m.step, m.value) for m in metrics] == [(e.epoch, e.metrics["val/accuracy"]) for e in record.epochs]
        assert run.data.metrics[OBJECTIVE] == record.value
        if scored := history.fold_accuracies(trial_id):
            assert run.data.metrics["folds/accuracy"] == pytest.approx(sum(scored) / len(scored))
            assert run.info.status == "FINISHED"
        assert "config.json" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
    for run in children:
        if run.data.tags["stage"] == "final":
            assert 0 < run.data.metrics["test/accuracy"] < 1
            assert "confusion.json" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
    assert parent.data.tags["ships"] == (summary["shipped"]["trial_id"] or summary["shipped"]["candidate"]["baseline"])
    assert parent.data.metrics["test/accuracy"] == summary["shipped"]["accuracy"]
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} >= {"report.html", "space.yaml", "model"}


def test_what_is_printed_ends_with_what_to_do_next(finished):
    folder, printed, _ = finished
    lines = printed.splitlines()
    assert lines[-1].endswith(str(folder / "small" / "report.html"))
    assert any(line.startswith("compare: mlflow ui --backend-store-uri sqlite:") for line in lines[-4:])
    assert not any("\x1b" in line for line in lines), "control characters without a terminal"


def test_a_search_is_not_overwritten(finished, launched):
    folder, _, _ = finished
    status, _, err = launched("tune.py", *ARGUMENTS, "--storage", folder)
    assert status == 2
    assert "--resume" in err
