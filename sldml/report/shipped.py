"""What a search ships: one row that all views of a search share."""

from __future__ import annotations

from dataclasses import dataclass

from sldml.config.dotted import flatten
from sldml.journal import AgainstBaseline, Candidate, History
from sldml.report.figures.look import BASELINE_NAMES
from sldml.report.text import chance, number, points


@dataclass(frozen=True)
class ShippedRow:
    """The saved model of a search."""

    name: str
    """A trial with its seed, or a baseline."""
    settings: list[tuple[str, str]]
    """Sampled parameters of the trial, or settings of the baseline's candidate: path and value."""
    is_trained: bool
    accuracy: float
    """On the sealed test."""
    val: float | None
    """The validation accuracy of its trial or candidate."""
    reason: str

    @property
    def sentence(self) -> str:
        """The reason as a sentence."""
        return f"{self.reason[:1].upper()}{self.reason[1:].rstrip('.')}."


def shipped_row(history: History) -> ShippedRow | None:
    """What a search ships; None if it saved no model."""
    shipped = history.shipped
    if shipped is None:
        return None
    if shipped.candidate is None:
        trial = history.trials[shipped.name]
        settings = [(path, number(value)) for path, value in sorted(trial.params.items())]
        name = f"{trial.trial_id} (seed {shipped.seed})"
        return ShippedRow(name, settings, True, shipped.accuracy, trial.value, shipped.reason)
    known = history.baselines.get(shipped.candidate.baseline)
    scores = () if known is None else known.scores
    val = next((score.val for score in scores if score.candidate == shipped.candidate), None)
    name = f"{baseline_name(shipped.name)} (no training)"
    return ShippedRow(name, candidate_settings(shipped.candidate), False, shipped.accuracy, val, shipped.reason)


def chances_sentence(history: History) -> str | None:
    """The probabilities that the saved model is better than others, by the class folds; None if none is known."""
    test = history.test
    if test is None or test.shipped is None:
        return None
    shipped, free = test.shipped, test.folds and next((r for r in test.folds.rows if r.kind == "training_free"), None)
    parts = []
    if shipped.better_than_baseline is not None and free:
        parts.append(f"than {baseline_name(free.name)}: {chance(shipped.better_than_baseline)}")
    if shipped.better_than_default is not None:
        parts.append(f"than the default configuration: {chance(shipped.better_than_default)}")
    return f"probability of being better {'; '.join(parts)}" if parts else None


def against_sentence(history: History) -> str | None:
    """The difference of the saved model to the best one without training in a sentence; None without a difference."""
    found = None if history.test is None else history.test.against
    return None if found is None else difference_sentence(found, "on the sealed test")


def difference_sentence(found: AgainstBaseline, where: str) -> str:
    """The difference of a model to a baseline in a sentence; `where`: on which queries."""

    def interval(ends: tuple[float, float]) -> str:
        return f"[{points(ends[0])}, {points(ends[1])}]"

    other = f"{baseline_name(found.candidate.baseline)} ({100 * found.accuracy:.1f} %)"
    return (
        f"{points(found.difference)} points compared with {other} {where}; paired 95 % intervals "
        f"{interval(found.over_queries)} over queries, {interval(found.over_classes)} over classes."
    )


def candidate_settings(candidate: Candidate) -> list[tuple[str, str]]:
    """What tells a candidate from others, as text: its normalisation, and names of encoder and representation."""
    found = [(path, number(value)) for path, value in flatten({"normalize": candidate.normalize})]
    named = {"encoder.name": candidate.encoder, "representation.name": candidate.representation}
    return found + [(path, str(part["name"])) for path, part in named.items() if part is not None]


def baseline_name(key: str) -> str:
    """The displayed name of a baseline."""
    return BASELINE_NAMES.get(key, key)
