"""The state of a running search: current trainings, best trials so far, pace and estimated remaining time.

Updated event by event, so that its cost does not grow with the number of trials.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sldml.journal import OBJECTIVE, Epoch, History, TrainingRecord

NUM_BEST = 3
_PACE_OVER_EPOCHS = 300
"""The pace is computed over this many last epochs."""
_HOST = f"{socket.gethostname()}:"


@dataclass(frozen=True)
class BoardRow:
    """A running or ended training: of a trial, a final model or a class fold."""

    name: str
    num_epochs: int
    """The maximum."""
    choices: str
    """Loss, miner and encoder."""
    lr: float | None
    started: float
    """When it started or resumed in this call, seconds since 1970."""
    epoch: int = 0
    start_epoch: int = 0
    """Its number of epochs at that time."""
    value: float | None = None
    images_per_s: float | None = None
    state: str = "running"

    def updated(self, report: Epoch) -> BoardRow:
        """The row after an epoch's report."""
        metrics = report.metrics
        return dataclasses.replace(
            self,
            epoch=report.epoch,
            value=metrics.get(OBJECTIVE, self.value),
            images_per_s=metrics.get("images_per_s", self.images_per_s),
        )


@dataclass(frozen=True)
class Beside:
    """Other work beside the trainings, by number of parts."""

    what: str
    done: int
    total: int
    started: float
    """Seconds since 1970."""
    done_before: int
    """Number of parts that were done when it started."""

    def seconds_left(self, now: float) -> float:
        """Estimated remaining time, 0 if unknown."""
        done = self.done - self.done_before
        return (now - self.started) / done * (self.total - self.done) if done else 0.0


def new_row(name: str, config: Mapping[str, Any], started: float, num_epochs: int | None = None) -> BoardRow:
    """The row of a training that starts; `config` is nested, as in the journal."""
    parts = [str(config[part]["name"]) for part in ("loss", "miner", "encoder") if "name" in config.get(part, {})]
    num_folds = int(config.get("evaluation", {}).get("num_folds", 1))
    longest = num_epochs if num_epochs is not None else int(config["train"]["max_epochs"]) * num_folds
    return BoardRow(name, longest, " / ".join(parts), config.get("optimizer", {}).get("lr"), started)


