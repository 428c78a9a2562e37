"""The conclusion of a search: its result in one sentence, with warnings and missing parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sldml.journal import FinalResult, History, Params
from sldml.report.figures import BASELINE_NAMES, measure_name, percent
from sldml.report.leaderboard import leaderboard
from sldml.report.noise import against_best, indistinguishable, noise_sentence
from sldml.report.text import number

MAX_WORDS = 6


@dataclass(frozen=True)
class Conclusion:
    """The result in one sentence, with warnings and missing parts."""

    sentence: str
    warnings: list[str]
    missing: list[str]
    noise: str | None = None
    """Which configurations are not distinguishable by validation."""


def describe_params(params: Params) -> str:
    """Sampled parameters as text: choices, then the learning rate, then others as far as they fit."""
    words = [f"{value} {path.removesuffix('.name')}" for path, value in params.items() if path.endswith(".name")]
    if "optimizer.lr" in params:
        words.append(f"learning rate {number(params['optimizer.lr'])}")
    rest = [
        f"{path} {number(value)}"
        for path, value in params.items()
        if not path.endswith(".name") and path != "optimizer.lr"
    ]
    shown = [*words, *rest[: max(0, MAX_WORDS - len(words))]]
    more = len(words) + len(rest) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "nothing sampled"


def conclude(history: History) -> Conclusion:
    """Describe the result, its warnings and what is missing."""
    ranked = history.ranked()
    warnings: list[str] = []
    missing: list[str] = []
    measured = baseline_values(history, "val")
    if absent := [name for name in BASELINE_NAMES.values() if name not in measured]:
        missing.append(f"Not measured: {', '.join(absent)}, so training may not be better.")
    if history.left_out:
        missing.append(f"Left out for the time budget: {'; '.join(history.left_out)}.")
    if running := history.counts()["running"] + history.counts()["paused"]:
        missing.append(f"{running} trial{'s' if running > 1 else ''} had not ended when this report was written.")
    finals = () if history.test is None else history.test.finals
    if not ranked and not finals:
        return Conclusion("No trial has reported a value yet.", warnings, missing)
    others = against_best(history)
    noise = noise_sentence(ranked[0], len(others), indistinguishable(others)) if ranked else None
    if not finals:
        missing.append(
            "The final trainings and the sealed test have not run (interrupted, or --no-final). The validation "
            "accuracy of the selected trial is optimistic; it does not estimate the accuracy on new classes."
        )
        best = ranked[0]
        sentence = (
            f"So far the best configuration is {best.trial_id} ({describe_params(best.params)}) with a "
            f"{measure_name(history)} of {percent(best.value)}"
        )
        base = best_baseline(history, "val")
        sentence += f"; the best baseline, {base[0]}, has {percent(base[1])}." if base else "."
        if base and (best.value or 0.0) <= base[1]:
            warnings.append(f"No trained configuration is above {base[0]} on validation.")
        elif alike := [row.name for row in leaderboard(history) if row.rank is None and row.is_indistinguishable]:
            warnings.append(
                f"On validation the best configuration is not distinguishable from {', '.join(alike)}: a benefit of "
                "training is not shown."
            )
        return Conclusion(sentence, warnings, missing, noise)
    sentence = _describe_test(history, finals[0], warnings)
    return Conclusion(sentence, warnings, missing, noise)


def _describe_test(history: History, winner: FinalResult, warnings: list[str]) -> str:
    """The sentence about the sealed test; warnings are added to `warnings`."""
    test, accuracy = history.test, winner.test_accuracy
    assert test is not None
    mean, values, interval = accuracy.mean, accuracy.values, accuracy.ci95
    by = "validation" if test.folds is None else "the class folds"
    sentence = (
        f"The best configuration by {by}, {winner.trial_id} "
        f"({describe_params(history.trials[winner.trial_id].params)}), recognises {percent(mean)} of the test "
        "recordings of unseen actions"
    )
    if interval:
        sentence += f" (95 % interval {percent(interval[0])} to {percent(interval[1])}, {len(values)} seeds"
    else:
        sentence += f" ({len(values)} seed{'' if len(values) == 1 else 's'}"
    sentence += f"; {test.num_queries} queries, {test.num_classes} classes, one sealed test"
    base = best_baseline(history, "test")
    sentence += f"); the best baseline, {base[0]}, {percent(base[1])}." if base else ")."
    if base:
        not_beaten = [
            f"{name} ({percent(value)})" for name, value in baseline_values(history, "test").items() if value >= mean
        ]
        verb = "is" if len(not_beaten) == 1 else "are"
        if not_beaten:
            warnings.append(
                f"Not above every baseline: {', '.join(not_beaten)} {verb} at least as good without training."
            )
        elif interval is None:
            warnings.append("There is only one seed, so the difference may be chance.")
        elif interval[0] <= base[1]:
            warnings.append(f"The accuracy of {base[0]} is in the 95 % interval: the difference may be chance.")
    return sentence


def baseline_values(history: History, split: Literal["val", "test"]) -> dict[str, float]:
    """The accuracy of each baseline on `val` or `test`, by its display name."""
    found = {
        name: history.baselines[key].best.val if split == "val" else history.baselines[key].best.test
        for key, name in BASELINE_NAMES.items()
        if key in history.baselines
    }
    return {name: value for name, value in found.items() if value is not None}


def best_baseline(history: History, split: Literal["val", "test"]) -> tuple[str, float] | None:
    """The best baseline on `val` or `test`, and its accuracy."""
    return max(baseline_values(history, split).items(), key=lambda item: item[1], default=None)
