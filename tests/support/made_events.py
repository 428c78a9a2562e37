"""Events of a small search of every kind, in the order in which a search writes them."""

from __future__ import annotations

from sldml.journal import (
    AttemptBegun,
    AttemptEnded,
    BaselineScore,
    BaselinesScored,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldRow,
    FoldScored,
    FoldTable,
    LeftOut,
    StageChanged,
    Tested,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
)
from support.made_history import START, candidate, epoch, made_history, search_begun

CONFIG = {
    "loss": {"name": "arcface"},
    "miner": {"name": "none"},
    "encoder": {"name": "small_cnn"},
    "optimizer": {"lr": 0.001},
    "train": {"max_epochs": 3},
}


def trial_events(name: str = "t1", *values: float, start: float = START, state: str = "completed") -> list[Event]:
    """A trial that reported these accuracies."""
    events: list[Event] = [
        TrialStarted(trial_id=name, params={"optimizer.lr": 0.001, "loss.name": "arcface"}, config=CONFIG, time=start)
    ]
    for number, value in enumerate(values, start=1):
        own = {"val/accuracy": value, "train/loss": 1.0 / number}
        report = epoch(number, max(values[:number]), time=start + number, **own)
        events.append(TrialEpoch(trial_id=name, **report.model_dump()))
    if state != "running":
        events.append(TrialEnded(trial_id=name, state=state, time=start + len(values) + 0.5))
    return events


def made_events() -> list[Event]:
    """A search with two trials, one final model and a sealed test."""
    begun = search_begun()
    test = made_history(4).test
    assert test is not None
    final = test.finals[0].model_copy(
        update={
            "trial_id": "t1",
            "seeds": (1,),
            "confusions": test.finals[0].confusions[:1],
            "test_accuracy": test.finals[0].test_accuracy.model_copy(update={"values": (0.7,)}),
        }
    )
    assert test.shipped is not None
    shipped = test.shipped.model_copy(update={"trial_id": "t1", "seed": 1})
    rows = (
        FoldRow(name="dtw_1nn", kind="training_free", accuracies=(0.55,), candidate=candidate("dtw_1nn")),
        FoldRow(name="t1", kind="trained", accuracies=(0.6, 0.8)),
    )
    table = FoldTable(num_folds=2, num_scored=2, ending="all repeats are done", rows=rows)
    shipped = shipped.model_copy(update={"better_than_baseline": 0.98})
    results = test.model_copy(update={"finals": (final,), "shipped": shipped, "folds": table})
    scores = [
        BaselineScore(candidate=candidate("raw_1nn"), place=0, val=0.4),
        BaselineScore(candidate=candidate("dtw_1nn", center="first_frame"), place=1, val=0.5),
        BaselineScore(candidate=candidate("dtw_1nn"), place=2, val=0.6, val_std=0.05),
        BaselineScore(candidate=candidate("untrained"), place=3, val=0.3),
    ]
    tested = [score.model_copy(update={"test": score.val - 0.1}) for score in scores]
    folds = [
        FoldScored(candidate=scores[2].candidate, repeat=1, fold=1, num_folds=2, accuracy=0.55, time=START + 9.1),
        FoldScored(trial_id="t1", repeat=1, fold=1, num_folds=2, seed=7, accuracy=0.6, time=START + 9.2),
        FoldScored(trial_id="t1", repeat=1, fold=2, num_folds=2, seed=8, accuracy=0.8, time=START + 9.3),
        FoldScored(candidate=scores[2].candidate, repeat=1, fold=2, num_folds=2, error="boom", time=START + 9.4),
    ]
    return [
        begun,
        AttemptBegun(settings=begun.settings, slots=2, environment=begun.environment, time=START),
        StageChanged(name="search", state="started", time=START),
        BaselinesScored(scores=[scores[0], scores[2]], worker="h:1", seconds=0.5, time=START + 1),
        BaselinesScored(scores=[scores[1], scores[3]], worker="h:2", seconds=0.5, time=START + 1),
        StageChanged(name="search", state="ended", time=START + 2),
        *trial_events("t1", 0.5, 0.7, 0.6),
        *trial_events("t2", 0.3, state="running"),
        TrialPaused(trial_id="t2", time=START + 7),
        TrialLost(trial_id="t2", error="WorkerCrashedError", time=START + 8),
        TrialEnded(trial_id="t2", state="failed", time=START + 9),
        LeftOut(what="1 of 3 trials", time=START + 9),
        *folds,
        FinalStarted(trial_id="t1", seed=1, config=CONFIG, time=START + 10),
        FinalEpoch(trial_id="t1", seed=1, epoch=1, metrics={"train/loss": 0.5}, time=START + 11),
        FinalEnded(trial_id="t1", seed=1, state="completed", time=START + 12),
        BaselinesScored(scores=tested, time=START + 14),
        Tested(results=results, time=START + 15),
        AttemptEnded(state="completed", time=START + 16),
    ]