class Board:
    """The trainings of one stage. Written by the thread that handles events, read by the thread that draws."""

    def __init__(
        self,
        kind: str,
        total: int,
        now: float,
        *,
        planned_epochs: int | None = None,
        num_slots: int = 1,
        max_epochs: int | None = None,
        promotes: bool = False,
    ) -> None:
        """
        Args:
            kind: What is trained, in the plural.
            total: Number of trainings.
            now: Seconds since 1970.
            planned_epochs: Number of epochs of all trainings together; None to estimate it.
            num_slots: Number of concurrent trainings.
            max_epochs: Epochs of one training, where some may be stopped earlier.
            promotes: Whether trainings pause; the plan then knows that some will not continue.
        """
        self.kind, self.total, self.started = kind, total, now
        self.step = ""
        """The step of the search, as text."""
        self.begun = now
        """When the search began."""
        self.deadline: float | None = None
        """When the whole search is to be over."""
        self.later_epochs = 0
        """Number of epochs in the steps that follow."""
        self.beside: Beside | None = None
        """Other work in the same stage."""
        self.lock = threading.Lock()
        self.running: dict[str, BoardRow] = {}
        self._ranked: list[BoardRow] = []
        self.ended: Counter[str] = Counter()
        """By state, the trainings that ended or paused."""
        self._paused: set[str] = set()
        self._promotes = promotes
        self._planned_epochs, self._num_slots, self._max_epochs = planned_epochs, num_slots, max_epochs
        self._epochs_done = 0
        self._lengths: Counter[int] = Counter()
        """Number of ended trainings by their number of epochs."""
        self.elsewhere = False
        """Whether some trainings run on other machines."""
        self._reported: deque[float] = deque(maxlen=_PACE_OVER_EPOCHS)
        self._pace_from = now

    @classmethod
    def of_trials(
        cls,
        history: History,
        total: int,
        now: float,
        *,
        num_slots: int = 1,
        planned_epochs: int | None = None,
        promotes: bool = False,
        max_epochs: int,
    ) -> Board:
        """The board of a search's trials, including those of earlier calls; see `__init__`."""
        board = cls(
            "trials",
            total,
            now,
            planned_epochs=planned_epochs,
            num_slots=num_slots,
            max_epochs=max_epochs,
            promotes=promotes,
        )
        for record in history.trials.values():
            row = recorded_row(record, record.started)
            if record.state == "running":
                board._rank(row)
            else:
                board._count(row)
            board._epochs_done += row.epoch
        if planned_epochs is not None and not promotes:  # without the epochs that diverged and failed trials lack
            ended = (record for record in history.trials.values() if record.has_ended)
            board._planned_epochs = planned_epochs - sum(max_epochs - len(record.epochs) for record in ended)
        return board

    @property
    def best(self) -> list[BoardRow]:
        """The best few so far, best first."""
        return self._ranked[:NUM_BEST]

    @property
    def num_ended(self) -> int:
        """Number of ended and paused trainings."""
        return sum(self.ended.values())

    def add(self, num_epochs: int) -> None:
        """One more training than was planned, of this many epochs."""
        with self.lock:
            self.total += 1
            self._planned_epochs = num_epochs + (self._planned_epochs or 0)

    def start(self, row: BoardRow) -> None:
        """A training starts or resumes."""
        with self.lock:
            if row.name in self._paused:
                self._uncount(row.name, row.epoch)
            self.running[row.name] = row

    def epoch(self, name: str, report: Epoch) -> None:
        """A running training reported an epoch."""
        time = report.time
        with self.lock:
            row = self.running.get(name)
            if row is None:
                return
            if not self._reported:  # the first epoch started before its report
                took = sum(report.seconds(part) for part in ("data", "step", "evaluation"))
                self._pace_from = max(row.started, time - took)
            self._reported.append(time)
            self._epochs_done += report.epoch > row.epoch  # some are repeated after an interruption
            self.elsewhere |= not (report.worker or _HOST).startswith(_HOST)
            self.running[name] = self._rank(row.updated(report))

    def end(self, name: str, state: str, num_epochs: int | None = None) -> None:
        """A training ended or paused. `num_epochs`: planned for it, in case it failed before it started."""
        with self.lock:
            if name in self._paused:  # it is not promoted
                self._paused.discard(name)
                self.ended["paused"] -= 1
                self.ended[state] += 1
                return
            row = self.running.pop(name, None) or BoardRow(name, num_epochs or 0, "", None, self.started)
            self._count(dataclasses.replace(row, state=state))
            if self._planned_epochs is not None and not self._promotes:
                self._planned_epochs -= max(0, row.num_epochs - row.epoch)

    # ------------------------------------------------------------------------------------------------ figures

    def epochs_per_s(self, now: float) -> float | None:
        """Pace over the last epochs; None before the first one."""
        if not self._reported:
            return None
        whole = len(self._reported) == _PACE_OVER_EPOCHS
        start, count = (self._reported[0], len(self._reported) - 1) if whole else (self._pace_from, len(self._reported))
        return count / max(1e-3, now - start)

    def images_per_s(self) -> float:
        """Sum over the running trainings, by their last epochs."""
        return sum(row.images_per_s or 0.0 for row in self.running.values())

    def epochs_left(self) -> float | None:
        """Number of remaining epochs; None if unknown.

        Where trainings may be stopped early, a waiting one is expected to have the mean length of the ended ones, and a
        running one that of the ended ones that were longer than it is now. This needs as many ended trainings as there
        are slots, and at least two.
        """
        if self._planned_epochs is not None:
            return float(max(0, self._planned_epochs - self._epochs_done))
        if self._max_epochs is None or self.num_ended < max(2, self._num_slots):
            return None
        waiting = max(0, self.total - self.num_ended - len(self.running))
        left = waiting * (_mean_length(self._lengths) or 0.0)
        return left + sum(self._expected_length(row) - row.epoch for row in self.running.values())

    def seconds_left(self, now: float) -> float | None:
        """Estimated remaining time of this step and the later ones, at most until the deadline; None if unknown."""
        left, pace = self.epochs_left(), self.epochs_per_s(now)
        to_deadline = None if self.deadline is None else max(0.0, self.deadline - now)
        if left is None or pace is None:
            return to_deadline
        seconds = max(left / pace, *(self._own_seconds_left(row, now) for row in self.running.values()), 0.0)
        if self.beside is not None:
            seconds = max(seconds, self.beside.seconds_left(now))
        seconds += self.later_epochs / pace
        return seconds if to_deadline is None else min(seconds, to_deadline)

    def _expected_length(self, row: BoardRow) -> float:
        if self._planned_epochs is not None:
            return row.num_epochs
        longer = _mean_length({n: c for n, c in self._lengths.items() if n > row.epoch})
        return row.num_epochs if longer is None else min(longer, row.num_epochs)

    def _own_seconds_left(self, row: BoardRow, now: float) -> float:
        """A lower limit: the epochs of one training run one after another, however many slots are free."""
        if self._promotes:  # it may pause
            return 0.0
        done = row.epoch - row.start_epoch
        return (now - row.started) / done * (self._expected_length(row) - row.epoch) if done > 0 else 0.0

    def _count(self, row: BoardRow) -> None:
        self.ended[row.state] += 1
        if row.state == "paused":
            self._paused.add(row.name)
        self._lengths[row.epoch] += 1
        self._rank(row)

    def _uncount(self, name: str, num_epochs: int) -> None:
        """A paused training continues."""
        self._paused.discard(name)
        self.ended["paused"] -= 1
        self._lengths[num_epochs] -= 1

    def _rank(self, row: BoardRow) -> BoardRow:
        """Keep the best few, in the order of `History.ranked`, without diverged and failed ones."""
        others = [known for known in self._ranked if known.name != row.name]
        is_trial = self._max_epochs is not None
        if is_trial and row.value is not None and row.state not in ("diverged", "failed", "lost"):
            others.append(row)
        others.sort(key=lambda r: (-r.epoch, -(r.value or 0.0), r.name))
        # Any running one may still diverge and be replaced by the next.
        self._ranked = others[: NUM_BEST + len(self.running) + 1]
        return row


def recorded_row(
    record: TrainingRecord,
    started: float,
    name: str | None = None,
    num_epochs: int | None = None,
    *,
    before: int | None = None,
) -> BoardRow:
    """The row of a training in the journal, as it is now or as it was before epoch `before`."""
    epochs = [e for e in record.epochs if before is None or e.epoch < before]
    last = epochs[-1] if epochs else Epoch(epoch=0)
    row = new_row(name or record.trial_id, record.config, started, num_epochs)
    return dataclasses.replace(
        row,
        epoch=last.epoch,
        start_epoch=last.epoch,
        value=last.metrics.get(OBJECTIVE),
        state=record.state,
    )


def _mean_length(lengths: Mapping[int, int]) -> float | None:
    count = sum(lengths.values())
    return sum(length * times for length, times in lengths.items()) / count if count else None
