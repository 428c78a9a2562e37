"""What a person sees while a search runs: one line an event, and in a terminal a line that keeps changing."""

from __future__ import annotations

import time
from statistics import mean, stdev
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sldml.config import TrialConfig
from sldml.journal import History

_EVERY_S = 5.0
"""Without a terminal, long counts are told at most this often."""


class ProgressPrinter:
    """Prints what happens; use as a context."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._last_told = 0.0
        self._num_trials = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()

    def say(self, message: str) -> None:
        """A line of its own."""
        self.console.print(message, markup=False)

    def counting(self, what: str) -> Any:
        """A function (done, of) that shows how far `what` is."""
        self._end_bar()
        self._last_told = time.monotonic()

        def show(done: int, of: int) -> None:
            self._show(what, done, of)
            now = time.monotonic()
            if not self.console.is_terminal and (now - self._last_told > _EVERY_S or done == of):
                self._last_told = now
                self.say(f"{what}: {done} of {of}")
            if done == of:
                self._end_bar()

        return show

    def searching(self, num_trials: int) -> None:
        """The search of so many trials begins."""
        self._num_trials = num_trials

    def happened(self, event: dict[str, Any], history: History) -> None:
        """Tell an event of the journal."""
        match event["event"]:
            case "trial_started":
                self._show_trials(history)
            case "epoch":
                self._show_trials(history)
            case "trial_ended":
                self._tell_trial(event, history)
                self._show_trials(history)
            case "final_ended":
                key = f"{event['trial_id']} seed {event['seed']}"
                record = history.finals[event["trial_id"], event["seed"]]
                seconds = event["time"] - record.started
                error = f": {event['error']}" if event.get("error") else ""
                self.say(f"final {key}: {event['state']}, {len(record.epochs)} epochs, {seconds:.0f} s{error}")
            case "baseline_folds":
                for name, way in history.best_over_folds().items():
                    accuracies = way["accuracies"]
                    score = f"{mean(accuracies):.3f} ± {stdev(accuracies):.3f}"
                    self.say(f"class folds {name}: {score} over {event['num_folds']} folds")
            case "folds":
                accuracies = event["accuracies"]
                score = event["error"] if accuracies is None else f"{mean(accuracies):.3f} ± {stdev(accuracies):.3f}"
                over = f"over {event['num_folds']} folds, {event['num_epochs']} epochs each"
                self.say(f"class folds {event['trial_id']}: {score} {over}")
            case "stage":
                if event["state"] == "ended":
                    self._end_bar()

    def _tell_trial(self, event: dict[str, Any], history: History) -> None:
        record = history.trials[event["trial_id"]]
        config = TrialConfig.model_validate(record.config)
        value = "" if record.value is None else f"{record.value:.3f} at epoch {record.best_epoch}"
        best = max((r.value or 0.0 for r in history.ranked()), default=0.0)
        seconds = event["time"] - record.started
        choices = f"{config.loss.name}, miner {config.miner.name}, {config.encoder.name}, lr {config.optimizer.lr:.1e}"
        error = f": {event['error']}" if event.get("error") else ""
        ended = sum(r.state != "running" for r in history.trials.values())
        self.say(
            f"{ended:>4}/{self._num_trials} {record.trial_id} {event['state']:<9} {value} "
            f"({len(record.epochs)} epochs, {seconds:.0f} s; best {best:.3f}) {choices}{error}"
        )

    def _show_trials(self, history: History) -> None:
        counts = history.counts()
        best = max((r.value or 0.0 for r in history.ranked()), default=0.0)
        ended = sum(count for state, count in counts.items() if state != "running")
        what = f"trials (running {counts['running']}, pruned {counts['pruned']}, best {best:.3f})"
        self._show(what, ended, self._num_trials)

    def _show(self, what: str, done: int, of: int) -> None:
        if not self.console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task(what, total=of)
            self._bar.start()
        self._bar.update(self._task, description=what, completed=done, total=of)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
