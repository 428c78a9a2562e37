"""The table of a comparison against values worked out by hand, and what is told when something is missing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.made_history import baseline, epoch, search_begun

from sldml.commands.closing import closing_lines
from sldml.journal import (
    Accuracy,
    AttemptBegun,
    ConfusionMatrix,
    FinalRecord,
    FinalResult,
    History,
    TestResults,
    TrialRecord,
    TrialState,
)
from sldml.report.comparison import (
    HEADER,
    ComparisonRow,
    cells,
    comparison_of,
    comparison_rows,
    holm,
    markdown,
    num_missing,
    only_winners,
    paired_p,
    text_lines,
)
from sldml.report.figures.comparison import comparison_figure
from sldml.report.report import render_report
from sldml.report.summary import Timing, search_summary

PLACES = {"mlflow": {"tracking_uri": "sqlite:////r/mlflow.db"}, "report": "/r/c/report.html", "model": None}


def trial(trial_id: str, loss: str, *epochs: tuple[float, float], state: TrialState = "completed") -> TrialRecord:
    """A trial that reported the accuracies of two class folds after each epoch."""
    record = TrialRecord(trial_id, {"loss": {"name": loss}}, 0.0, state, params={"loss.name": loss})
    for number, folds in enumerate(epochs, start=1):
        of_folds = {f"val/accuracy_fold_{i}": fold for i, fold in enumerate(folds, start=1)}
        record.epochs.append(epoch(number, sum(folds) / 2, time=number, **{"val/num_folds": 2, **of_folds}))
    return record


def matrix(*right: int) -> ConfusionMatrix:
    """The confusion of 10 queries of each class, of which so many were named right."""
    classes = range(len(right))
    rows = [[right[i] if i == j else (10 - right[i]) * (j == (i + 1) % len(right)) for j in classes] for i in classes]
    return ConfusionMatrix(labels=[f"c{i}" for i in classes], matrix=rows)


def final(trial_id: str, matrices: list[ConfusionMatrix], seeds: list[int] | None = None) -> FinalResult:
    values = [sum(m.matrix[i][i] for i in range(3)) / 30 for m in matrices]
    interval = (0.0, 1.0) if len(values) > 1 else None
    return FinalResult(
        trial_id=trial_id,
        config={},
        val_accuracy=0.7,
        num_epochs=1,
        seeds=seeds or list(range(1, len(values) + 1)),
        test_accuracy=Accuracy(mean=sum(values) / len(values), ci95=interval, values=values),
        confusions=matrices,
    )


def history_of(*trials: TrialRecord, choices: tuple[str, ...] = ("triplet", "arcface"), test: bool = True) -> History:
    begun = search_begun(
        name="c",
        space={"name": "demo", "hash": "f", "text": ""},
        settings={"trials": 2},
        compare={"axis": "loss", "choices": choices, "against": choices[0], "num_folds": 2},
        split={"description": "one shot"},
        command="python launch/tune.py",
        environment={"commit": "abc", "dirty": False},
    )
    history = History(begun, trials={record.trial_id: record for record in trials})
    history.baselines["dtw_1nn"] = baseline("dtw_1nn", 0.6, 0.62 if test else None)
    return history


def attempt(history: History, trials: int) -> AttemptBegun:
    """A call that asks for so many trials of each choice."""
    begun = history.search
    settings = begun.settings.model_copy(update={"trials": trials})
    return AttemptBegun(time=0.0, settings=settings, slots=begun.slots, environment=begun.environment)


def two_losses() -> History:
    return history_of(
        trial("t0001", "triplet", (0.4, 0.6), (0.5, 0.7)),
        trial("t0002", "arcface", (0.3, 0.3), (0.7, 0.7), (0.8, 0.7)),
        trial("t0003", "triplet", (0.2, 0.4)),
        trial("t0004", "arcface", (0.9, 0.5)),
    )


def by_name(rows: list[ComparisonRow]) -> dict[str, ComparisonRow]:
    return {row["name"]: row for row in rows}


# ---------------------------------------------------------------------------------------------------- statistics


def test_p_of_the_paired_t_test_by_hand() -> None:
    # Differences .10, .08, .12: mean .1, deviation .02, so t is 5 √3; with 2 degrees p = 1 − t / √(t² + 2).
    t = 5 * math.sqrt(3)
    p = paired_p([0.80, 0.82, 0.84], [0.70, 0.74, 0.72])
    assert p == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert p == pytest.approx(0.01307, abs=1e-5)
    assert paired_p([0.70, 0.74, 0.72], [0.80, 0.82, 0.84]) == pytest.approx(p)


@pytest.mark.parametrize(
    ("first", "second", "p"), [([0.5], [0.4], None), ([0.5, 0.6], [0.4, 0.5], 0.0), ([0.5, 0.6], [0.5, 0.6], 1.0)]
)
def test_p_where_there_is_nothing_to_divide_by(first: list[float], second: list[float], p: float | None) -> None:
    assert paired_p(first, second) == p


def test_holms_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


# ---------------------------------------------------------------------------------------------------- rows


def test_winners_are_the_best_by_the_mean_over_folds_and_keep_the_order_of_validation() -> None:
    assert list(only_winners(two_losses()).trials) == ["t0002", "t0001"]


def test_validation_is_that_of_the_last_epoch_and_its_differences_are_paired() -> None:
    rows = by_name(comparison_rows(two_losses(), []))
    assert rows["triplet"]["val"]["values"] == [0.5, 0.7]
    assert rows["arcface"]["val"]["values"] == [0.8, 0.7]
    assert rows["arcface"]["val"]["mean"] == pytest.approx(0.75)
    difference = rows["arcface"]["val_difference"]
    # .3 and 0: mean .15, deviation .3/√2, error .15; Student's t of one degree is 12.706, so that it is cut to 1.
    assert difference["mean"] == pytest.approx(0.15)
    assert difference["ci95"] == pytest.approx([-1.0, 1.0])
    assert rows["triplet"]["val_difference"] is None
    assert rows["triplet"]["verdict"] == "reference"
    assert rows["arcface"]["test"] is None
    assert rows["arcface"]["verdict"] is None, "no verdict without the test"


def test_the_test_is_paired_over_seeds_and_over_classes() -> None:
    finals = [
        final("t0002", [matrix(9, 9, 6), matrix(9, 9, 6), matrix(9, 8, 8)]),
        final("t0001", [matrix(7, 7, 4), matrix(6, 7, 4), matrix(6, 6, 4)]),
    ]
    rows = by_name(comparison_rows(two_losses(), finals))
    own = rows["arcface"]
    assert own["test"]["values"] == pytest.approx([24 / 30, 24 / 30, 25 / 30])
    assert own["test"]["seeds"] == [1, 2, 3]
    # Over seeds 6/30, 7/30, 9/30; by class the means 9, 26/3, 20/3 of 10 less 19/3, 20/3, 4.
    assert own["test_difference"]["mean"] == pytest.approx(22 / 90)
    deviation = math.sqrt(((6 - 22 / 3) ** 2 + (7 - 22 / 3) ** 2 + (9 - 22 / 3) ** 2) / 2) / 30
    half = 4.302653 * deviation / math.sqrt(3)
    assert own["test_difference"]["ci95"] == pytest.approx([22 / 90 - half, 22 / 90 + half])
    t = (22 / 90) / (deviation / math.sqrt(3))
    assert own["test_difference"]["p"] == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert own["test_difference"]["p_holm"] == own["test_difference"]["p"], "there is one comparison alone"
    by_class = [8 / 30, 6 / 30, 8 / 30]
    assert own["class_difference"]["mean"] == pytest.approx(sum(by_class) / 3)
    spread = math.sqrt(sum((d - 22 / 90) ** 2 for d in by_class) / 2)
    half = 4.302653 * spread / math.sqrt(3)
    assert own["class_difference"]["ci95"] == pytest.approx([22 / 90 - half, 22 / 90 + half])
    assert own["verdict"] == "better"


def test_seeds_that_one_of_the_two_lacks_are_left_out() -> None:
    finals = [
        final("t0002", [matrix(9, 9, 9), matrix(8, 8, 9), matrix(1, 1, 1)], seeds=[2, 3, 4]),
        final("t0001", [matrix(0, 0, 0), matrix(6, 6, 6), matrix(6, 6, 6)], seeds=[1, 2, 3]),
    ]
    own = by_name(comparison_rows(two_losses(), finals))["arcface"]
    assert own["test_difference"]["mean"] == pytest.approx((9 + 7) / 60)
    assert own["class_difference"]["mean"] == pytest.approx((2.5 + 2.5 + 3) / 30)


HIGH, LOW = [matrix(9, 9, 8), matrix(9, 8, 9), matrix(8, 9, 9)], [matrix(4, 4, 3), matrix(4, 3, 4), matrix(3, 4, 4)]


@pytest.mark.parametrize(
    ("own", "default", "verdict"),
    [
        (HIGH, LOW, "better"),
        (LOW, HIGH, "worse"),
        (HIGH, HIGH, "not distinguishable"),
        # The same difference with every seed, but it is one class's alone: other classes may have none.
        ([matrix(5, 5, 9)] * 3, [matrix(5, 5, 4)] * 3, "not distinguishable"),
        # Every class gains on the mean, but seeds differ by more.
        ([matrix(9, 9, 9), matrix(2, 2, 2), matrix(9, 9, 9)], [matrix(6, 6, 6)] * 3, "not distinguishable"),
        ([matrix(9, 9, 9)], [matrix(1, 1, 1)], "not distinguishable"),
    ],
)
def test_a_verdict_needs_both_seeds_and_classes(own: list[Any], default: list[Any], verdict: str) -> None:
    rows = comparison_rows(two_losses(), [final("t0002", own), final("t0001", default)])
    assert by_name(rows)["arcface"]["verdict"] == verdict


def test_p_is_corrected_for_as_many_comparisons_as_are_made() -> None:
    history = history_of(
        trial("t0001", "triplet", (0.5, 0.7)),
        trial("t0002", "arcface", (0.8, 0.7)),
        trial("t0003", "circle", (0.8, 0.8)),
        choices=("triplet", "arcface", "circle"),
    )
    finals = [
        final("t0001", [matrix(4, 5, 4), matrix(4, 4, 4), matrix(5, 4, 4)]),
        final("t0002", [matrix(5, 6, 5), matrix(6, 5, 5), matrix(5, 5, 6)]),
        final("t0003", [matrix(9, 9, 8), matrix(9, 9, 9), matrix(8, 8, 9)]),
    ]
    rows = by_name(comparison_rows(history, finals))
    arcface, circle = rows["arcface"]["test_difference"], rows["circle"]["test_difference"]
    assert circle["p"] < arcface["p"]
    assert circle["p_holm"] == pytest.approx(2 * circle["p"])
    assert arcface["p_holm"] == pytest.approx(max(arcface["p"], 2 * circle["p"]))


def test_rows_keep_the_order_of_the_choices_and_ways_without_training_come_last() -> None:
    rows = comparison_rows(two_losses(), [final("t0002", HIGH), final("t0001", LOW)])
    assert [row["name"] for row in rows] == ["triplet", "arcface", "dtw_1nn"]
    assert rows[2]["kind"] == "training_free"
    assert rows[2]["test"]["mean"] == 0.62
    assert [row["name"] for row in comparison_rows(history_of(test=False), [])] == ["triplet", "arcface"]


def test_a_choice_of_which_every_trial_failed_is_a_row_with_its_reason() -> None:
    failed, diverged = trial("t0001", "triplet", state="failed"), trial("t0002", "triplet", (0.0, 0.0))
    failed.error, diverged.state, diverged.error = "ValueError: no", "diverged", "the loss is not finite in epoch 1"
    history = history_of(failed, diverged, trial("t0003", "arcface", (0.8, 0.7)))
    rows = by_name(comparison_rows(history, [final("t0003", HIGH)]))
    assert rows["triplet"]["error"] == "2 of 2 trials failed or diverged: the loss is not finite in epoch 1"
    assert rows["triplet"]["trials"] == {"ended": 2, "lost": 2}
    assert rows["arcface"]["test"]["mean"] > 0.8
    assert rows["arcface"]["test_difference"] is None, "there is no reference to test against"
    assert "2 (2 lost)" in cells(rows["triplet"])
    assert cells(rows["triplet"])[-1] == rows["triplet"]["error"]


def test_final_trainings_that_failed_are_told() -> None:
    history = two_losses()
    history.finals["t0002", 1] = FinalRecord("t0002", {}, 0.0, "diverged", error="the loss is not finite", seed=1)
    rows = by_name(comparison_rows(history, [final("t0001", LOW)]))
    assert rows["arcface"]["error"] == "no final training of t0002 completed: the loss is not finite"
    assert rows["arcface"]["val"]["mean"] == pytest.approx(0.75)


def test_missing_trials_are_counted_by_choice() -> None:
    history = two_losses()
    assert num_missing(history, 2) == 0
    assert num_missing(history, 3) == 2
    history.trials["t0003"].state = "running"
    assert num_missing(history, 2) == 1
    history.trials["t0005"] = trial("t0005", "arcface", (0.1, 0.1))
    assert num_missing(history, 2) == 1, "more trials of one choice do not make up for those of another"


# ---------------------------------------------------------------------------------------------------- for a person


def with_test() -> History:
    history = two_losses()
    finals = (final("t0002", HIGH), final("t0001", LOW))
    history.test = TestResults(num_queries=30, num_classes=3, num_exemplars=3, finals=finals)
    history.attempts.append(attempt(history, trials=2))
    return history


def test_the_text_is_aligned_and_says_what_is_compared() -> None:
    comparison = comparison_of(with_test())
    assert comparison is not None
    sentence, header, *lines = text_lines(comparison)
    assert sentence.startswith("comparison of 2 choices of loss (reference triplet): 2 class folds, then 3 seeds each")
    assert len(lines) == 3
    for name in HEADER[3:6]:
        column = header.index(name)
        assert all(line[column] != " " and line[column - 2 : column] == "  " for line in lines)
    assert lines[1].endswith("better")


def test_markdown_is_a_table_in_which_nothing_breaks_out() -> None:
    history = with_test()
    comparison = comparison_of(history)
    assert comparison is not None
    comparison["rows"][0]["error"] = "a | b\nc"
    text = markdown(comparison, history.search)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 5
    assert all(line.replace("\\|", "").count("|") == len(HEADER) + 1 for line in table)
    assert "a \\| b c" in table[2]
    assert "commit abc" in text


def test_an_ordinary_search_has_no_comparison() -> None:
    assert comparison_of(History()) is None
    summary = search_summary(History(search_begun()), "completed", Timing(0.0), PLACES)
    assert summary["comparison"] is None


def test_before_the_test_there_are_rows_of_validation() -> None:
    comparison = comparison_of(two_losses())
    assert comparison is not None
    assert not comparison["tested"]
    assert [row["val"]["mean"] for row in comparison["rows"] if row["val"]] == pytest.approx([0.6, 0.75])
    figure = comparison_figure(comparison)
    assert figure is not None
    assert "Validation of 2 choices" in figure.alt
    assert comparison_figure({**comparison, "rows": []}) is None


def test_the_figure_has_every_seed_the_intervals_and_a_line_without_training() -> None:
    comparison = comparison_of(with_test())
    assert comparison is not None
    drawn = comparison_figure(comparison)
    assert drawn is not None
    seeds, means, dtw = drawn.figure.data
    assert len(seeds.y) == 6
    assert list(means.x) == ["triplet", "arcface"]
    assert len(means.error_y.array) == 2
    assert list(dtw.y) == [0.62, 0.62]


def test_the_summary_and_the_last_lines_have_the_table_and_how_to_go_on() -> None:
    summary = json.loads(json.dumps(search_summary(with_test(), "completed", Timing(0.0), PLACES), allow_nan=False))
    assert summary["trials"]["requested"] == 4, "2 for each choice"
    assert [row["verdict"] for row in summary["comparison"]["rows"]] == ["reference", "better", None]
    again = "python launch/tune.py --space demo --warm-start c"
    lines = closing_lines(summary, resume="python launch/tune.py --resume c", search_again=again)
    assert any(line.startswith("arcface") and line.endswith("better") for line in lines)
    assert any("--space demo --warm-start c" in line and "--set loss.name=" in line for line in lines)
    assert f"table:   {Path('/r/c/comparison.md')}" in lines
    assert not any(line.startswith(("to resume", "final ", "saved model")) for line in lines)


def test_a_comparison_that_lacks_trials_says_how_to_go_on() -> None:
    history = two_losses()
    history.attempts.append(attempt(history, trials=3))
    lines = closing_lines(search_summary(history, "completed", Timing(0.0), PLACES), resume="RESUME")
    assert "to resume: RESUME" in lines
    assert not any("--warm-start" in line for line in lines)


def test_the_report_has_a_section_with_the_table() -> None:
    page = render_report(with_test())
    section = page.partition('<section id="comparison">')[2].partition("</section>")[0]
    assert "Comparison of loss" in section
    assert section.count("<tr") == 4
    assert 'id="figure-comparison"' in section
    assert "better" in section
    assert "DTW 1-NN" in section
    assert 'id="comparison"' not in render_report(History(search_begun()))
