"""A search over several studies, one for each choice of a comparison, whose trials take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from sldml.config.space import SearchSpace
from sldml.config.space_tree import Scalar
from sldml.journal import OBJECTIVE, TrialRecord
from sldml.search.searcher import MODE, StudySearch, TrialNames

_FINISHED: Any = Searcher.FINISHED


class ComparisonSearch(Searcher):  # type: ignore[misc]
    """Hands out the same number of trials for each choice, in turn, so that no slot waits between two choices.

    Each choice has a study of its own, which knows its own trials alone and is seeded like the others: what a choice
    is given does not depend on how the others do.
    """

    def __init__(
        self,
        spaces: Mapping[str, SearchSpace],
        *,
        earlier: Mapping[str, list[TrialRecord]],
        num_trials: int,
        first: Sequence[Mapping[str, Scalar]] = (),
    ) -> None:
        """
        Args:
            spaces: The space of each choice.
            earlier: The trials that each choice has had in earlier calls.
            num_trials: How many each is to have in all.
            first: Configurations to begin with, by path; each goes to the choices whose space has it.
        """
        super().__init__(metric=OBJECTIVE, mode=MODE)
        names = TrialNames(sum(len(records) for records in earlier.values()))
        self._studies: dict[str, StudySearch] = {}
        self._left: dict[str, int] = {}
        for choice, space in spaces.items():
            records = earlier.get(choice, [])
            begins = [kept for params in first if (kept := space.begins_with(params)) is not None]
            self._studies[choice] = StudySearch(
                space, earlier=records, seed=space.search.seed + len(records), first=begins, names=names
            )
            self._left[choice] = max(0, num_trials - sum(record.has_ended for record in records))
        self._study_of: dict[str, StudySearch] = {}

    @property
    def num_left(self) -> int:
        """So many trials are still to be handed out."""
        return sum(self._left.values())

    def stop_telling(self) -> None:
        """From now on trials end because the search does: they stay unfinished, which is no result."""
        for study in self._studies.values():
            study.stop_telling()

    def suggest(self, trial_id: str) -> Any:
        """The next configuration of the choice that has most trials left, of equals the first."""
        while self.num_left > 0:
            choice = max(self._left, key=self._left.__getitem__)
            suggested = self._studies[choice].suggest(trial_id)
            if suggested is _FINISHED:
                self._left[choice] = 0
                continue
            self._left[choice] -= 1
            self._study_of[trial_id] = self._studies[choice]
            return suggested
        return _FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the trial's own study."""
        self._study_of[trial_id].on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the trial's own study."""
        self._study_of[trial_id].on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a search is resumed from its journal, never from Tune's snapshot."""
