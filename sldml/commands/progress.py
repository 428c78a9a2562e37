"""The progress of a search: one line per event and, in a terminal, a live table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from types import TracebackType
from typing import Any, Self

from sldml.commands.board import Beside, Board, new_row, recorded_row
from sldml.commands.live import CountProgress, LiveConsole, LiveView, clock, rough_duration
from sldml.config.trial import TrialConfig
from sldml.journal import (
    AttemptBegun,
    Epoch,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    History,
    LeftOut,
    StageChanged,
    TrainingRecord,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
)
from sldml.search.final import FinalTraining, FoldScoring, FoldTraining
from sldml.search.recorder import epoch_fields
from sldml.search.steps import Step

_EVERY_S = 5.0
"""Without a terminal, long counts are printed at most this often."""
_STILL_RUNNING_S = 60.0
"""Without a terminal, running trainings are reported at most this often."""


class ProgressPrinter:
    """Prints the progress of a search; a context manager that shows a live table in a terminal."""

    def __init__(self, console: LiveConsole | None = None) -> None:
        self.console = console or LiveConsole(highlight=False)
        # Wrap lines between words in a terminal, but not in a log.
        self.console.soft_wrap = not self.console.is_terminal
        self._live: LiveView | None = None
        self._board: Board | None = None
        self._count_printed = 0.0
        self._printed_at = 0.0
        self._epochs_since = 0
        self._begun = time.time()
        self._steps: list[Step] = []
        self._step: Step | None = None
        self._deadline: float | None = None
        self._planned: dict[str, int] = {}
        """Number of epochs of each training, where it is fixed."""

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = LiveView(self.console)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, message: str) -> None:
        """Print a line."""
        self.console.print(message, markup=False)

    def doing(self, what: str) -> None:
        """A step without a count begins; shown in a terminal only."""
        if self._live is not None:
            self._live.board = self._live.count = None
            self._live.doing, self._live.doing_since = what, time.time()

    def steps(self, steps: Sequence[Step]) -> None:
        """The steps of the whole search; called again when more is known about them."""
        self._steps = list(steps)

    def step(self, name: str) -> None:
        """A step begins."""
        self._step = next((step for step in self._steps if step.name == name), None)
        if self._live is not None:
            self._live.step = self._step_text
        elif self._step is not None:
            self.say(self._step_text)

    @property
    def _place(self) -> int:
        """The number of the current step, from 1; 0 before the first."""
        names = [step.name for step in self._steps]
        return 0 if self._step is None else names.index(self._step.name) + 1

    @property
    def _step_text(self) -> str:
        return "" if self._step is None else f"step {self._place} of {len(self._steps)}: {self._step.title}"

    def counting(self, what: str) -> Callable[[int, int], None]:
        """A function (done, total) that shows the progress of `what`."""
        count = CountProgress(what, time.time())
        self.doing(what)
        self._count_printed = time.monotonic()

        def show(done: int, total: int) -> None:
            count.done, count.total = done, total
            if self._live is not None:
                if done == total:
                    self.doing("" if self._step is not None else what)
                else:
                    self._live.count = count
                return
            now = time.monotonic()
            if now - self._count_printed > _EVERY_S or done == total:
                self._count_printed = now
                self.say(f"{what}: {done} of {total}")

        return show

    # ------------------------------------------------------------------------------------------------ trainings

    def searching(
        self,
        num_trials: int,
        history: History,
        *,
        num_slots: int = 1,
        planned_epochs: int | None = None,
        promotes: bool = False,
        max_epochs: int,
        deadline: float | None = None,
    ) -> None:
        """The trials begin, or continue after those in `history`; see `Board`."""
        self._deadline = deadline
        self._begin(
            Board.of_trials(
                history,
                num_trials,
                time.time(),
                num_slots=num_slots,
                planned_epochs=planned_epochs,
                promotes=promotes,
                max_epochs=max_epochs,
            )
        )

    def training(
        self, what: str, plan: Sequence[FinalTraining | FoldTraining | FoldScoring], *, num_slots: int = 1
    ) -> None:
        """Final models or class folds begin."""
        self._planned = {entry.name: entry.num_epochs for entry in plan}
        epochs = sum(self._planned.values())
        self._begin(Board(what, len(plan), time.time(), planned_epochs=epochs, num_slots=num_slots))

    def beside(self, what: str, done: int, total: int) -> None:
        """How much is done of other work beside the trials."""
        board, now = self._board, time.time()
        if board is None:
            return
        known = board.beside
        started, before = (now, done) if known is None else (known.started, known.done_before)
        board.beside = Beside(what, done, total, started, before)
        self._say_still_running(board, now)

    def fold_happened(self, fold: FoldTraining | FoldScoring, result: Mapping[str, Any] | None) -> None:
        """A class fold started (`result` is None) or reported; the journal has only the score of a fold."""
        name = fold.name
        if result is None and name not in self._planned and self._board is not None:
            self._planned[name] = fold.num_epochs
            self._board.add(fold.num_epochs)
        if result is None:
            self._started(name, fold.config, time.time())
        elif result.get("state") in ("running", "completed"):
            self._epoch(name, Epoch(time=time.time(), **epoch_fields(result)))
        if result is not None and result.get("state") != "running" and self._board is not None:
            self._board.end(name, str(result.get("state", "failed")))

    def happened(self, event: Event, history: History) -> None:
        """Show an event of the journal."""
        match event:
            case AttemptBegun():
                self.doing("reading the journal of the search")
            case TrialStarted():
                self._started(event.trial_id, event.config, event.time)
            case FinalStarted():
                self._started(_name(event), event.config, event.time)
            case TrialEpoch() | FinalEpoch():
                self._epoch(_name(event), event, history.training(event))
            case TrialPaused():
                if self._board is not None:
                    self._board.end(event.trial_id, "paused")
                self._print_trial(event, history)
            case TrialEnded():
                if self._board is not None:
                    self._board.end(event.trial_id, event.state)
                if not history.trials[event.trial_id].pauses or event.state != "pruned":  # else it was shown before
                    self._print_trial(event, history)
            case FinalEnded():
                if self._board is not None:
                    self._board.end(_name(event), event.state)
                self._print_final(event, history)
            case TrialLost():
                if self._board is not None:
                    self._board.end(event.trial_id, "lost")
                self.say(f"{event.trial_id} is lost ({event.error}): it is tried again when the search is resumed")
            case FoldScored():
                self._print_fold(event, history)
            case LeftOut():
                self.say(f"time budget: left out {event.what}")
            case StageChanged():
                if event.state == "started":
                    self.step(event.name)
                self.doing("")

    def _begin(self, board: Board) -> None:
        self._board = board
        board.step, board.begun = self._step_text, self._begun
        board.deadline = self._deadline
        board.later_epochs = sum(step.num_epochs for step in self._steps[self._place :])
        self._printed_at, self._epochs_since = board.started, 0
        if self._live is not None:
            self._live.count, self._live.board = None, board

    def _started(self, name: str, config: Mapping[str, Any], now: float) -> None:
        if self._board is not None:
            self._board.start(new_row(name, config, now, self._planned.get(name)))

    def _epoch(self, name: str, report: Epoch, record: TrainingRecord | None = None) -> None:
        """`record`: the training in the journal; one that resumes after an interruption has no start event."""
        board, now = self._board, report.time
        if board is None:
            return
        if name not in board.running and record is not None:
            board.start(recorded_row(record, now, name, self._planned.get(name), before=report.epoch))
        board.epoch(name, report)
        self._epochs_since += 1
        self._say_still_running(board, now)

    def _say_still_running(self, board: Board, now: float) -> None:
        if self._live is None and now - self._printed_at >= _STILL_RUNNING_S:
            self._print_running(board, now)

    def _print_running(self, board: Board, now: float) -> None:
        """Without a terminal: report running trainings if none has ended for a while."""
        parts = [f"{board.num_ended} of {board.total} ended", f"{len(board.running)} running"]
        parts.append(f"{self._epochs_since} epochs in the last {clock(now - self._printed_at)}")
        parts += [f"best {row.value or 0.0:.3f} ({row.name})" for row in board.best[:1]]
        if (beside := board.beside) is not None and beside.done < beside.total:
            parts.append(f"{beside.what} {beside.done} of {beside.total}")
        if (left := board.seconds_left(now)) is not None:
            parts.append(f"{rough_duration(left)} left")
        self._printed_at, self._epochs_since = now, 0
        self.say(f"{board.kind} still running: {', '.join(parts)}")

    def _print_trial(self, event: TrialPaused | TrialEnded, history: History) -> None:
        record = history.trials[event.trial_id]
        config = TrialConfig.model_validate(record.config)
        value = "" if record.value is None else f"{record.value:.3f}"
        choices = f"{config.loss.name}, miner {config.miner.name}, {config.encoder.name}, lr {config.optimizer.lr:.1e}"
        error = f": {record.error}" if record.error else ""
        board = self._board
        best = next((f"{leader.value:.3f} of {leader.trial_id}" for leader in history.ranked()), "none")
        # One that was paused has been seen, also while it continues.
        seen = sum(trial.has_ended or bool(trial.pauses) for trial in history.trials.values())
        total = seen if board is None else board.total
        self._print_ended(
            f"{seen:>4}/{total} {record.trial_id} {record.state:<9} {value} "
            f"({len(record.epochs)} epochs, {record.seconds:.0f} s; best {best}) {choices}{error}",
            event.time,
        )

    def _print_final(self, event: FinalEnded, history: History) -> None:
        record = history.finals[event.trial_id, event.seed]
        seconds = event.time - record.started
        error = f": {event.error}" if event.error else ""
        what = f"final {_name(event)}: {event.state}, {len(record.epochs)} epochs, {seconds:.0f} s{error}"
        self._print_ended(what, event.time)

    def _print_ended(self, line: str, now: float) -> None:
        self._printed_at, self._epochs_since = now, 0
        self.say(line)

    def _print_fold(self, event: FoldScored, history: History) -> None:
        """The mean of a configuration after each repeat, and every failure."""
        name = event.trial_id if event.candidate is None else event.candidate.baseline
        if event.error is not None:
            self.say(f"class folds {name}: fold {event.fold}, repeat {event.repeat}: {event.error}")
            return
        scored = [history.folds.get((event.key, event.repeat, fold + 1)) for fold in range(event.num_folds)]
        found = [fold.accuracy for fold in scored if fold is not None and fold.accuracy is not None]
        if event.candidate is None and len(found) == event.num_folds:
            over = f"over the {event.num_folds} folds of repeat {event.repeat}"
            self.say(f"class folds {name}: {mean(found):.3f} ± {stdev(found):.3f} {over}")


def _name(event: TrialEpoch | TrialEnded | FinalStarted | FinalEpoch | FinalEnded) -> str:
    """The displayed name of a training."""
    return event.trial_id if isinstance(event, TrialEpoch | TrialEnded) else f"{event.trial_id} seed {event.seed}"
