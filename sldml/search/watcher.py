"""The interface for showing the progress of a search, in a terminal, a log or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sldml.journal import Event, History
from sldml.search.final import FinalTraining, FoldScoring, FoldTraining
from sldml.search.steps import Step


class Watcher(Protocol):
    """Shows the progress of a search."""

    def say(self, message: str) -> None:
        """Show a line."""

    def doing(self, what: str) -> None:
        """A step without a count begins."""

    def counting(self, what: str) -> Callable[[int, int], None]:
        """A step with a count begins; the function returned takes (done, total)."""

    def searching(
        self,
        num_trials: int,
        history: History,
        *,
        num_slots: int,
        planned_epochs: int | None,
        promotes: bool,
        max_epochs: int,
        deadline: float | None,
    ) -> None:
        """The trials begin, or continue after those in `history`.

        Args:
            num_trials: Number of trials, earlier ones included.
            history: The journal so far.
            num_slots: Number of concurrent trials.
            planned_epochs: Number of epochs of all trials together; None if unknown.
            promotes: Whether trials pause, and only the best ones continue.
            max_epochs: Epochs of a whole trial.
            deadline: When the report is to be there, seconds since 1970.
        """

    def beside(self, what: str, done: int, total: int) -> None:
        """How much is done of other work beside the trials."""

    def steps(self, steps: Sequence[Step]) -> None:
        """The steps of the whole search; called again when more is known about them."""

    def step(self, name: str) -> None:
        """A step begins that is no stage in the journal."""

    def training(
        self, what: str, plan: Sequence[FinalTraining | FoldTraining | FoldScoring], *, num_slots: int
    ) -> None:
        """Final models or class folds begin; more class folds may follow."""

    def fold_happened(self, fold: FoldTraining | FoldScoring, result: Mapping[str, Any] | None) -> None:
        """A class fold started (`result` is None) or reported."""

    def happened(self, event: Event, history: History) -> None:
        """An event was written to the journal and added to `history`."""
