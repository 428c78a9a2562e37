"""Made searches at the end of their trials: who is a finalist, and how each did on the class folds."""

from __future__ import annotations

from collections.abc import Sequence

from sldml.config.space import SearchSettings
from sldml.journal import Baseline, BaselineScore, Candidate, FoldScored, History, TrialRecord
from sldml.search.finalists import Finalists
from support.made_history import epoch, search_begun
from support.small import trial_config

NORMALIZATIONS = ("every_frame", "first_frame", "mean")
CONFIG = trial_config().to_dict()
"""A configuration of three epochs."""


def free(name: str, place: int = 0) -> Candidate:
    """The candidates of a baseline differ in their normalisation."""
    return Candidate(baseline=name, normalize={"center": NORMALIZATIONS[place]})


def trials_of(history: History, *values: float) -> None:
    """Completed trials t1, t2 … with these validation values."""
    for value in values:
        name = f"t{len(history.trials) + 1}"
        epochs = [epoch(number, value) for number in (1, 2, 3)]
        params = {"optimizer.lr": 0.001 * (len(history.trials) + 1)}
        history.trials[name] = TrialRecord(name, {**CONFIG}, 0.0, "completed", epochs, params=params)


def searched(*values: float, default: str | None = None, **baselines: float | Sequence[float]) -> History:
    """A search whose trials t1, t2 … and whose baselines (of one candidate or several) have these values."""
    history = History(search_begun(prepared={"hash": "abc"}))
    trials_of(history, *values)
    if default is not None:
        changed = {"default": history.trials[default].params}
        history.begun = history.search.model_copy(update=changed)
    for name, found in baselines.items():
        vals = [found] if isinstance(found, float) else list(found)
        scores = tuple(BaselineScore(candidate=free(name, place), val=val) for place, val in enumerate(vals))
        history.baselines[name] = Baseline(name, scores)
    return history


def scored_on(history: History, *scores: tuple[str | Candidate, Sequence[float | str]], num_folds: int = 5) -> History:
    """The history with the accuracies (or errors) of trials, baselines or candidates on the folds, in their order.

    The name of a baseline stands for its first candidate.
    """
    for who, values in scores:
        is_trial = isinstance(who, str) and who in history.trials
        candidate = who if isinstance(who, Candidate) else free(who)
        for number, value in enumerate(values):
            repeat, fold = divmod(number, num_folds)
            history.apply(
                FoldScored(
                    trial_id=str(who) if is_trial else None,
                    candidate=None if is_trial else candidate,
                    repeat=repeat + 1,
                    fold=fold + 1,
                    num_folds=num_folds,
                    accuracy=None if isinstance(value, str) else value,
                    error=value if isinstance(value, str) else None,
                )
            )
    return history


def finalists_of(history: History, num_folds: int = 5, **settings: int) -> Finalists:
    """The finalists of a made search; of one repeat unless `settings` say otherwise."""
    return Finalists.of(history, SearchSettings(**{"fold_repeats": 1, **settings}), num_folds)
