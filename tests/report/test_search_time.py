"""Who trained what and when: lanes, idle time and stages of small histories, against values computed by hand."""

from __future__ import annotations

import pytest
from support.made_history import candidate, epoch, search_begun

from sldml.journal import (
    AttemptBegun,
    BaselineScore,
    BaselinesScored,
    Epoch,
    FinalRecord,
    History,
    StageChanged,
    TrialRecord,
    TrialState,
)
from sldml.report.figures import time_spent, timeline
from sldml.report.search_time import (
    search_clock,
    share_while_training,
    stage_times,
    stages_of,
    training_spans,
    worker_time,
)


def epochs(times: list[float], worker: str | None, spent: float = 1.0) -> list[Epoch]:
    """Reports at these times; each epoch took half of `spent` in steps, the rest in data and evaluation."""
    parts = {"time/step_s": spent / 2, "time/data_s": spent / 4, "time/evaluation_s": spent / 4}
    reports = [epoch(i, 0.5, time=time, **parts) for i, time in enumerate(times, start=1)]
    return [report.model_copy(update={"worker": worker}) for report in reports]


def trial(
    name: str,
    started: float,
    times: list[float],
    worker: str | None,
    ended: float | None,
    state: TrialState = "completed",
) -> TrialRecord:
    return TrialRecord(name, {}, started, state, epochs(times, worker), ended=ended)


def stage(name: str, started: float, ended: float | None) -> list[StageChanged]:
    begun = StageChanged(name=name, state="started", time=started)
    return [begun] if ended is None else [begun, StageChanged(name=name, state="ended", time=ended)]


def attempt(time: float) -> AttemptBegun:
    begun = search_begun()
    return AttemptBegun(time=time, settings=begun.settings, slots=begun.slots, environment=begun.environment)


def with_metrics(report: Epoch, **metrics: float) -> Epoch:
    return report.model_copy(update={"metrics": {**report.metrics, **metrics}})


@pytest.fixture
def two_workers() -> History:
    """Of the 100 s of search 20 s are start-up; then one worker trains at 30-70 and 80-110, the other at 30-60."""
    history = History(search_begun(slots=2), attempts=[attempt(0.0)])
    history.stages = [*stage("folds", 0, 10), *stage("search", 10, 110), *stage("test", 110, 115)]
    for record in (
        trial("t1", 30, [40, 70], "h:1", 70),
        trial("t2", 30, [40, 60], "h:2", 60, "pruned"),
        trial("t3", 80, [90, 110], "h:1", 110),
    ):
        history.trials[record.trial_id] = record
    return history


def test_idle_time_is_what_no_training_fills(two_workers: History) -> None:
    found = worker_time(two_workers)
    assert [lane.name for lane in found.lanes] == ["h · 1", "h · 2"]
    assert [[span.name for span in lane.spans] for lane in found.lanes] == [["t1", "t3"], ["t2"]]
    assert [lane.idle for lane in found.lanes] == [[(10, 30), (70, 80)], [(10, 30), (60, 110)]]
    assert (found.total_s, found.busy_s) == (200, 40 + 30 + 30)
    assert (found.before_s, found.between_s, found.after_s) == (40, 10, 50)
    assert found.in_words() == (
        "busy 50 % of worker time (2 workers, 1.7 minutes each); idle 20 % before the first training of a stage "
        "(start-up), 5 % between trainings, 25 % after the last training of a stage."
    )


def test_the_timeline_draws_lanes_and_idle_time(two_workers: History) -> None:
    figure = timeline(two_workers)
    assert figure
    bars = {bar.name: bar for bar in figure.figure.data}
    assert list(bars["idle"].base) == pytest.approx([10 / 60, 70 / 60, 10 / 60, 60 / 60], abs=1e-3)
    assert list(bars["idle"].x) == pytest.approx([20 / 60, 10 / 60, 20 / 60, 50 / 60], abs=1e-3)
    assert list(bars["completed"].y) == [0, 0]
    assert list(bars["pruned"].y) == [1]
    assert list(bars["completed"].x) == pytest.approx([40 / 60, 30 / 60], abs=1e-3)
    assert list(bars["completed"].text) == ["t1 on h:1", "t3 on h:1"]
    assert figure.caption.startswith("Busy 50 % of worker time")
    assert "workers were not recorded" not in figure.caption
    assert "never used" not in figure.caption
    two_workers.begun = search_begun(slots=3)
    assert "1 of 3 slots were never used" in (timeline(two_workers) or figure).caption


def test_without_workers_trainings_are_packed_into_lanes(two_workers: History) -> None:
    for record in two_workers.trials.values():
        record.epochs = [report.model_copy(update={"worker": None}) for report in record.epochs]
    found = worker_time(two_workers)
    assert [lane.name for lane in found.lanes] == ["lane 1", "lane 2"]
    assert [[span.name for span in lane.spans] for lane in found.lanes] == [["t1", "t3"], ["t2"]]
    figure = timeline(two_workers)
    assert figure
    assert "workers were not recorded" in figure.caption


def test_a_trial_that_failed_before_it_told_its_worker_takes_a_free_place(two_workers: History) -> None:
    two_workers.trials["t4"] = TrialRecord("t4", {}, 72.0, "failed", [], ended=73.0)
    two_workers.trials["t5"] = TrialRecord("t5", {}, 85.0, "failed", [], ended=86.0)
    found = worker_time(two_workers)
    lanes = {lane.name: [span.name for span in lane.spans] for lane in found.lanes}
    assert lanes == {"h · 1": ["t1", "t4", "t3"], "h · 2": ["t2", "t5"]}
    assert found.busy_s == 102


