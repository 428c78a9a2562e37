"""Searches that never ran, for what compares several: their histories, and their journals on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sldml.journal import (
    Accuracy,
    BaselinesScored,
    FoundSearch,
    History,
    Journal,
    Tested,
    TrialEnded,
    TrialEpoch,
    TrialStarted,
)
from support.made_history import START, made_history, search_begun


def search(name: str, num_train: int = 24, **changes: Any) -> FoundSearch:
    """A made search with `num_train` training classes and 6 others that validate."""
    history = made_history(12, final=changes.pop("final", True))
    split = {
        "train_classes": [f"B{i}" for i in range(num_train)],
        "description": f"made: {num_train + 6} auxiliary classes",
    }
    environment = {"commit": "c" * 40, "dirty": False}
    parts = {"split": split, "environment": environment}
    merged = {part: {**parts.get(part, {}), **changes.get(part, {})} for part in {**parts, **changes}}
    history.begun = search_begun(name=name, **merged)
    for trial in history.trials.values():
        protocol = {"name": "made", "num_auxiliary": num_train + 6, "exemplar": {"name": "first"}}
        trial.config = {"data": {"dataset": "synthetic"}, "protocol": protocol}
    return FoundSearch(name, Path("/results") / name, history)


def three_searches(names: Sequence[str] = ("small", "middle", "large")) -> list[FoundSearch]:
    """They differ in the number of auxiliary classes (12, 20, 30) and in what they reached."""
    found = []
    for place, (name, number) in enumerate(zip(names, (6, 14, 24), strict=True)):
        one = search(name, number)
        assert one.history.test
        mean = 0.5 + 0.1 * place
        accuracy = Accuracy(mean=mean, ci95=(mean - 0.05, mean + 0.05), values=[mean] * 3)
        first = one.history.test.finals[0].model_copy(update={"test_accuracy": accuracy})
        one.history.test = one.history.test.model_copy(update={"finals": (first, *one.history.test.finals[1:])})
        found.append(one)
    return found


def write_journal(folder: Path, history: History, *, cut: bool = False) -> Path:
    """What a search leaves: its journal; with `cut`, of a running one whose last line is not whole."""
    journal = Journal(folder / "journal.jsonl")
    journal.append(history.search)
    for attempt in history.attempts:
        journal.append(attempt)
    scores = [score for baseline in history.baselines.values() for score in baseline.scores]
    journal.append(BaselinesScored(scores=scores, time=START + 1))
    for trial in history.trials.values():
        name = trial.trial_id
        journal.append(TrialStarted(trial_id=name, params=trial.params, config=trial.config, time=trial.started))
        for epoch in trial.epochs:
            journal.append(TrialEpoch(trial_id=name, **epoch.model_dump(exclude={"trial_id", "event"})))
        if trial.ended is not None:
            journal.append(TrialEnded(trial_id=name, state=trial.state, error=trial.error, time=trial.ended))
    if history.test is not None:
        journal.append(Tested(results=history.test, time=START + 9000))
    journal.close()
    if cut:
        with journal.path.open("a") as file:
            file.write('{"event": "epo')
    return journal.path
