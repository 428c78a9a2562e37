"""The outcome of a search as one JSON object, for programs: `--summary FILE`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sldml.journal import ENDED, FoldTable, History, Record
from sldml.recognition.baselines import BASELINES
from sldml.report.comparison import comparison_of
from sldml.report.files import Json
from sldml.report.noise import against_best, indistinguishable, noise_sentence, trial_score
from sldml.report.search_time import EPOCH_PARTS, training_spans
from sldml.report.shipped import against_sentence, chances_sentence


@dataclass
class Timing:
    """The duration of this call and of its trainings."""

    started: float
    """Seconds since 1970."""
    slots: int = 1
    """Number of concurrent trials."""
    stages: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage, seconds."""

    def to_json(self, history: History) -> Json:
        """`wall_s`: duration of this call; `trial_s`: sum of its trials' durations; `bare_s`: their time in data, step
        and evaluation; `baselines_s`: time in which processes scored baselines beside them; `efficiency`: the sum of
        these two over the wall time of the search times the number of slots."""
        bare = 0.0
        for record in history.trials.values():
            epochs = [e for e in record.epochs if e.time >= self.started]
            bare += sum(e.seconds(part) for e in epochs for part in EPOCH_PARTS)
        spans = [span for span in training_spans(history) if span.kind not in ("final", "baselines")]
        trial = sum(max(0.0, span.end - max(span.begin, self.started)) for span in spans)
        baselines = sum(event.seconds for event in history.scorings if event.time >= self.started)
        search_s = self.stages.get("search", 0.0)
        return {
            "wall_s": time.time() - self.started,
            "trial_s": trial,
            "bare_s": bare,
            "baselines_s": baselines,
            "slots": self.slots,
            "search_s": search_s,
            "efficiency": (bare + baselines) / (self.slots * search_s) if search_s > 0 and bare > 0 else None,
            "stages_s": dict(self.stages),
        }


def search_summary(
    history: History, state: str, timing: Timing, places: Mapping[str, Any], error: str | None = None
) -> Json:
    """The summary of a search. Accuracies are fractions; missing values are null.

    `left_out` lists what did not fit into the time budget of this call. `within_noise` lists the trials that are not
    distinguishable from the best one by validation (`sldml.report.noise`; null if unknown), and `noise` says so in a
    sentence.

    Args:
        history: The content of the journal.
        state: `completed`, `interrupted` or `failed`.
        timing: The times of this call.
        places: `mlflow`, `report` and `model`: paths and identifiers of the results.
        error: The reason of a failure.
    """
    counts, ranked, test, begun = history.counts(), history.ranked(), history.test, history.begun
    others = against_best(history)
    alike = indistinguishable(others) if others else []
    return {
        "name": None if begun is None else begun.name,
        "space": None if begun is None else begun.space.name,
        "state": state,
        "error": error,
        "left_out": history.left_out,
        "trials": {
            "requested": _requested(history),
            **{name: counts[name] for name in ENDED},
            "unfinished": counts["running"] + counts["paused"],
        },
        "best": None
        if not ranked
        else {
            "trial_id": ranked[0].trial_id,
            "val_accuracy": ranked[0].value,
            **_spread(history),
            "config": ranked[0].config,
        },
        "within_noise": alike,
        "noise": noise_sentence(ranked[0], len(others), alike) if ranked else None,
        "baselines": {name: _baseline(history, name) for name in BASELINES},
        "final": [] if test is None else [_json(final, exclude={"confusions"}) for final in test.finals],
        "comparison": comparison_of(history),
        "folds": None if test is None or test.folds is None else _folds(test.folds),
        "shipped": _json(history.shipped),
        "chances_sentence": chances_sentence(history),
        "against": None if test is None else _json(test.against),
        "against_sentence": against_sentence(history),
        "latency": None if test is None else _json(test.latency),
        "timing": timing.to_json(history),
        "environment": None if begun is None else _json(begun.environment),
        "prepared": None if begun is None else _json(begun.prepared),
        **places,
    }


def _spread(history: History) -> dict[str, float | None]:
    """Standard deviations of the best trial's validation after its last epoch: over the exemplar draws (null without
    draws) and over class folds (null with one set of validation classes)."""
    score = trial_score(history.ranked()[0])
    assert score is not None
    return {"val_accuracy_std": score.draw_std, "val_accuracy_fold_std": score.fold_std}


def _json(record: Record | None, exclude: set[str] | None = None) -> Json | None:
    return None if record is None else record.model_dump(mode="json", exclude=exclude)


def _folds(table: FoldTable) -> Json:
    rows = [{**row.model_dump(mode="json"), "mean": row.mean, "std": row.std} for row in table.rows]
    return {**table.model_dump(mode="json"), "rows": rows}


def _baseline(history: History, name: str) -> Json:
    """The best candidate of a baseline on validation, and all candidates; values are null if it was not scored."""
    known = history.baselines.get(name)
    if known is None:
        return dict.fromkeys(("val", "test", "normalize", "encoder", "representation", "candidates"))
    scores = [{**score.candidate.model_dump(), "val": score.val, "test": score.test} for score in known.scores]
    best = known.best
    shown = best.candidate.model_dump(exclude={"baseline"})
    return {"val": best.val, "test": best.test, **shown, "candidates": scores}


def _requested(history: History) -> int | None:
    begun = history.begun
    if begun is None:
        return None
    settings = history.attempts[-1].settings if history.attempts else begun.settings
    return settings.trials * (1 if begun.compare is None else len(begun.compare.choices))