def test_a_worker_takes_the_lane_of_one_on_its_host_that_has_ended(two_workers: History) -> None:
    two_workers.stages += stage("final", 115, 145)
    for seed, host in ((1, "h"), (2, "other")):
        reports = epochs([130, 140], f"{host}:{seed + 7}")
        record = FinalRecord("t1", {}, 120.0, "completed", reports, ended=140.0, seed=seed)
        two_workers.finals["t1", seed] = record
    found = worker_time(two_workers)
    names = {lane.name: [span.name for span in lane.spans] for lane in found.lanes}
    assert names == {"h · 1": ["t1", "t3", "t1, seed 1"], "h · 2": ["t2"], "other · 1": ["t1, seed 2"]}
    assert found.total_s == 3 * (100 + 30)


def test_a_resumed_trial_is_two_pieces_and_the_pause_is_none(two_workers: History) -> None:
    two_workers.trials["t4"] = trial("t4", 80, [90, 1020, 1030], "h:2", 1030)
    before, *later = two_workers.trials["t4"].epochs
    two_workers.trials["t4"].epochs = [before, *(report.model_copy(update={"worker": "h:9"}) for report in later)]
    two_workers.attempts.append(attempt(1000.0))
    two_workers.stages += stage("search", 1005, 1035)
    pieces = [(s.begin, s.end, s.worker) for s in training_spans(two_workers) if s.name == "t4"]
    assert pieces == [(80, 90, "h:2"), (1019, 1030, "h:9")]
    clock = search_clock(two_workers)
    assert clock(115) == pytest.approx(115 / 60)
    assert clock(1000) == pytest.approx(115 / 60)
    assert clock(1030) == pytest.approx(145 / 60)


def test_a_stage_that_was_interrupted_ends_with_what_was_last_heard(two_workers: History) -> None:
    two_workers.stages = [*stage("search", 10, None), *stage("search", 1000, 1010)]
    two_workers.attempts.append(attempt(1000.0))
    assert [(s.name, s.begin, s.end) for s in stages_of(two_workers)] == [("search", 10, 110), ("search", 1000, 1010)]
    two_workers.stages = []
    assert [(s.name, s.begin, s.end) for s in stages_of(two_workers)] == [("search", 30, 110)]


def test_the_parts_of_a_stage_sum_to_its_time(two_workers: History) -> None:
    folds, search, test = stage_times(two_workers)
    assert (folds.name, folds.seconds, folds.parts) == ("folds", 10, {})
    assert (test.name, test.seconds, test.parts) == ("test", 5, {})
    # Six epochs of one second, halves and quarters, of which two workers did one half each.
    expected = {"data": 0.75, "step": 1.5, "evaluation": 0.75, "baselines": 0.0, "rest": 50 - 3.0, "idle": 50.0}
    assert search.parts == pytest.approx(expected)
    figure = time_spent(two_workers)
    assert figure
    bars = {bar.name: bar for bar in figure.figure.data}
    assert list(bars["training steps"].x) == pytest.approx([1.5 / 60], abs=1e-3)
    assert list(bars["a stage as a whole"].y) == [0, 2]
    assert list(figure.figure.layout.yaxis.ticktext) == [
        "class folds, 10 s",
        "trials and baselines, 1.7 min",
        "sealed test, model, 5 s",
    ]
    assert "trials and baselines 1.7 min (87 %)" in figure.alt
    assert "utilisation" not in figure.caption
    first, second = two_workers.trials["t1"], two_workers.trials["t2"]
    first.epochs = [with_metrics(report, **{"time/cpu_share": 0.5}) for report in first.epochs]
    second.epochs[0] = with_metrics(second.epochs[0], **{"time/cpu_share": 0.8, "time/step_s": 1.5})
    assert share_while_training(two_workers, "time/cpu_share") == pytest.approx((0.5 * 2 + 0.8 * 2) / 4)
    assert "CPU utilisation during training: 65 %" in (time_spent(two_workers) or figure).caption
    assert share_while_training(two_workers, "time/gpu_share") is None


def test_nothing_is_drawn_of_nothing() -> None:
    assert timeline(History()) is None
    assert time_spent(History()) is None
    assert stage_times(History()) == []


def test_baselines_beside_the_trials_are_no_idle_time(two_workers: History) -> None:
    score = BaselineScore(candidate=candidate("dtw_1nn"), val=0.5)
    two_workers.apply(BaselinesScored(scores=[score], worker="h:2", seconds=20.0, time=100.0))
    span = next(span for span in training_spans(two_workers) if span.kind == "baselines")
    assert (span.begin, span.end, span.name, span.worker) == (80.0, 100.0, "dtw_1nn", "h:2")
    found = worker_time(two_workers)
    assert [lane.idle for lane in found.lanes] == [[(10, 30), (70, 80)], [(10, 30), (60, 80), (100, 110)]]
    assert found.busy_s == 40 + 30 + 30 + 20
    search = next(stage for stage in stage_times(two_workers) if stage.name == "search")
    assert search.parts["baselines"] == pytest.approx(10.0)
    assert search.parts["rest"] == pytest.approx(60 - 3.0 - 10.0)
    figure = timeline(two_workers)
    assert figure
    (bar,) = [bar for bar in figure.figure.data if bar.name == "baselines"]
    assert list(bar.x) == pytest.approx([20 / 60], abs=1e-3)
