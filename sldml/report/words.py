"""The result of a search in a sentence, with what a reader has to know before believing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sldml.journal import History
from sldml.report.figures import BASELINE_NAMES, measure_name, percent
from sldml.report.leaderboard import interval_of, leaderboard, number
from sldml.report.noise import against_best, noise_in_words, within_noise

MAX_WORDS = 6


@dataclass(frozen=True)
class Summary:
    """The result in a sentence, and what a reader has to know before believing it."""

    sentence: str
    warnings: list[str]
    missing: list[str]
    noise: str | None = None
    """What validation cannot tell apart."""


def describe(params: Mapping[str, Any]) -> str:
    """Sampled parameters in words: the choices first, then the learning rate, then what else fits."""
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


def summarize(history: History) -> Summary:
    """Put the result, its warnings and what is missing into words."""
    ranked = history.ranked()
    warnings: list[str] = []
    missing: list[str] = []
    measured = baseline_values(history, "val")
    if absent := [name for name in BASELINE_NAMES.values() if name not in measured]:
        missing.append(f"Not measured: {', '.join(absent)}. Nothing says whether training was worth it there.")
    if running := history.counts()["running"]:
        missing.append(f"{running} trial{'s' if running > 1 else ''} had not ended when this was written.")
    finals = (history.test or {}).get("finals") or []
    if not ranked and not finals:
        return Summary("No trial has reported a value yet.", warnings, missing)
    others = against_best(history)
    noise = noise_in_words(ranked[0], len(others), within_noise(others)) if ranked else None
    if not finals:
        missing.append(
            "The final trainings and the sealed test have not run (interrupted, or --no-final). Validation chose "
            "among the trials, so its numbers flatter the best one; they are no estimate for new classes."
        )
        best = ranked[0]
        sentence = (
            f"So far the best configuration is {best.trial_id} ({describe(best.params)}) with a "
            f"{measure_name(history)} of {percent(best.value)}"
        )
        base = best_baseline(history, "val")
        sentence += f"; the best baseline, {base[0]}, has {percent(base[1])}." if base else "."
        if base and (best.value or 0.0) <= base[1]:
            warnings.append(f"No trained configuration is above {base[0]} on validation.")
        elif alike := [row.name for row in leaderboard(history) if row.rank is None and row.is_noise]:
            warnings.append(
                f"On validation the best configuration is within the noise of {', '.join(alike)}: that training pays "
                "is not shown."
            )
        return Summary(sentence, warnings, missing, noise)
    sentence = _summarize_test(history, finals[0], warnings)
    return Summary(sentence, warnings, missing, noise)


def _summarize_test(history: History, winner: dict[str, Any], warnings: list[str]) -> str:
    """The sentence about the sealed test; what is to be said before believing it is added to `warnings`."""
    test = history.test or {}
    accuracy = winner["test_accuracy"]
    mean, values = float(accuracy["mean"]), accuracy.get("values") or []
    interval = interval_of(accuracy)
    trial = history.trials.get(winner["trial_id"])
    sentence = (
        f"The best configuration by validation, {winner['trial_id']} "
        f"({describe(trial.params if trial else {})}), names {percent(mean)} of the queries of new classes rightly"
    )
    if interval:
        sentence += f" (95 % interval {percent(interval[0])} to {percent(interval[1])}, {len(values)} seeds"
    else:
        sentence += f" ({len(values)} seed{'' if len(values) == 1 else 's'}"
    if test.get("num_queries"):
        sentence += f"; {test['num_queries']} queries, {test.get('num_classes', '?')} classes, one sealed test"
    base = best_baseline(history, "test")
    sentence += f"); the best baseline without training, {base[0]}, {percent(base[1])}." if base else ")."
    if base:
        not_beaten = [
            f"{name} ({percent(value)})" for name, value in baseline_values(history, "test").items() if value >= mean
        ]
        if not_beaten:
            warnings.append(
                f"The winner does not beat every baseline: {', '.join(not_beaten)} did as well without any training."
            )
        elif interval is None:
            warnings.append("There is one seed only, so nothing says how much of the difference is chance.")
        elif interval[0] <= base[1]:
            warnings.append(
                f"The difference to {base[0]} lies within the 95 % interval: it may be chance. More seeds would tell."
            )
    shipped = test.get("shipped") or {}
    if shipped.get("kind") == "training_free":
        name = BASELINE_NAMES.get(shipped.get("baseline", ""), shipped.get("baseline"))
        reason = str(shipped.get("reason", "no reason given")).rstrip(".")
        warnings.append(f"The model that ships is {name}, not the trained one: {reason}.")
    elif shipped.get("trial_id") not in (None, winner["trial_id"]):
        reason = str(shipped["reason"]).rstrip(".")
        warnings.append(f"The model that ships is {shipped['trial_id']}, not the first by validation: {reason}.")
    return sentence


def baseline_values(history: History, split: str) -> dict[str, float]:
    """What each way without training reached on `val` or `test`, by its name for a person."""
    return {
        name: float(history.baselines[key][split])
        for key, name in BASELINE_NAMES.items()
        if (history.baselines.get(key) or {}).get(split) is not None
    }


def best_baseline(history: History, split: str) -> tuple[str, float] | None:
    """The best way without training on `val` or `test`, and its accuracy."""
    return max(baseline_values(history, split).items(), key=lambda item: item[1], default=None)
