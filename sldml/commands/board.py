"""Where a search is: what is being trained, the best so far, how fast it goes, how long it may still take.

Kept up to date event by event: what a person watches must cost next to nothing, however many trials there are.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sldml.journal import OBJECTIVE, FinalRecord, History, TrialRecord

NUM_BEST = 3
_PACE_OVER_EPOCHS = 300
"""The pace is that of so many last epochs."""
_HOST = f"{socket.gethostname()}:"


@dataclass(frozen=True)
class Row:
    """One training that runs, or ran: a trial, a final model, a class fold."""

    name: str
    num_epochs: int
    """How many it has at most."""
    choices: str
    """Loss, miner and encoder."""
    lr: float | None
    since: float
    """When it began or went on in this call, seconds since 1970."""
    epoch: int = 0
    begun_at: int = 0
    """Epochs that it had then."""
    value: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    images_per_s: float | None = None
    state: str = "running"

    def after(self, metrics: Mapping[str, Any]) -> Row:
        """The row after an epoch's report."""
        best = metrics.get(OBJECTIVE, self.best)
        improved = best is not None and (self.best is None or best > self.best)
        return dataclasses.replace(
            self,
            epoch=int(metrics["epoch"]),
            value=metrics.get("val/accuracy", self.value),
            best=best,
            best_epoch=int(metrics["epoch"]) if improved else self.best_epoch,
            images_per_s=metrics.get("images_per_s", self.images_per_s),
        )


def row_of(name: str, config: Mapping[str, Any], since: float, num_epochs: int | None = None) -> Row:
    """The row of a training that begins; `config` is nested, as in the journal."""
    parts = [str(config[part]["name"]) for part in ("loss", "miner", "encoder") if "name" in config.get(part, {})]
    longest = num_epochs if num_epochs is not None else int(config["train"]["max_epochs"])
    return Row(name, longest, " / ".join(parts), config.get("optimizer", {}).get("lr"), since)


