"""The report of whole, partial and hostile histories; and what a browser makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.made_history import (
    HOSTILE,
    START,
    baseline,
    candidate,
    epoch,
    made_history,
    search_begun,
    ship_candidate,
)
from support.pages import AFTER_THE_TEST, FIGURES, SECTIONS, text_of

from sldml.journal import (
    Accuracy,
    FoldRow,
    FoldTable,
    History,
    PairedDifference,
    Shipped,
)
from sldml.report.conclusion import conclude, describe_params
from sldml.report.figures import learning_curves, search_history
from sldml.report.leaderboard import leaderboard
from sldml.report.report import render_report, write_report
from sldml.report.search_time import search_clock
from sldml.report.shipped import shipped_row


def set_first_final(history: History, mean: float, ci95: tuple[float, float] | None) -> None:
    """Let the first configuration reach this on the sealed test."""
    assert history.test
    first, *others = history.test.finals
    accuracy = Accuracy(mean=mean, ci95=ci95, values=(mean,))
    first = first.model_copy(update={"test_accuracy": accuracy})
    history.test = history.test.model_copy(update={"finals": (first, *others)})


def test_a_whole_search_has_every_section_and_figure(tmp_path: Path) -> None:
    path = write_report(made_history(30), tmp_path / "deep" / "report.html")
    page = text_of(path.read_text(encoding="utf-8"))
    for section in (*SECTIONS, *AFTER_THE_TEST):
        assert f'<section id="{section}"' in page
    for name in FIGURES:
        assert re.search(f'id="figure-{name}" role="img" aria-label="[^"]{{30,}}"', page), name
    expected = (
        "python launch/tune.py --space demo",
        "9f1c0a7be2d4",
        "4be1d09c77aa",
        "0123456789abcdef",
        "with uncommitted changes",
        "worker-1",
        "torch 2.9.0",
        "A007 throw",
        "DTW 1-NN",
        "list of missing recordings",
        "4.2 ms",
    )
    for said in expected:
        assert said in page, said
    assert page.count("<tr>") >= 1 + 3 + 1 + 30
    assert list(path.parent.iterdir()) == [path]


def test_what_the_time_budget_left_out_is_told() -> None:
    history = made_history(12, final=False)
    history.left_out = ["3 of 15 trials (1 of them begun)", "the sealed test"]
    said = "Left out for the time budget: 3 of 15 trials (1 of them begun); the sealed test."
    assert said in text_of(render_report(history))


def test_a_search_without_finals_says_what_is_missing() -> None:
    page = text_of(render_report(made_history(12, final=False, baselines=False)))
    for section in SECTIONS:
        assert f'<section id="{section}"' in page
    assert "the sealed test have not run" in page
    assert "Not measured: raw 1-NN, DTW 1-NN, untrained encoder" in page
    assert "1 trial had not ended" in page
    assert "The sealed test has not run." in page
    assert 'id="figure-confusion"' not in page
    assert 'id="figure-learning_curves"' in page
    for section in AFTER_THE_TEST:
        assert f'<section id="{section}"' not in page


@pytest.mark.parametrize(
    "history", [History(search_begun()), made_history(1, final=False)], ids=["nothing", "one trial"]
)
def test_hardly_anything_is_a_page_too(history: History) -> None:
    page = text_of(render_report(history))
    for section in SECTIONS:
        assert f'<section id="{section}"' in page
    assert "Too few trials" in page


def test_trials_without_an_epoch_and_odd_params_are_drawn() -> None:
    history = made_history(20)
    trial = history.trials["t0001"]
    trial.epochs, trial.state = [], "failed"
    trial.error = "<script>boom"
    diverged = history.trials["t0003"]
    diverged.state = "diverged"
    diverged.epochs = [epoch(0, 0.0, time=diverged.started + 1)]
    history.trials["t0002"].params |= {"miner": "", "sizes": "[1, 2]", "flag": True}
    page = text_of(render_report(history))
    for figure in (search_history(history), learning_curves(history)):
        assert figure
        assert min(y for trace in figure.figure.data for y in trace.y if y is not None) > 0.2
    assert "&lt;script&gt;boom" in page
    assert "[1, 2]" in page


def test_hostile_names_stay_text() -> None:
    history = made_history(10, labels=HOSTILE)
    history.begun = search_begun(name=HOSTILE[0], command=HOSTILE[1], split={"notes": [HOSTILE[2]]})
    page = render_report(history)
    assert "<script>document.title" not in page
    images = re.findall(r"<img [^>]*>", page.split("<script>")[0])
    assert len(images) == 3 * 6
    for image in images:
        assert re.fullmatch(r'<img src="data:image/png;base64,[\w+/=]+" alt="[^"<>]+, input of the model">', image)
    assert '<a href="http://evil' not in page
    assert "{{ 7 * 7 }}" in page
    assert HOSTILE[1] not in page


def test_nothing_is_fetched_and_the_file_is_small(tmp_path: Path) -> None:
    path = write_report(made_history(100), tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 10e6
    fetched = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text_of(page))
    assert fetched
    assert all(target.startswith(("#", "data:")) for target in fetched)
    assert page.count("plotly.js v") >= 1
    assert "default-src 'none'" in page
    assert "cdn.plot.ly/plotly" not in text_of(page)
    # A script that closed its own element would spill the library over the page.
    assert len(re.findall("</script>", page)) == 2


def test_without_an_important_parameter_a_sentence_replaces_the_figure() -> None:
    history = made_history(20)
    page = text_of(render_report(history))
    assert "Not above the level of shuffled values: " in page
    for place, trial in enumerate(history.trials.values()):
        trial.params = {"flag.name": "ab"[place % 2], "size": place % 3}
        best = 0.5 + 0.01 * (place // 6)
        trial.epochs = [epoch(1, best, time=trial.started + 1)]
    page = text_of(render_report(history))
    section = page.split('id="importance"')[1].split('id="choices"')[0]
    assert "figure-importance" not in section
    assert "No parameter is above the level of shuffled values" in section


def test_leaderboard_keeps_the_order_of_validation_with_baselines_among_them() -> None:
    history = made_history(30)
    assert history.test
    set_first_final(history, 0.1, (0.0, 0.2))  # the test changes no place
    finals = history.test.finals
    history.baselines["dtw_1nn"] = baseline("dtw_1nn", (finals[0].val_accuracy + finals[1].val_accuracy) / 2, 0.58)
    rows = leaderboard(history)
    expected = [
        finals[0].trial_id,
        "DTW 1-NN",
        *(f.trial_id for f in finals[1:]),
        "untrained encoder, DTW",
        "untrained encoder",
        "raw 1-NN",
    ]
    assert [row.name for row in rows] == expected
    assert [row.rank for row in rows] == [1, None, 2, 3, None, None, None]
    assert [row.saved for row in rows] == [True, False, False, False, False, False, False]
    assert rows[0].test == 0.1


@pytest.mark.parametrize(
    ("mean", "ci95", "warning"),
    [
        (0.72, (0.69, 0.75), None),
        (0.60, (0.55, 0.65), "in the 95 % interval"),
        (0.50, (0.45, 0.55), r"Not above every baseline: DTW 1-NN \(58\.0 %\)"),
        (0.72, None, "only one seed"),
    ],
)
def test_the_summary_warns_where_the_winner_is_not_clearly_better(
    mean: float, ci95: tuple[float, float] | None, warning: str | None
) -> None:
    history = made_history(20)
    set_first_final(history, mean, ci95)
    summary = conclude(history)
    assert f"{100 * mean:.1f} %" in summary.sentence
    assert "DTW 1-NN, 58.0 %" in summary.sentence
    if warning is None:
        assert summary.warnings == []
    else:
        assert len(summary.warnings) == 1
        assert re.search(warning, summary.warnings[0])
    ship_candidate(history, candidate("dtw_1nn"), 0.58)
    assert conclude(history).warnings == summary.warnings  # what ships has a line of its own
    ships = shipped_row(history)
    assert ships
    assert (ships.name, ships.accuracy, ships.sentence) == (
        "DTW 1-NN (no training)",
        0.58,
        "No trained model was better.",
    )
    assert [row.name for row in leaderboard(history) if row.saved] == ["DTW 1-NN"]


def test_class_folds_are_a_table_with_what_ships() -> None:
    history = made_history(12)
    assert history.test
    assert '<section id="folds"' not in render_report(history)
    first, second = (final.trial_id for final in history.test.finals[:2])
    difference = PairedDifference(mean=0.0625, ci95=(0.0123, 0.1127), better=0.981)
    rows = (
        FoldRow(name="dtw_1nn", kind="training_free", accuracies=(0.7, 0.8), candidate=candidate("dtw_1nn")),
        FoldRow(name=second, kind="trained", accuracies=(0.78, 0.845), difference=difference),
        FoldRow(name="t9", kind="trained", accuracies=(0.3, 0.4), dropped=True, is_default=True),
        FoldRow(name=first, kind="trained", error="fold 1, repeat 1: <b>boom</b>"),
    )
    table = FoldTable(num_folds=2, num_scored=2, ending="all repeats are done", rows=rows)
    shipped = Shipped(
        kind="trained", trial_id=second, seed=1, accuracy=0.7321, threshold=0.8, reason="best over 2 folds"
    )
    history.test = history.test.model_copy(update={"folds": table, "shipped": shipped})
    page = text_of(render_report(history))
    section = page.split('<section id="folds"')[1].split("</section>")[0]
    assert "are divided into 2 folds" in section
    assert "All others were scored on 2 folds: the race ended because all repeats are done." in section
    lines = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in section.split("<tr")[2:]]
    said = [" ".join(words).replace('class="baseline">', "").lstrip("> ") for words in lines]
    assert said == [
        "DTW 1-NN 75.0 % 7.1 % – – – 2 70.0 % · 80.0 %",
        f"{second} saved 81.2 % 4.6 % +6.2 +1.2 to +11.3 98 % 2 78.0 % · 84.5 %",
        "t9 default dropped 35.0 % 7.1 % – – – 2 30.0 % · 40.0 %",
        f"{first} fold 1, repeat 1: &lt;b&gt;boom&lt;/b&gt;",
    ]
    assert f"Saved model: {second} (seed 1), 73.2 % on the sealed test.</strong> Best over 2 folds." in page
    assert [(row.name, row.rank) for row in leaderboard(history) if row.saved] == [(second, 2)]


def test_differences_within_the_noise_are_marked() -> None:
    history = made_history(12, final=False)
    best, second, *_, last = history.ranked()
    parts = best.epochs[-1]
    # A little less in one class and a little more in another; much less in every class.
    for trial, change in ((second, [-0.4, 0.2, 0, 0, 0, 0]), (last, [-3.0] * 6)):
        right = tuple(r + c for r, c in zip(parts.right_per_class, change, strict=True))
        metrics = {**parts.metrics, "val/accuracy": parts.value + sum(change) / 66}
        trial.epochs[-1] = trial.epochs[-1].model_copy(update={"right_per_class": right, "metrics": metrics})
    history.baselines["dtw_1nn"] = baseline(
        "dtw_1nn",
        (best.value or 0.0) - 0.01,
        val_std=0.04,
        right_per_class=[r - c for r, c in zip(parts.right_per_class, [2, -1, 0, 0, 0, 0], strict=True)],
        queries_per_class=[11] * 6,
    )

    rows = {row.name: row for row in leaderboard(history)}
    assert rows[best.trial_id].to_best is None
    assert rows[second.trial_id].is_indistinguishable
    assert rows["DTW 1-NN"].is_indistinguishable
    assert not rows["raw 1-NN"].is_indistinguishable
    summary = conclude(history)
    assert f"not distinguishable from the best, {best.trial_id}" in (summary.noise or "")
    assert second.trial_id in (summary.noise or "")
    assert summary.warnings == [
        "On validation the best configuration is not distinguishable from DTW 1-NN: a benefit of training is not shown."
    ]

    page = text_of(render_report(history))
    board, trials = (
        page.split(f'<section id="{name}"')[1].split("</section>")[0] for name in ("leaderboard", "trials")
    )

    def cells(section: str, name: str) -> str:
        (row,) = [row for row in section.split("<tr")[2:] if re.search(f'class="id">{name}\\b', row)]
        return re.sub(r"<[^>]+>|\s+", " ", row)

    assert "not distinguishable" in cells(board, second.trial_id)
    assert "not distinguishable" in cells(board, "DTW 1-NN")
    assert "interval unknown" in cells(board, "raw 1-NN")
    assert "± 3.0" in cells(board, best.trial_id)
    assert "not distinguishable" in cells(trials, second.trial_id)
    assert "distinguishable" not in cells(trials, last.trial_id)
    assert "distinguishable" not in cells(trials, best.trial_id)


@pytest.mark.parametrize(
    ("told", "over"),
    [
        ({"val/accuracy_std": 0.03}, "over exemplar draws"),
        ({"val/accuracy_std": 0.01, "val/accuracy_fold_std": 0.03}, "over class folds"),
        ({"val/accuracy_std": 0.0}, None),
    ],
)
def test_the_best_curve_has_a_band_of_its_spread(told: dict[str, float], over: str | None) -> None:
    history = made_history(6)
    best = history.ranked()[0]
    best.epochs = [e.model_copy(update={"metrics": {**e.metrics, **told}}) for e in best.epochs]
    figure = learning_curves(history)
    assert figure
    bands = [trace for trace in figure.figure.data if trace.fill == "toself"]
    assert len(bands) == (over is not None)
    assert (over is not None) == ("grey band" in figure.caption)
    for band in bands:
        assert over in band.name
        values = [e.metrics["val/accuracy"] for e in best.epochs]
        assert list(band.y) == pytest.approx([v + 0.03 for v in values] + [v - 0.03 for v in values[::-1]], abs=1e-4)
        assert list(band.x) == [*range(1, 21), *range(20, 0, -1)]


def test_description_in_words() -> None:
    params = {"loss.name": "arcface", "optimizer.lr": 0.00123456, "head.weight": 0.25, "steps": 64}
    assert describe_params(params) == "arcface loss, learning rate 0.00123, head.weight 0.25, steps 64"
    assert describe_params({f"p{i}": i for i in range(9)}).endswith("p5 5 and 3 more")
    assert describe_params({}) == "nothing sampled"


def test_the_clock_stands_still_between_interruption_and_resume() -> None:
    history = made_history(4, final=False)
    last = max(time for t in history.trials.values() for time in (t.started, t.ended or 0, *(e.time for e in t.epochs)))
    history.attempts.append(history.attempts[0].model_copy(update={"time": last + 86_400}))
    clock = search_clock(history)
    assert clock(START) == 0
    assert clock(last) == pytest.approx((last - START) / 60)
    assert clock(last + 86_400 + 60) == pytest.approx((last + 60 - START) / 60)
