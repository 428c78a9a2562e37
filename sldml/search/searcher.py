"""Proposals for the next trials, of one study, or of several that take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar
from sldml.journal import OBJECTIVE, TrialRecord
from sldml.search.study import Study


class Proposals:
    """Proposes a fixed number of trials for each choice of a comparison. A plain search has one choice.

    Each choice has a study of its own, which sees its own trials alone and is seeded like the others: the proposals
    for a choice do not depend on the results of the others. Choices take turns, so that no slot waits between two.
    """

    def __init__(
        self,
        spaces: Mapping[str, SearchSpace],
        *,
        earlier: Mapping[str, Sequence[TrialRecord]],
        num_trials: int,
        first: Sequence[Mapping[str, Scalar]] = (),
    ) -> None:
        """
        Args:
            spaces: The space of each choice.
            earlier: The trials of each choice in earlier calls.
            num_trials: Number of trials for each choice, earlier ones included.
            first: Configurations to propose first, by path, to each choice whose space contains them.
        """
        self.studies: dict[str, Study] = {}
        self._left: dict[str, int] = {}
        self._study_of: dict[str, Study] = {}
        # Not their number: a trial that was interrupted before its worker had started is not among them.
        known = [record.trial_id for records in earlier.values() for record in records]
        self._num_named = max((int(name[1:]) for name in known if name[1:].isdigit()), default=0)
        for choice, space in spaces.items():
            records = earlier.get(choice, [])
            own = [kept for params in first if (kept := space.restrict(params)) is not None]
            seed = space.search.seed + len(records)
            self.studies[choice] = Study(space, earlier=records, seed=seed, first=own)
            begun = sum(record.has_ended or record.state == "paused" for record in records)
            self._left[choice] = max(0, num_trials - begun)

    @property
    def num_left(self) -> int:
        """Number of trials that are still to be proposed."""
        return sum(self._left.values())

    def suggest(self, key: str) -> dict[str, Any] | None:
        """The next configuration, of the choice with the most trials left (the first of equals); None after all."""
        while self.num_left > 0:
            choice = max(self._left, key=self._left.__getitem__)
            proposal = self.studies[choice].propose(key, self._new_name)
            if proposal is None:
                self._left[choice] = 0
                continue
            self._left[choice] -= 1
            self._study_of[key] = self.studies[choice]
            return proposal
        return None

    def resume(self, key: str, record: TrialRecord) -> dict[str, Any]:
        """The configuration of a paused trial, which continues. In a comparison, no trial pauses."""
        (study,) = self.studies.values()
        self._study_of[key] = study
        return study.resume(key, record)

    def _new_name(self) -> str:
        """t0001, t0002 …"""
        self._num_named += 1
        return f"t{self._num_named:04d}"

    def reported(self, key: str, result: Mapping[str, Any]) -> None:
        """Record a report in the study of the trial."""
        self._study_of[key].report(key, result["epoch"], result[OBJECTIVE])

    def ended(self, key: str, state: str, result: Mapping[str, Any]) -> None:
        """Record the end of a trial, or of its part until a rung, in its study: its state and its last report."""
        self._study_of.pop(key).end(key, state, result.get(OBJECTIVE))
