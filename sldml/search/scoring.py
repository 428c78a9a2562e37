"""The baselines of a search as work for its processes: groups of candidates that are scored on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sldml.config.training import EvaluationConfig
from sldml.journal import Candidate, History
from sldml.recognition.baselines import grouped


@dataclass(frozen=True)
class Scoring:
    """Candidates that one process scores together, because they share their work."""

    candidates: tuple[Candidate, ...]
    places: tuple[int, ...]
    """Their positions among all candidates of the search."""
    evaluation: EvaluationConfig

    @property
    def name(self) -> str:
        """Its displayed name."""
        names = dict.fromkeys(candidate.baseline for candidate in self.candidates)
        return f"baselines {', '.join(names)} (candidates {', '.join(str(place + 1) for place in self.places)})"


def missing_scorings(candidates: Sequence[Candidate], history: History, evaluation: EvaluationConfig) -> list[Scoring]:
    """The work that is left: the groups of all candidates that have no score in the journal yet."""
    known = [score.candidate for baseline in history.baselines.values() for score in baseline.scores]
    missing = [place for place, candidate in enumerate(candidates) if candidate not in known]
    groups = grouped([candidates[place] for place in missing])
    return [
        Scoring(
            candidates=tuple(candidates[missing[number]] for number in group),
            places=tuple(missing[number] for number in group),
            evaluation=evaluation,
        )
        for group in groups
    ]


def num_scored(history: History) -> int:
    """Number of candidates with a score."""
    return sum(len(baseline.scores) for baseline in history.baselines.values())
