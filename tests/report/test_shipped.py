"""What a search ships: all views of it say the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support.made_history import HOSTILE, candidate, made_history, ship_candidate
from support.made_searches import search
from support.pages import text_of

from sldml.commands.closing import closing_lines
from sldml.journal import Baseline, BaselineScore, FoldRow, FoldTable, History
from sldml.report.leaderboard import LeaderboardRow, leaderboard
from sldml.report.report import render_report
from sldml.report.searches_report import render_comparison
from sldml.report.shipped import ShippedRow, chances_sentence, shipped_row
from sldml.report.summary import Timing, search_summary

BEST_ON_VALIDATION = candidate("dtw_1nn", center="every_frame", scale="torso")
BEST_ON_FOLDS = candidate("dtw_1nn", center="first_frame", scale="none")


def trained() -> History:
    """Ships a final model of the first configuration."""
    return made_history(12)


def without_training() -> History:
    """Ships the candidate that stands for its baseline."""
    history = made_history(12)
    best = history.baselines["dtw_1nn"].best
    ship_candidate(history, best.candidate, best.test or 0.0)
    return history


def found_on_folds() -> History:
    """Ships a candidate that is not the best one of its baseline on validation, but the best over class folds."""
    history = made_history(12)
    scores = (
        BaselineScore(candidate=BEST_ON_VALIDATION, val=0.63, test=0.58),
        BaselineScore(candidate=BEST_ON_FOLDS, val=0.55, test=0.61),
        BaselineScore(candidate=candidate("dtw_1nn", center="none", scale="none"), val=0.2, test=0.3),
    )
    history.baselines["dtw_1nn"] = Baseline("dtw_1nn", scores)
    assert history.baselines["dtw_1nn"].best.candidate == BEST_ON_VALIDATION
    ship_candidate(history, BEST_ON_FOLDS, 0.61)
    return history


def with_folds(history: History, **chances: float | None) -> History:
    """The history with a table of class folds, and these probabilities of what ships."""
    assert history.test is not None
    assert history.test.shipped is not None
    row = FoldRow(name="dtw_1nn", kind="training_free", accuracies=(0.7, 0.8), candidate=BEST_ON_FOLDS)
    table = FoldTable(num_folds=2, num_scored=2, ending="all repeats are done", rows=(row,))
    shipped = history.test.shipped.model_copy(update=chances)
    history.test = history.test.model_copy(update={"folds": table, "shipped": shipped})
    return history


def row_of(history: History) -> ShippedRow:
    row = shipped_row(history)
    assert row is not None
    return row


def saved_row(history: History) -> LeaderboardRow:
    """The one row of the leaderboard that is marked."""
    (row,) = [row for row in leaderboard(history) if row.saved]
    return row


@pytest.mark.parametrize("made", [trained, without_training, found_on_folds])
def test_all_views_agree(made: Callable[[], History]) -> None:
    history = made()
    shipped, row, saved = history.shipped, row_of(history), saved_row(history)
    assert shipped is not None
    assert (row.accuracy, row.reason) == (shipped.accuracy, shipped.reason)
    assert row.is_trained == (shipped.kind == "trained") == (saved.rank is not None)
    assert row.val == saved.val
    assert row.settings == saved.params
    assert row.name.startswith(f"{saved.name} (")
    said = f"Saved model: {row.name}, {100 * shipped.accuracy:.1f} % on the sealed test"
    assert row.sentence == f"{shipped.reason[0].upper()}{shipped.reason[1:]}."

    page = text_of(render_report(history))
    (line,) = re.findall(r'<p class="note ships">(.*?)</p>', page, flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", "", line)
    assert words.startswith(f"{said}. {shipped.reason[0].upper()}{shipped.reason[1:]}.")
    assert all(f"{path} {value}" in words for path, value in row.settings)
    board = page.split('<section id="leaderboard"')[1].split("</section>")[0]
    (marked,) = [part for part in board.split("<tr") if 'class="badge saved"' in part]
    assert f'class="id">{saved.name} ' in marked

    summary = search_summary(history, "completed", Timing(0.0), {})["shipped"]
    assert summary == shipped.model_dump(mode="json")
    assert summary["accuracy"] == row.accuracy
    assert (summary["kind"] == "trained") == row.is_trained


def test_a_trained_model_is_named_with_its_seed() -> None:
    history = trained()
    assert history.test is not None
    first = history.test.finals[0]
    row, saved = row_of(history), saved_row(history)
    assert row.name == f"{first.trial_id} (seed 0)"
    assert row.accuracy == first.test_accuracy.values[0]
    assert row.val == history.trials[first.trial_id].value
    assert dict(row.settings)["loss.name"] == history.trials[first.trial_id].params["loss.name"]
    assert (saved.name, saved.rank) == (first.trial_id, 1)
    assert row.accuracy in saved.values  # the row has the mean over the seeds, of which one is saved
    summary = search_summary(history, "completed", Timing(0.0), {})["shipped"]
    assert (summary["trial_id"], summary["seed"], summary["candidate"]) == (first.trial_id, 0, None)


def test_a_baseline_is_marked_where_its_best_candidate_is_shipped() -> None:
    history = without_training()
    row, saved = row_of(history), saved_row(history)
    assert row.name == "DTW 1-NN (no training)"
    assert saved.name == "DTW 1-NN"
    assert saved.test == row.accuracy == 0.58
    assert [other.name for other in leaderboard(history)].count("DTW 1-NN") == 1
    assert ("normalize.center", "every_frame") in row.settings
    summary = search_summary(history, "completed", Timing(0.0), {})["shipped"]
    assert summary["candidate"] == history.baselines["dtw_1nn"].best.candidate.model_dump()


def test_a_candidate_found_on_class_folds_has_a_row_of_its_own() -> None:
    history = found_on_folds()
    row, saved = row_of(history), saved_row(history)
    assert row.settings == [("normalize.center", "first_frame"), ("normalize.scale", "none")]
    assert (saved.val, saved.test, saved.params) == (0.55, 0.61, row.settings)
    assert saved.test == row.accuracy
    rows = [other for other in leaderboard(history) if other.name == "DTW 1-NN"]
    assert [(other.val, other.test, other.saved) for other in rows] == [(0.63, 0.58, False), (0.55, 0.61, True)]
    values = [other.val for other in leaderboard(history)]
    assert values == sorted(values, reverse=True)
    summary = search_summary(history, "completed", Timing(0.0), {})
    assert summary["shipped"]["candidate"]["normalize"] == {"center": "first_frame", "scale": "none"}
    listed = [c for c in summary["baselines"]["dtw_1nn"]["candidates"] if c["normalize"]["center"] == "first_frame"]
    assert [c["test"] for c in listed] == [summary["shipped"]["accuracy"]]
    words = re.sub(r"<[^>]+>", "", text_of(render_report(history)))
    assert "normalize.center first_frame, normalize.scale none" in words


@pytest.mark.parametrize(
    ("chances", "said"),
    [
        (
            {"better_than_baseline": 0.974, "better_than_default": 0.88},
            "than DTW 1-NN: 97 %; than the default configuration: 88 %",
        ),
        ({"better_than_baseline": 0.9991}, "than DTW 1-NN: over 99 %"),
        ({"better_than_default": 0.004}, "than the default configuration: under 1 %"),
    ],
)
def test_the_probabilities_are_told_everywhere(chances: dict[str, float], said: str) -> None:
    history = with_folds(trained(), **chances)
    sentence = f"probability of being better {said}"
    assert chances_sentence(history) == sentence
    summary = search_summary(
        history, "completed", Timing(0.0), {"mlflow": {"tracking_uri": "sqlite:///x"}, "report": "r", "model": "m"}
    )
    assert sentence in closing_lines(summary, resume="")
    assert {name: summary["shipped"][name] for name in chances} == chances
    assert f"Probability of being better {said}." in text_of(render_report(history))


def test_without_class_folds_no_probability_is_told() -> None:
    assert chances_sentence(trained()) is None
    assert chances_sentence(with_folds(trained())) is None
    assert "robability of being" not in text_of(render_report(trained()))


def test_an_untrained_encoder_is_told_by_its_names() -> None:
    history = made_history(12)
    ship_candidate(history, history.baselines["untrained_dtw"].best.candidate, 0.5)
    row = row_of(history)
    assert row.name == "untrained encoder, DTW (no training)"
    assert row.settings[-2:] == [("encoder.name", "small_cnn"), ("representation.name", "swap_axes")]
    assert saved_row(history).params == row.settings


@pytest.mark.parametrize("made", [trained, without_training, found_on_folds])
def test_a_comparison_of_searches_names_it_too(made: Callable[[], History]) -> None:
    one, other = search("one"), search("other")
    history = made()
    one.history.test, one.history.baselines = history.test, history.baselines
    row = row_of(one.history)
    cell = f"<td>{row.name}<span"
    assert cell in text_of(render_comparison([one, other]))
    assert f"{100 * row.accuracy:.1f}" in text_of(render_comparison([one, other])).split(cell)[1][:60]


def test_before_the_test_nothing_ships() -> None:
    history = made_history(6, final=False)
    assert shipped_row(history) is None
    assert not [row for row in leaderboard(history) if row.saved]
    assert "Saved model" not in text_of(render_report(history))
    assert search_summary(history, "interrupted", Timing(0.0), {})["shipped"] is None


def test_a_hostile_reason_stays_text() -> None:
    history = trained()
    assert history.test is not None
    assert history.test.shipped is not None
    shipped = history.test.shipped.model_copy(update={"reason": HOSTILE[0]})
    history.test = history.test.model_copy(update={"shipped": shipped})
    page = render_report(history)
    assert "<script>document.title" not in page
    assert "&lt;script&gt;document.title" in page
