"""The summary of a search: the promised keys, the efficiency by hand, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.made_history import candidate, epoch, made_history, ship_candidate

from sldml.commands.closing import closing_lines
from sldml.errors import InputError
from sldml.journal import BaselinesScored, Epoch, FoldRow, FoldTable, History, PairedDifference, TrialRecord
from sldml.report.files import require_writable, write_json
from sldml.report.summary import Timing, search_summary

PLACES = {
    "mlflow": {"tracking_uri": "sqlite:////results/mlflow.db", "experiment_id": "1", "run_id": "abc"},
    "report": "/results/demo/report.html",
    "model": "/results/demo/model",
}


def finished() -> History:
    history = made_history()
    assert history.test is not None
    assert history.test.shipped is not None
    shipped = history.test.shipped.model_copy(update={"accuracy": 0.71})
    history.test = history.test.model_copy(update={"shipped": shipped})
    return history


def summary_of(history: History, state: str = "completed", **more: Any) -> dict[str, Any]:
    return search_summary(history, state, Timing(0.0, 2, {"search": 100.0}), PLACES | more.pop("places", {}), **more)


def test_the_promised_keys_are_there_with_the_promised_nesting():
    history = finished()
    summary = json.loads(json.dumps(summary_of(history), allow_nan=False))
    assert {
        "name",
        "space",
        "state",
        "trials",
        "best",
        "baselines",
        "final",
        "timing",
        "mlflow",
        "report",
        "model",
    } <= (summary.keys())
    assert (summary["name"], summary["space"], summary["state"]) == ("demo-20261122-133000", "demo", "completed")

    trials = summary["trials"]
    assert {"requested", "completed", "pruned", "diverged", "failed"} <= trials.keys()
    assert trials["requested"] == 30
    assert {name: trials[name] for name in ("completed", "pruned", "diverged", "failed")} == {
        name: sum(trial.state == name for trial in history.trials.values())
        for name in ("completed", "pruned", "diverged", "failed")
    }
    assert trials["completed"] > 0
    assert trials["unfinished"] == 0

    top = history.ranked()[0]
    assert summary["best"] == {
        "trial_id": top.trial_id,
        "val_accuracy": top.value,
        "val_accuracy_std": 0.03,
        "val_accuracy_fold_std": None,
        "config": top.config,
    }

    assert set(summary["baselines"]) == {"raw_1nn", "dtw_1nn", "untrained", "untrained_dtw"}
    assert (summary["baselines"]["dtw_1nn"]["val"], summary["baselines"]["dtw_1nn"]["test"]) == (0.63, 0.58)

    assert [final["trial_id"] for final in summary["final"]] == [trial.trial_id for trial in history.ranked()[:3]]
    for final in summary["final"]:
        assert {"trial_id", "config", "test_accuracy"} <= final.keys()
        accuracy = final["test_accuracy"]
        assert set(accuracy) == {"mean", "ci95", "values"}
        assert len(accuracy["values"]) == 3
        low, high = accuracy["ci95"]
        assert low < accuracy["mean"] < high

    assert {"wall_s", "trial_s", "bare_s", "slots", "efficiency"} <= summary["timing"].keys()
    assert summary["mlflow"] == PLACES["mlflow"]
    assert {"tracking_uri", "experiment_id", "run_id"} == summary["mlflow"].keys()
    assert (summary["report"], summary["model"]) == (PLACES["report"], PLACES["model"])


def test_what_there_is_not_yet_is_null():
    summary = summary_of(History(), "failed", error="no data", places={"report": None, "model": None})
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["name"], summary["space"], summary["best"], summary["final"]) == (None, None, None, [])
    assert summary["trials"] == {
        "requested": None,
        "completed": 0,
        "pruned": 0,
        "diverged": 0,
        "failed": 0,
        "unfinished": 0,
    }
    assert summary["baselines"]["raw_1nn"]["val"] is None
    assert summary["timing"]["efficiency"] is None
    assert (summary["state"], summary["error"]) == ("failed", "no data")


def test_before_the_test_baselines_have_no_test_and_there_are_no_finals():
    summary = summary_of(made_history(final=False), "interrupted")
    assert summary["final"] == []
    assert summary["baselines"]["raw_1nn"]["test"] is None
    assert summary["trials"]["unfinished"] == 1


def test_the_last_attempt_says_how_many_trials_were_asked_for():
    history = made_history(final=False)
    last = history.attempts[-1]
    settings = last.settings.model_copy(update={"trials": 50})
    history.attempts.append(last.model_copy(update={"settings": settings}))
    assert summary_of(history)["trials"]["requested"] == 50


def trial(trial_id: str, started: float, *epochs: Epoch) -> TrialRecord:
    return TrialRecord(trial_id, {}, started, "completed", list(epochs))


def timed(number: int, time: float, data: float, step: float, evaluation: float) -> Epoch:
    parts = {"time/data_s": data, "time/step_s": step, "time/evaluation_s": evaluation}
    return epoch(number, 0.5, time=time, **parts)


def test_efficiency_by_hand():
    history = History(
        trials={
            "t0": trial("t0", 100.0, timed(1, 104.0, 0.5, 2.0, 0.5), timed(2, 108.0, 0.5, 2.5, 0.0)),
            "t1": trial("t1", 101.0, timed(1, 107.0, 1.0, 3.0, 1.0)),
            "t2": trial("t2", 102.0),
        }
    )
    told = Timing(99.0, slots=2, stages={"search": 10.0, "final": 5.0}).to_json(history)
    assert told["bare_s"] == 3.0 + 3.0 + 5.0
    assert told["trial_s"] == (108.0 - 100.0) + (107.0 - 101.0)
    assert told["efficiency"] == 11.0 / (2 * 10.0)
    assert (told["slots"], told["search_s"], told["stages_s"]) == (2, 10.0, {"search": 10.0, "final": 5.0})


def test_only_this_calls_epochs_count():
    history = History(trials={"t0": trial("t0", 100.0, timed(1, 104.0, 9.0, 9.0, 9.0), timed(2, 508.0, 1.0, 4.0, 1.0))})
    told = Timing(500.0, slots=1, stages={"search": 12.0}).to_json(history)
    assert (told["bare_s"], told["trial_s"], told["efficiency"]) == (6.0, 8.0, 0.5)


@pytest.mark.parametrize("stages", [{}, {"search": 0.0}, {"final": 3.0}])
def test_without_a_search_there_is_no_efficiency(stages: dict[str, float]):
    assert Timing(0.0, 2, stages).to_json(made_history())["efficiency"] is None


def test_a_summary_is_written_whole(tmp_path: Path):
    path = tmp_path / "new" / "summary.json"
    summary = summary_of(finished())
    write_json(summary, path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(summary))
    assert [file.name for file in path.parent.iterdir()] == ["summary.json"]


def test_a_summary_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "summary.json"
    write_json({"a": 1}, path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": float("nan")}, path)
    assert json.loads(path.read_text()) == {"a": 1}

    def cut_short(self: Path, text: str, **_: Any) -> int:
        self.write_bytes(text[:3].encode())
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", cut_short)
    with pytest.raises(OSError, match="no space left"):
        write_json({"a": 2}, path)
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_writable_place_is_left_as_it_was(tmp_path: Path):
    require_writable(tmp_path / "new" / "summary.json")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unwritable_place_is_bad_input(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--summary .*/file/summary\.json: cannot be written"):
        require_writable(tmp_path / "file" / "summary.json")
    with pytest.raises(InputError, match=r"--summary .*: is a folder"):
        require_writable(tmp_path)


def test_the_last_lines_of_a_finished_search():
    summary = summary_of(finished())
    lines = closing_lines(summary, resume="tune --resume demo")
    first = summary["final"][0]
    mean, (low, high) = first["test_accuracy"]["mean"], first["test_accuracy"]["ci95"]
    assert lines[0] == (
        f"final {first['trial_id']}: sealed test {mean:.3f} [{low:.3f}, {high:.3f}] over 3 seeds, "
        f"validation {first['val_accuracy']:.3f}"
    )
    assert "baseline dtw_1nn: sealed test 0.580, validation 0.630" in lines
    assert any(line.startswith(f"saved model: {first['trial_id']}, ") and line.endswith("0.710") for line in lines)
    assert not [line for line in lines if "no training" in line or line.startswith("class folds")]
    latency = lines.index("latency, one recording at a time on cpu with 1 thread, median of 55 (95th percentile):")
    assert lines[latency + 1] == "  recognising 4.2 ms (6.5), 20 enrolled; enrolling 3.5 ms"
    assert lines[-3:] == [
        "compare: mlflow ui --backend-store-uri sqlite:////results/mlflow.db",
        "model:   /results/demo/model",
        "report:  /results/demo/report.html",
    ]
    assert not [line for line in lines if "resume" in line]


def fold_results(trial_id: str) -> FoldTable:
    """A training-free way, and a configuration above it on two folds; another failed."""
    difference = PairedDifference(mean=0.15, ci95=(-0.485, 0.785), better=0.75)
    return FoldTable(
        num_folds=2,
        num_scored=2,
        ending="all repeats are done",
        rows=(
            FoldRow(name="dtw_1nn", kind="training_free", accuracies=(0.7, 0.7), candidate=candidate("dtw_1nn")),
            FoldRow(name=trial_id, kind="trained", accuracies=(0.9, 0.8), difference=difference),
            FoldRow(name="t8", kind="trained", accuracies=(0.2, 0.2), is_default=True, dropped=True),
            FoldRow(name="t9", kind="trained", error="fold 1, repeat 1: boom"),
        ),
    )


def test_class_folds_are_told_and_that_no_trained_model_earned_it():
    history = finished()
    assert history.test is not None
    assert summary_of(history)["folds"] is None
    history.test = history.test.model_copy(update={"folds": fold_results("t1")})
    ship_candidate(history, candidate("dtw_1nn"), 0.58)
    summary = json.loads(json.dumps(summary_of(history), allow_nan=False))
    own = candidate("dtw_1nn").model_dump()
    free, trained, default, failed = summary["folds"]["rows"]
    none = dict.fromkeys(["mean", "std", "difference", "error", "candidate"])
    none |= {"accuracies": [], "dropped": False, "is_default": False}
    assert (summary["folds"]["num_folds"], summary["folds"]["num_scored"]) == (2, 2)
    assert free == {
        **none,
        **{"name": "dtw_1nn", "kind": "training_free", "mean": 0.7, "std": 0.0},
        **{"accuracies": [0.7, 0.7], "candidate": own},
    }
    assert trained == {
        **none,
        **{"name": "t1", "kind": "trained", "mean": pytest.approx(0.85), "std": pytest.approx(0.07071, abs=1e-5)},
        **{"accuracies": [0.9, 0.8], "difference": {"mean": 0.15, "ci95": [-0.485, 0.785], "better": 0.75}},
    }
    assert (default["name"], default["is_default"], default["dropped"]) == ("t8", True, True)
    assert failed == {**none, "name": "t9", "kind": "trained", "error": "fold 1, repeat 1: boom"}
    assert (summary["shipped"]["kind"], summary["shipped"]["candidate"]) == ("training_free", own)
    lines = closing_lines(summary, resume="tune --resume demo")
    start = lines.index("class folds dtw_1nn: 0.700 ± 0.000 over 2 folds")
    assert lines[start + 1 : start + 6] == [
        "class folds t1: 0.850 ± 0.071 over 2 folds, +0.150 [-0.485, +0.785] against the best baseline",
        "class folds t8 (default): 0.200 ± 0.000 over 2 folds; dropped",
        "class folds t9: fold 1, repeat 1: boom",
        "class folds: ended after 2 folds, because all repeats are done",
        "saved model: dtw_1nn (no training), no trained model was better; sealed test 0.580",
    ]


def test_the_spread_over_a_trials_own_folds_is_that_of_its_last_epoch():
    history = made_history(final=False)
    best = history.ranked()[0]
    for place, report in enumerate(best.epochs):
        second = 0.9 if report is best.last else 0.7
        folds = {"val/num_folds": 2, "val/accuracy_fold_1": 0.7, "val/accuracy_fold_2": second}
        best.epochs[place] = report.model_copy(update={"metrics": {**report.metrics, **folds}})
    assert summary_of(history)["best"]["val_accuracy_fold_std"] == pytest.approx(0.02**0.5)


def test_what_validation_cannot_tell_from_the_best_is_listed_and_told():
    history = finished()
    summary = json.loads(json.dumps(summary_of(history), allow_nan=False))
    best, second, *_ = history.ranked()
    last = history.ranked()[-1]
    assert set(summary["within_noise"]) >= {second.trial_id}
    assert not {best.trial_id, last.trial_id} & set(summary["within_noise"])
    (line,) = [line for line in closing_lines(summary, resume="") if line.startswith("noise: ")]
    assert line == f"noise: {summary['noise']}"
    assert f"({best.value:.3f} ± 0.030 over exemplar draws)" in line
    for record in history.trials.values():
        record.epochs = [e.model_copy(update={"right_per_class": (), "queries_per_class": ()}) for e in record.epochs]
    unknown = summary_of(history)
    assert unknown["within_noise"] is None
    assert "is unknown" in unknown["noise"]


def test_the_last_lines_of_an_interrupted_search_say_how_to_go_on():
    summary = summary_of(made_history(final=False), "interrupted", places={"model": None})
    lines = closing_lines(summary, resume="tune --resume demo")
    assert "to resume: tune --resume demo" in lines
    assert not [line for line in lines if line.startswith(("final", "baseline", "saved model", "model"))]
    whole = summary_of(made_history(num_trials=3, final=False), "interrupted")
    assert whole["trials"]["unfinished"] == 0
    assert "to resume: tune --resume demo" in closing_lines(whole, resume="tune --resume demo")


def test_the_last_lines_of_a_failed_search_say_why():
    mlflow = {"tracking_uri": "https://mlflow.example", "experiment_id": "1", "run_id": "a"}
    summary = summary_of(made_history(final=False), "failed", error="all trials failed", places={"mlflow": mlflow})
    lines = closing_lines(summary, resume="tune --resume demo")
    assert "failed: all trials failed" in lines
    assert "compare: https://mlflow.example" in lines
    assert "to resume: tune --resume demo" in lines


def test_what_the_time_budget_left_out_is_told_with_how_to_go_on():
    history = finished()
    history.left_out = ["2 of 30 trials (1 of them begun)", "1 of 9 final models (t1 seed 3)"]
    summary = json.loads(json.dumps(summary_of(history), allow_nan=False))
    assert summary["left_out"] == history.left_out
    lines = closing_lines(summary, resume="tune --resume demo")
    place = lines.index(f"left out for the time budget: {'; '.join(history.left_out)}")
    assert lines[place + 1] == "to resume: tune --resume demo"


def test_baselines_beside_the_trials_are_work_of_the_processes():
    history = finished()
    started = min(event.started for event in history.trials.values()) - 1.0
    alone = Timing(started, 2, {"search": 100.0}).to_json(history)
    for seconds, when in ((10.0, started + 12.0), (7.0, started - 1.0)):
        history.scorings.append(BaselinesScored(scores=(), worker="h:1", seconds=seconds, time=when))
    timing = Timing(started, 2, {"search": 100.0}).to_json(history)
    assert (alone["baselines_s"], timing["baselines_s"]) == (0.0, 10.0), "those of this call"
    assert timing["efficiency"] == pytest.approx(alone["efficiency"] + 10.0 / 200.0)
