"""Several searches: found by name or folder, in rows, and compared where that is fair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.made_history import HOSTILE, START, made_history, search_begun
from support.made_searches import search, three_searches, write_journal
from support.pages import text_of

from sldml.journal import FoundSearch, History
from sldml.report.figures.several import accuracy_by_auxiliary, best_so_far
from sldml.report.searches import find_searches, notes_of, search_row, warnings_of
from sldml.report.searches_report import render_comparison, sealed_point


def test_a_row_says_what_a_search_came_to() -> None:
    one = three_searches()[1]
    row = search_row(one)
    best = one.history.ranked()[0]
    assert (row.name, row.dataset, row.num_auxiliary, row.winner) == ("middle", "synthetic", 20, best.trial_id)
    assert (row.validation, row.test, row.num_seeds) == (best.value, 0.6, 3)
    assert row.ci95 == pytest.approx((0.55, 0.65))
    assert row.best_baseline == ("DTW 1-NN", 0.58)
    shipped = one.history.shipped
    assert row.ships
    assert shipped
    assert (row.ships.name, row.ships.accuracy) == (f"{best.trial_id} (seed 0)", shipped.accuracy)
    counts = one.history.counts()
    assert row.trials.startswith(f"12 ({counts['completed']} completed")
    untested = search_row(search("open", final=False))
    assert (untested.test, untested.ci95, untested.num_seeds, untested.best_baseline) == (None, None, 0, None)
    assert untested.ships is None
    assert search_row(FoundSearch("nothing", Path("/nothing"), History(search_begun()))).winner is None


def test_searches_that_differ_in_auxiliary_classes_alone_need_no_warning() -> None:
    searches = three_searches()
    assert warnings_of(searches) == []
    assert notes_of(searches) == []  # all validate on the same classes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prepared": {"hash": "other"}}, r"Different prepared sets.*a: 4be1d09c77aa; b: other"),
        ({"split": {"num_novel": 61}}, r"Different numbers of sealed queries.*a: 60; b: 61"),
        ({"split": {"measure": "map_at_r"}}, "Different measures of validation"),
        ({"environment": {"commit": "d" * 40}}, "Different commits.*a: cccccccccccc; b: dddddddddddd"),
        ({"environment": {"dirty": True}}, "b ran with uncommitted changes:"),
    ],
)
def test_what_cannot_be_compared_is_told(changes: dict[str, Any], said: str) -> None:
    (warning,) = warnings_of([search("a"), search("b", **changes)])
    assert re.search(said, warning)


def test_other_protocols_and_novel_classes_are_told() -> None:
    first, second = search("a"), search("b", 14)
    for trial in second.history.trials.values():
        trial.config["protocol"]["exemplar"] = {"name": "subject"}
    (warning,) = warnings_of([first, second])
    assert warning.startswith("Different protocols")
    assert "made exemplar.name first" in warning
    assert "made exemplar.name subject" in warning
    third = search("c")
    assert third.history.test
    first_final, *others = third.history.test.finals
    labels = first_final.confusions[0].labels
    changed = (*labels[:2], "A014 another", *labels[3:])  # first and last are the same
    confusions = tuple(matrix.model_copy(update={"labels": changed}) for matrix in first_final.confusions)
    finals = (first_final.model_copy(update={"confusions": confusions}), *others)
    third.history.test = third.history.test.model_copy(update={"finals": finals})
    (warning,) = warnings_of([first, third])
    assert warning.startswith("Different novel classes")
    assert notes_of([first, search("d", split={"validation_classes": ["X"]}, final=False)]) == [
        "The sealed test has not run in d: validation alone does not measure new classes.",
        "Validation values are over different classes or folds in each search: they rank configurations within a "
        "search, but are not comparable between searches.",
    ]


def test_accuracy_is_drawn_against_auxiliary_classes() -> None:
    points = [point for one in three_searches() if (point := sealed_point(one))]
    figure = accuracy_by_auxiliary(points[::-1])
    assert figure
    traces = {trace.name: trace for trace in figure.figure.data}
    best = traces["best configuration"]
    assert list(best.x) == [12, 20, 30]
    assert list(best.y) == [0.5, 0.6, 0.7]
    assert list(best.error_y.array) == pytest.approx([0.05] * 3)
    assert list(best.error_y.arrayminus) == pytest.approx([0.05] * 3)
    assert list(traces["DTW 1-NN"].y) == [0.58] * 3
    assert set(traces) == {"best configuration", "raw 1-NN", "DTW 1-NN", "untrained encoder", "untrained encoder, DTW"}
    assert "12 classes 50.0 % (small); 20 classes 60.0 % (middle)" in figure.alt
    assert accuracy_by_auxiliary(points[:1] * 2) is None
    assert sealed_point(search("open", final=False)) is None


def test_lines_join_only_searches_of_one_dataset_and_protocol() -> None:
    points = [point for one in three_searches() if (point := sealed_point(one))]
    other = search("other", 40, prepared={"source": "elsewhere"})
    alone = sealed_point(other)
    assert alone
    figure = accuracy_by_auxiliary([*points, alone])
    assert figure
    assert {x for trace in figure.figure.data for x in trace.x} == {12, 20, 30}
    assert accuracy_by_auxiliary([points[0], alone]) is None


def test_the_best_so_far_rises_at_the_ends_of_trials() -> None:
    history = made_history(4)
    figure = best_so_far([("made", history), ("nothing", History())])
    assert figure
    (line,) = figure.figure.data
    assert all(trial.state == "completed" for trial in history.trials.values())
    ends = [(trial.ended or 0.0, trial.value or 0.0) for trial in history.trials.values()]
    ends.sort(key=lambda end: end[0])
    assert list(line.x) == pytest.approx([(end - START) / 60 for end, _ in ends], abs=1e-3)
    values = [value for _, value in ends]
    assert list(line.y) == pytest.approx([max(values[: i + 1]) for i in range(len(values))], abs=1e-4)
    assert best_so_far([("nothing", History())]) is None


def test_the_page_has_a_row_for_each_and_hostile_names_stay_text() -> None:
    page = render_comparison(three_searches(names=HOSTILE[:3]))
    assert "<script>document.title" not in page
    assert '<a href="http://evil' not in page
    assert "<img" not in page.split("<script>")[0]
    text = text_of(render_comparison(three_searches()))
    for said in (
        "3 searches compared",
        "In 1 of 3 searches",
        "is above every baseline: large",
        "58.0 %",
    ):
        assert said in text, said
    assert text.count('class="id"') == 3
    assert "has not run in" not in text
    assert "No sealed test has run yet" in text_of(render_comparison([search("open", final=False)] * 2))


def test_folders_and_names_find_the_same_search(tmp_path: Path) -> None:
    write_journal(tmp_path / "one", made_history(3, final=False))
    (by_name,), (by_folder,) = (
        find_searches(["one"], tmp_path),
        find_searches([str(tmp_path / "one")], Path("/nowhere")),
    )
    assert by_name.folder == by_folder.folder
    assert by_name.name == by_folder.name == "demo-20261122-133000"