class Board:
    """A number of trainings of one kind. Written by the thread that hears of events, read by one that draws."""

    def __init__(
        self,
        what: str,
        total: int,
        now: float,
        *,
        planned_epochs: int | None = None,
        num_slots: int = 1,
        max_epochs: int | None = None,
        deadline: float | None = None,
    ) -> None:
        """
        Args:
            what: What they are, in the plural.
            total: How many in all.
            now: Seconds since 1970.
            planned_epochs: How many epochs are to be trained in all, where that is known; else it is estimated.
            num_slots: How many run at once.
            max_epochs: Of one training, where some may be stopped before it.
            deadline: When trainings are stopped.
        """
        self.what, self.total, self.begun, self.deadline = what, total, now, deadline
        self.lock = threading.Lock()
        self.running: dict[str, Row] = {}
        self._ranked: list[Row] = []
        self.ended: Counter[str] = Counter()
        self._planned_epochs, self._num_slots, self._max_epochs = planned_epochs, num_slots, max_epochs
        self._epochs_done = 0
        self._lengths: Counter[int] = Counter()
        """How many of the ended ones had so many epochs."""
        self.elsewhere = False
        """Whether trainings run on other machines, too."""
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
        pruning: bool = True,
        max_epochs: int,
        deadline: float | None = None,
    ) -> Board:
        """The trials of a search, some of which an earlier call may have done.

        `pruning`: whether a scheduler may stop some before `max_epochs`.
        """
        planned = None if pruning else total * max_epochs
        board = cls(
            "trials", total, now, planned_epochs=planned, num_slots=num_slots, max_epochs=max_epochs, deadline=deadline
        )
        for record in history.trials.values():
            row = row_of_record(record, record.started)
            if record.state == "running":
                board._better(row)
            else:
                board._count(row)
            board._epochs_done += row.epoch
        if planned is not None:  # less what the trials that diverged or failed will never train
            ended = (record for record in history.trials.values() if record.has_ended)
            board._planned_epochs = planned - sum(max_epochs - len(record.epochs) for record in ended)
        return board

    @property
    def best(self) -> list[Row]:
        """The best few so far, the best first."""
        return self._ranked[:NUM_BEST]

    @property
    def num_ended(self) -> int:
        """How many are over, in whatever way."""
        return sum(self.ended.values())

    def start(self, row: Row) -> None:
        """A training begins, or goes on."""
        with self.lock:
            self.running[row.name] = row

    def epoch(self, name: str, metrics: Mapping[str, Any], time: float) -> None:
        """One of the running ones reported."""
        with self.lock:
            row = self.running.get(name)
            if row is None:
                return
            if not self._reported:  # the first one began before it was told
                took = sum(float(metrics.get(f"time/{part}_s", 0.0)) for part in ("data", "step", "evaluation"))
                self._pace_from = max(row.since, time - took)
            self._reported.append(time)
            self._epochs_done += int(metrics["epoch"]) > row.epoch  # after an interruption, some are trained again
            self.elsewhere |= not str(metrics.get("worker", _HOST)).startswith(_HOST)
            self.running[name] = self._better(row.after(metrics))

    def end(self, name: str, state: str, num_epochs: int | None = None) -> None:
        """One is over. `num_epochs`: that were planned for it and are no longer awaited, where it failed."""
        with self.lock:
            row = self.running.pop(name, None) or Row(name, num_epochs or 0, "", None, self.begun)
            self._count(dataclasses.replace(row, state=state))
            if self._planned_epochs is not None:
                self._planned_epochs -= max(0, row.num_epochs - row.epoch)

    # ------------------------------------------------------------------------------------------------ figures

    def epochs_per_s(self, now: float) -> float | None:
        """Of the last epochs; None before the first one."""
        if not self._reported:
            return None
        whole = len(self._reported) == _PACE_OVER_EPOCHS
        start, count = (self._reported[0], len(self._reported) - 1) if whole else (self._pace_from, len(self._reported))
        return count / max(1e-3, now - start)

    def images_per_s(self) -> float:
        """Of all that run, by their last epochs."""
        return sum(row.images_per_s or 0.0 for row in self.running.values())

    def epochs_left(self) -> float | None:
        """How many epochs there still are; None while nobody can know.

        Where trainings may be stopped early, those that have not begun are taken to be as long as the ended ones were
        on average, and those that run as long as the ended ones that came further than they have. That takes as many
        ended ones as run at once, and two.
        """
        if self._planned_epochs is not None:
            return float(max(0, self._planned_epochs - self._epochs_done))
        if self._max_epochs is None or self.num_ended < max(2, self._num_slots):
            return None
        waiting = max(0, self.total - self.num_ended - len(self.running))
        left = waiting * (_mean_length(self._lengths) or 0.0)
        return left + sum(self._expected_length(row) - row.epoch for row in self.running.values())

    def seconds_left(self, now: float) -> float | None:
        """About how long it still takes, at most to the deadline; None while nobody can know."""
        left, pace = self.epochs_left(), self.epochs_per_s(now)
        to_deadline = None if self.deadline is None else max(0.0, self.deadline - now)
        if left is None or pace is None:
            return to_deadline
        seconds = max(left / pace, *(self._own_seconds_left(row, now) for row in self.running.values()), 0.0)
        return seconds if to_deadline is None else min(seconds, to_deadline)

    def _expected_length(self, row: Row) -> float:
        if self._planned_epochs is not None:
            return row.num_epochs
        longer = _mean_length({n: c for n, c in self._lengths.items() if n > row.epoch})
        return row.num_epochs if longer is None else min(longer, row.num_epochs)

    def _own_seconds_left(self, row: Row, now: float) -> float:
        """However many slots are free at the end, one training's epochs come one after the other."""
        done = row.epoch - row.begun_at
        return (now - row.since) / done * (self._expected_length(row) - row.epoch) if done > 0 else 0.0

    def _count(self, row: Row) -> None:
        self.ended[row.state] += 1
        self._lengths[row.epoch] += 1
        self._better(row)

    def _better(self, row: Row) -> Row:
        """Keep the best few, in the order of `History.ranked`; a diverged or failed one is none of them."""
        others = [known for known in self._ranked if known.name != row.name]
        if row.best is not None and row.state not in ("diverged", "failed"):
            others.append(row)
        others.sort(key=lambda r: (-(r.best or 0.0), r.state != "completed", r.name))
        # Each of those that run may still diverge, and then another takes its place.
        self._ranked = others[: NUM_BEST + len(self.running) + 1]
        return row


def row_of_record(
    record: TrialRecord | FinalRecord,
    since: float,
    name: str | None = None,
    num_epochs: int | None = None,
    *,
    before: int | None = None,
) -> Row:
    """A training that the journal knows, as it is now, or as it was when it had reported the epochs `before` one."""
    epochs = [e for e in record.epochs if before is None or e["epoch"] < before]
    last: Mapping[str, Any] = epochs[-1] if epochs else {}
    best = max((float(e[OBJECTIVE]) for e in epochs if OBJECTIVE in e), default=None)
    row = row_of(name or record.trial_id, record.config, since, num_epochs)
    return dataclasses.replace(
        row,
        epoch=int(last.get("epoch", 0)),
        begun_at=int(last.get("epoch", 0)),
        value=last.get("val/accuracy"),
        best=best,
        best_epoch=next((int(e["epoch"]) for e in epochs if e.get(OBJECTIVE) == best), None)
        if best is not None
        else None,
        state=record.state,
    )


def _mean_length(lengths: Mapping[int, int]) -> float | None:
    count = sum(lengths.values())
    return sum(length * times for length, times in lengths.items()) / count if count else None
