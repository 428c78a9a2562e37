"""The table of a fair comparison: the result of each choice and which differences are significant. Pure functions.

Each choice is represented by its best trial over the same class folds, retrained with the same seeds. Two sources of
chance affect its difference to the reference on the sealed test: the training (seen over seeds) and the selection of
novel classes (seen over classes). A choice is called better or worse only if both differences exclude zero (over seeds,
with Holm's correction for the number of tests); otherwise the two are not distinguishable. Rows keep the order of the
choices: nothing is selected by the test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sldml.journal import FinalResult, History, SearchBegun, TrialRecord
from sldml.recognition.one_shot import mean_ci95, paired_ci95, per_class_accuracy
from sldml.report.files import Json
from sldml.report.noise import trial_score

ComparisonRow = Json
SIGNIFICANT = 0.05
HEADER = (
    "choice",
    "trials",
    "best trial",
    "validation",
    "val. difference",
    "sealed test",
    "test difference",
    "p (Holm)",
    "over classes",
    "verdict",
)
LEGEND = (
    ("trials", "number of ended trials (with all their epochs); those that failed or diverged in brackets"),
    ("best trial", "the trial with the best validation, whose configuration is retrained with several seeds"),
    ("validation", "mean over the class folds with the 95 % interval (Student's t) after the last epoch; optimistic as "
                   "the best of several trials and epochs"),
    ("val. difference", "to the reference, paired over the same folds, with the 95 % interval"),
    ("sealed test", "mean over the seeds with the 95 % interval; for baselines their single value"),
    ("test difference", "to the reference, paired over the same seeds, with the 95 % interval"),
    ("p (Holm)", "of the paired two-sided t-test over the seeds, with Holm's correction for all comparisons"),
    ("over classes", "mean difference over the novel classes (each averaged over seeds) with the 95 % interval: the "
                     "effect of other classes"),
    ("verdict", "better or worse if p is below .05 and the interval over classes excludes zero on the same side; else "
                "not distinguishable"),
)  # fmt: skip
_NONE = "–"


def num_missing(history: History, num_trials: int) -> int:
    """Number of trials still to run, of `num_trials` for each choice."""
    ended = [sum(r.has_ended for r in records) for records in history.by_choice().values()]
    return sum(max(0, num_trials - count) for count in ended)


def only_winners(history: History) -> History:
    """The history with only the best trial of each choice by validation."""
    best: dict[str | None, TrialRecord] = {}
    for record in history.ranked():
        best.setdefault(history.choice_of(record.config), record)
    return dataclasses.replace(history, trials={record.trial_id: record for record in best.values()})


def comparison_of(history: History) -> Json | None:
    """The comparison of a search (`axis`, `choices`, `against`, `num_folds`) with its `rows` so far."""
    compare = None if history.begun is None else history.begun.compare
    if compare is None:
        return None
    finals = () if history.test is None else history.test.finals
    rows = comparison_rows(history, finals)
    return {**compare.model_dump(mode="json"), "tested": history.test is not None, "rows": rows}


def comparison_rows(history: History, finals: Sequence[FinalResult]) -> list[ComparisonRow]:
    """One row for each choice and each baseline.

    Args:
        history: Trials and baselines.
        finals: Of `sldml.search.final.sealed_test`, for the winners; empty before the test.

    Returns:
        For each `name`, `kind` (choice, training_free), `trials` (`ended` and `lost`), `trial_id` of the winner, `val`
        and `test` (`mean`, `ci95`, `values`; `seeds` in `test`), `val_difference` and `class_difference` (`mean`,
        `ci95`), `test_difference` (the same, `p`, `p_holm`), `verdict`, and `error` if values are missing. Values that
        do not apply are None, as are all differences of the reference.
    """
    assert history.search.compare is not None
    against = history.search.compare.against
    winners = {history.choice_of(r.config): r for r in only_winners(history).trials.values()}
    tested = {final.trial_id: final for final in finals}
    rows = [
        _choice_row(history, choice, trials, winners.get(choice), tested)
        for choice, trials in history.by_choice().items()
    ]
    reference = next(row for row in rows if row["name"] == against)
    found = {row["name"]: tested.get(row["trial_id"]) for row in rows}
    for row in rows:
        if row is reference:
            row["verdict"] = "reference"
            continue
        if row["val"] and reference["val"]:
            row["val_difference"] = _difference(row["val"]["values"], reference["val"]["values"])
        own, other = found[row["name"]], found[against]
        if own is not None and other is not None:
            row |= _test_differences(own, other)
    compared = [row for row in rows if row["test_difference"] and row["test_difference"]["p"] is not None]
    for row, adjusted in zip(compared, holm([row["test_difference"]["p"] for row in compared]), strict=True):
        row["test_difference"]["p_holm"] = adjusted
    for row in rows:
        if row["test_difference"]:
            row["verdict"] = _verdict(row["test_difference"], row["class_difference"])
    return [*rows, *_baseline_rows(history)]


def paired_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p value of the paired t-test for a zero mean difference; None for a single pair.

    If all differences are equal, it is the limit: 1 if they are zero, else 0.
    """
    differences = np.subtract(first, second)
    if len(differences) < 2:
        return None
    if np.allclose(differences, differences[0], rtol=0.0, atol=1e-12):
        return 1.0 if abs(float(differences[0])) < 1e-12 else 0.0
    return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Corrected p values: the k-th smallest of m times m − k + 1, never below that of a smaller one (Holm,
    *A simple sequentially rejective multiple test procedure*, 1979)."""
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted


def _choice_row(
    history: History,
    choice: str,
    trials: Sequence[TrialRecord],
    winner: TrialRecord | None,
    tested: Mapping[str, FinalResult],
) -> ComparisonRow:
    ended = [record for record in trials if record.has_ended]
    lost = [record for record in ended if record.state in ("failed", "diverged")]
    row = _row(choice, "choice") | {"trials": {"ended": len(ended), "lost": len(lost)}}
    score = None if winner is None else trial_score(winner)
    if winner is None or score is None:
        row["error"] = "no trial has a value yet"
        if lost:
            row["error"] = f"{len(lost)} of {len(ended)} trials failed or diverged: {lost[-1].error or lost[-1].state}"
        return row
    row["trial_id"] = winner.trial_id
    if score.folds:
        row["val"] = _mean(score.folds)
    final = tested.get(winner.trial_id)
    if final is not None:
        row["test"] = _mean(final.test_accuracy.values) | {"seeds": list(final.seeds)}
    elif tested:
        own = [f for f in history.finals.values() if f.trial_id == winner.trial_id and f.state != "completed"]
        reason = own[-1].error or own[-1].state if own else "none started"
        row["error"] = f"no final training of {winner.trial_id} completed: {reason}"
    return row


def _test_differences(own: FinalResult, other: FinalResult) -> ComparisonRow:
    """Differences over the seeds that both were trained with, and over the novel classes."""
    seeds = [seed for seed in own.seeds if seed in other.seeds]
    if not seeds:
        return {}
    accuracies, by_class = [], []
    for final in (own, other):
        places = [final.seeds.index(seed) for seed in seeds]
        accuracies.append([final.test_accuracy.values[place] for place in places])
        by_class.append(_by_class([final.confusions[place].matrix for place in places]))
    known = np.isfinite(by_class[0]) & np.isfinite(by_class[1])
    p = paired_p(*accuracies)
    return {
        "test_difference": {**_difference(*accuracies), "p": p, "p_holm": None},
        "class_difference": _difference(by_class[0][known].tolist(), by_class[1][known].tolist()),
    }


def _by_class(matrices: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.float64]:
    """Accuracy on each class [C], averaged over seeds, from confusion matrices [C, C]; NaN without queries."""
    mean: NDArray[np.float64] = np.mean([per_class_accuracy(np.array(matrix)) for matrix in matrices], axis=0)
    return mean


def _verdict(over_seeds: Mapping[str, Any], over_classes: Mapping[str, Any]) -> str:
    low, high = over_classes["ci95"]
    if over_seeds["p_holm"] is not None and over_seeds["p_holm"] < SIGNIFICANT:
        if over_seeds["mean"] > 0 and low > 0:
            return "better"
        if over_seeds["mean"] < 0 and high < 0:
            return "worse"
    return "not distinguishable"


def _baseline_rows(history: History) -> list[ComparisonRow]:
    return [
        _row(name, "training_free")
        | {"val": _mean(baseline.best.val_folds) if baseline.best.val_folds else None}
        | {"test": {"mean": baseline.best.test, "ci95": None, "values": [], "seeds": []}}
        for name, baseline in history.baselines.items()
        if baseline.best.test is not None
    ]


def _row(name: str, kind: str) -> ComparisonRow:
    empty = ("trials", "trial_id", "val", "val_difference", "test", "test_difference", "class_difference")
    return {"name": name, "kind": kind, **dict.fromkeys(empty), "verdict": None, "error": None}


def _mean(values: Sequence[float]) -> Json:
    mean, interval = mean_ci95(values)
    return {"mean": mean, "ci95": list(interval), "values": list(values)}


def _difference(first: Sequence[float], second: Sequence[float]) -> Json:
    mean, interval = paired_ci95(first, second)
    return {"mean": mean, "ci95": list(interval)}


# -------------------------------------------------------------------------------------------------- for a person


def cells(row: ComparisonRow) -> list[str]:
    """A row as text, one cell for each column of `HEADER`."""
    trials, over_seeds = row["trials"], row["test_difference"]
    p = None if over_seeds is None else over_seeds["p_holm"]
    lost = f" ({trials['lost']} lost)" if trials and trials["lost"] else ""
    return [
        row["name"],
        f"{trials['ended']}{lost}" if trials else _NONE,
        row["trial_id"] or _NONE,
        _number(row["val"]),
        _number(row["val_difference"], "+"),
        _number(row["test"]),
        _number(over_seeds, "+"),
        _NONE if p is None else "<.001" if p < 0.0005 else f"{p:.3f}".removeprefix("0"),
        _number(row["class_difference"], "+"),
        row["error"] or row["verdict"] or _NONE,
    ]


def text_lines(comparison: Mapping[str, Any]) -> list[str]:
    """The table with aligned columns, for a terminal."""
    table = [list(HEADER), *(cells(row) for row in comparison["rows"])]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADER))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in table]
    return [in_words(comparison), *(line.rstrip() for line in lines)]


def in_words(comparison: Mapping[str, Any]) -> str:
    """The comparison in one line."""
    seeds = max((len(row["test"]["seeds"]) for row in comparison["rows"] if row["test"]), default=0)
    end = f"then {seeds} seeds each" if comparison["tested"] else "the sealed test has not run"
    return (
        f"comparison of {len(comparison['choices'])} choices of {comparison['axis']} (reference "
        f"{comparison['against']}): {comparison['num_folds']} class folds, {end}; 95 % intervals in brackets"
    )


def markdown(comparison: Mapping[str, Any], search: SearchBegun) -> str:
    """`comparison.md`: the table, its legend and its origin (`search`: the journal's first event)."""
    commit = search.environment.commit
    origin = [
        f"- search `{search.name}` of the space `{search.space.name}`, {search.split.description}",
        f"- `{search.command}`",
        *([f"- commit {commit}{' with changes' if search.environment.dirty else ''}"] if commit else []),
    ]
    table = [_line(HEADER), _line(["---"] * len(HEADER)), *(_line(cells(row)) for row in comparison["rows"])]
    sentence = in_words(comparison)
    parts = [
        [f"# Comparison of {comparison['axis']}"],
        [f"{sentence[0].upper()}{sentence[1:]}."],
        table,
        [f"- **{name}**: {meaning}" for name, meaning in LEGEND],
        origin,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(word.replace("|", "\\|").split()) for word in words) + " |"


def _number(value: Mapping[str, Any] | None, sign: str = "") -> str:
    if value is None:
        return _NONE
    mean = f"{value['mean']:{sign}.3f}"
    return mean if value["ci95"] is None else f"{mean} [{value['ci95'][0]:{sign}.3f}, {value['ci95'][1]:{sign}.3f}]"
