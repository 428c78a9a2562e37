"""Searches that never ran, for what compares several: their histories, and their journals on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sldml.journal import FoundSearch, History, Journal
from support.made_history import START, made_history


def search(name: str, num_train: int = 24, **changes: Any) -> FoundSearch:
    """A made search with `num_train` training classes and 6 others that validate."""
    history = made_history(12, final=changes.pop("final", True))
    history.search = {**history.search, "name": name, "environment": {"commit": "c" * 40, "dirty": False}}
    history.search["split"] = {
        **history.search["split"],
        "train_classes": [f"B{i}" for i in range(num_train)],
        "description": f"made: {num_train + 6} auxiliary classes",
    }
    for trial in history.trials.values():
        protocol = {"name": "made", "num_auxiliary": num_train + 6, "exemplar": {"name": "first"}}
        trial.config = {"data": {"dataset": "synthetic"}, "protocol": protocol}
    for part, values in changes.items():
        history.search[part] = {**history.search[part], **values}
    return FoundSearch(name, Path("/results") / name, history)


def three_searches(names: Sequence[str] = ("small", "middle", "large")) -> list[FoundSearch]:
    """They differ in the number of auxiliary classes (12, 20, 30) and in what they reached."""
    found = []
    for place, (name, number) in enumerate(zip(names, (6, 14, 24), strict=True)):
        one = search(name, number)
        assert one.history.test
        mean = 0.5 + 0.1 * place
        accuracy = {"mean": mean, "ci95": [mean - 0.05, mean + 0.05], "values": [mean] * 3}
        one.history.test["finals"][0]["test_accuracy"] = accuracy
        found.append(one)
    return found


def write_journal(folder: Path, history: History, *, cut: bool = False) -> Path:
    """What a search leaves: its journal; with `cut`, of a running one whose last line is not whole."""
    journal = Journal(folder / "journal.jsonl")
    journal.append("search", **{key: value for key, value in history.search.items() if key != "time"}, time=START)
    journal.append("attempt", time=START)
    journal.append("baselines", results=history.baselines, time=START + 1)
    for trial in history.trials.values():
        known = {"trial_id": trial.trial_id, "params": trial.params, "config": trial.config}
        journal.append("trial_started", **known, time=trial.started)
        for epoch in trial.epochs:
            metrics = {key: value for key, value in epoch.items() if key != "time"}
            journal.append("epoch", trial_id=trial.trial_id, metrics=metrics, time=epoch["time"])
        if trial.state != "running":
            journal.append(
                "trial_ended", trial_id=trial.trial_id, state=trial.state, error=trial.error, time=trial.ended
            )
    if history.test is not None:
        journal.append("test", results=history.test, time=START + 9000)
    journal.close()
    if cut:
        with journal.path.open("a") as file:
            file.write('{"event": "epo')
    return journal.path
