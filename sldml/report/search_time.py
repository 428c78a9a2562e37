"""The time of a search, from its journal: trainings, baselines and idle time of each worker, by stage.

All times are seconds since 1970, as in the journal; `search_clock` converts them to minutes of search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sldml.journal import FinalRecord, History, TrainingRecord, TrialRecord

TRAINING_STAGES = {"search": "trials and baselines", "final": "final trainings"}
"""Stages whose trainings report epochs."""
EPOCH_PARTS = ("data", "step", "evaluation")


@dataclass(frozen=True)
class Span:
    """A training, a part of it, or the scoring of baselines, that ran on one worker without a pause."""

    begin: float
    end: float
    name: str
    kind: str
    """State of the trial, `final` or `baselines`."""
    worker: str | None
    """`host:pid`; None before the first report."""


@dataclass(frozen=True)
class Stage:
    """A stage of the search; an interrupted one occurs again."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass
class Lane:
    """A sequence of trainings: those of a worker and of its successors."""

    name: str
    spans: list[Span]
    idle: list[tuple[float, float]] = field(default_factory=list)
    """Intervals without a training during the stages of trials and final models."""


@dataclass(frozen=True)
class WorkerTime:
    """The activity of workers during the stages of trials and final models, in seconds summed over lanes."""

    lanes: list[Lane]
    total_s: float
    busy_s: float
    before_s: float
    """Idle before the first training of a stage (start-up)."""
    between_s: float
    after_s: float
    """Idle after the last training of a stage, or during all of it."""

    def in_words(self) -> str:
        """The workers' activity in a sentence."""
        if self.total_s <= 0:
            return "No worker time was recorded."
        num, minutes = len(self.lanes), self.total_s / len(self.lanes) / 60
        idle = [
            (self.before_s, "before the first training of a stage (start-up)"),
            (self.between_s, "between trainings"),
            (self.after_s, "after the last training of a stage"),
        ]
        parts = [f"{_share(part, self.total_s)} {when}" for part, when in idle if part / self.total_s >= 0.005]
        busy = f"busy {_share(self.busy_s, self.total_s)} of worker time"
        workers = f"{num} worker{'s' if num > 1 else ''}, {minutes:.1f} minutes each"
        return f"{busy} ({workers}); idle {', '.join(parts)}." if parts else f"{busy} ({workers})."


@dataclass(frozen=True)
class StageTime:
    """The wall time of a stage and its parts by activity of the workers, in seconds."""

    name: str
    seconds: float
    parts: dict[str, float]
    """data, step, evaluation, baselines, rest (start, checkpoints and reports of trainings) and idle, which sum to the
    wall time; empty for stages without trainings."""


def search_clock(history: History) -> Callable[[float], float]:
    """A function from seconds since 1970 to minutes of search, without pauses between calls."""
    times = sorted(_known_times(history))
    begin = min(_attempts(history), default=math.inf)
    begin = min([begin, *times[:1]])
    gaps = []
    for resumed in _attempts(history):
        before = [time for time in times if time < resumed]
        if before:
            gaps.append((resumed, resumed - before[-1]))

    def minutes(time: float) -> float:
        return float(time - begin - sum(gap for resumed, gap in gaps if resumed <= time)) / 60

    return minutes


def end_of(record: TrainingRecord) -> float:
    """The end of a training, or its last event."""
    if record.ended is not None:
        return record.ended
    return max((e.time for e in record.epochs), default=record.started)


def wall_minutes(history: History) -> float:
    """Minutes of search until its last event, without pauses between calls."""
    return max((search_clock(history)(time) for time in _known_times(history)), default=0.0)


def stages_of(history: History) -> list[Stage]:
    """The stages in order; without stage events, the spans of trials and final trainings.

    A stage without an end event ends with the last event before the next call.
    """
    found: list[Stage] = []
    known, attempts = sorted(_known_times(history)), _attempts(history)
    for place, event in enumerate(history.stages):
        if event.state != "started":
            continue
        name, begin = event.name, event.time
        following = next((e for e in history.stages[place + 1 :] if e.name == name), None)
        if following is not None and following.state == "ended":
            end = following.time
        else:
            limit = min((a for a in attempts if a > begin), default=math.inf)
            end = max([t for t in known if begin <= t < limit], default=begin)
        found.append(Stage(name, begin, end))
    if not found:
        for name, records in (("search", history.trials.values()), ("final", history.finals.values())):
            if records:
                found.append(Stage(name, min(r.started for r in records), max(end_of(r) for r in records)))
    return found


def training_spans(history: History) -> list[Span]:
    """All trainings, split where one changed its worker, paused or was interrupted, and the scoring of baselines."""
    attempts = _attempts(history)
    spans: list[Span] = []
    for trial in history.trials.values():
        spans += _pieces(trial, trial.trial_id, str(trial.state), attempts)
    for final in history.finals.values():
        spans += _pieces(final, f"{final.trial_id}, seed {final.seed}", "final", attempts)
    for event in history.scorings:
        names = dict.fromkeys(score.candidate.baseline for score in event.scores)
        spans.append(Span(event.time - event.seconds, event.time, ", ".join(names), "baselines", event.worker))
    return sorted(spans, key=lambda span: (span.begin, span.name))


def worker_time(history: History) -> WorkerTime:
    """Trainings and idle time by lane."""
    lanes = _lanes(training_spans(history))
    stages = [stage for stage in stages_of(history) if stage.name in TRAINING_STAGES]
    total = len(lanes) * sum(stage.seconds for stage in stages)
    busy, idle = 0.0, {"before": 0.0, "between": 0.0, "after": 0.0}
    for lane in lanes:
        for stage in stages:
            for begin, end in _gaps(lane.spans, stage):
                lane.idle.append((begin, end))
                where = "after" if end == stage.end else "before" if begin == stage.begin else "between"
                idle[where] += end - begin
            busy += sum(_within(span, stage) for span in lane.spans)
    return WorkerTime(lanes, total, busy, idle["before"], idle["between"], idle["after"])


def stage_times(history: History) -> list[StageTime]:
    """The duration of each stage over all calls, with the activity of its workers."""
    stages = stages_of(history)
    lanes = _lanes(training_spans(history))
    found = []
    for name in dict.fromkeys(stage.name for stage in stages):
        own = [stage for stage in stages if stage.name == name]
        seconds = sum(stage.seconds for stage in own)
        records: list[TrialRecord | FinalRecord] = [*history.trials.values()]
        if name == "final":
            records = [*history.finals.values()]
        parts: dict[str, float] = {}
        if name in TRAINING_STAGES and lanes:
            busy = sum(_within(span, stage) for lane in lanes for span in lane.spans for stage in own) / len(lanes)
            for part in EPOCH_PARTS:
                spent = sum(e.seconds(part) for record in records for e in record.epochs)
                parts[part] = spent / len(lanes)
            scored = [span for lane in lanes for span in lane.spans if span.kind == "baselines"]
            parts["baselines"] = sum(_within(span, stage) for span in scored for stage in own) / len(lanes)
            parts["rest"] = max(0.0, busy - sum(parts.values()))
            parts["idle"] = max(0.0, seconds - sum(parts.values()))
        found.append(StageTime(name, seconds, parts))
    return found


def share_while_training(history: History, name: str) -> float | None:
    """The mean of `time/cpu_share` or `time/gpu_share` over all epochs, weighted by time; None if not recorded."""
    shares = [
        (e.metrics[name], sum(e.seconds(part) for part in EPOCH_PARTS))
        for record in history.trainings()
        for e in record.epochs
        if name in e.metrics
    ]
    weight = sum(seconds for _, seconds in shares)
    return sum(share * seconds for share, seconds in shares) / weight if weight > 0 else None


def _pieces(record: TrialRecord | FinalRecord, name: str, kind: str, attempts: Sequence[float]) -> Iterator[Span]:
    attempts = sorted((*attempts, *record.pauses))
    begin = before = record.started
    worker = record.epochs[0].worker if record.epochs else None
    for epoch in record.epochs:
        time, own = epoch.time, epoch.worker
        resumed = max((a for a in attempts if before < a <= time), default=None)
        if resumed is not None or own != worker:
            if before > begin:
                yield Span(begin, before, name, kind, worker)
            spent = sum(epoch.seconds(part) for part in EPOCH_PARTS)
            begin = max(before, time - spent, resumed or 0.0)
        before, worker = time, own
    end = end_of(record)
    if any(before < a <= end for a in attempts):
        end = before
    yield Span(begin, end, name, kind, worker)


def _lanes(spans: Sequence[Span]) -> list[Lane]:
    """The lanes by host; a worker that started after another had ended continues its lane.

    Trainings without a known worker (they failed before their first epoch) are put into a free lane.
    """
    by_worker: dict[str, list[Span]] = {}
    for span in spans:
        if span.worker is not None:
            by_worker.setdefault(span.worker, []).append(span)
    for number, span in enumerate(spans):
        if span.worker is None:
            free = (w for w, own in by_worker.items() if all(s.end <= span.begin or s.begin >= span.end for s in own))
            found = next(free, None) if any(s.worker for s in spans) else None
            by_worker.setdefault(found or f":{number}", []).append(span)
            by_worker[found or f":{number}"].sort(key=lambda s: (s.begin, s.name))
    by_host: dict[str, list[list[Span]]] = {}
    for worker, own in sorted(by_worker.items(), key=lambda item: item[1][0].begin):
        lanes = by_host.setdefault(worker.rpartition(":")[0], [])
        lane = next((lane for lane in lanes if lane[-1].end <= own[0].begin), None)
        if lane is None:
            lanes.append(own)
        else:
            lane += own
    return [
        Lane(f"{host} · {place}" if host else f"lane {place}", _one_after_another(lane))
        for host, lanes in sorted(by_host.items())
        for place, lane in enumerate(lanes, start=1)
    ]


def _one_after_another(spans: Sequence[Span]) -> list[Span]:
    """Remove overlaps: a start event may come shortly before the end event of the previous training."""
    found, free = [], -math.inf
    for span in spans:
        begin = min(max(span.begin, free), span.end)
        found.append(Span(begin, span.end, span.name, span.kind, span.worker))
        free = max(free, span.end)
    return found


def _gaps(spans: Sequence[Span], stage: Stage) -> Iterator[tuple[float, float]]:
    inside = [(max(s.begin, stage.begin), min(s.end, stage.end)) for s in spans if _within(s, stage) > 0]
    edges = [(stage.begin, stage.begin), *inside, (stage.end, stage.end)]
    for (_, end), (begin, _) in pairwise(edges):
        if begin > end:
            yield end, begin


def _within(span: Span, stage: Stage) -> float:
    return max(0.0, min(span.end, stage.end) - max(span.begin, stage.begin))


def _attempts(history: History) -> list[float]:
    return sorted(attempt.time for attempt in history.attempts)


def _known_times(history: History) -> list[float]:
    """The times of all events of the search."""
    found = [time for r in history.trainings() for time in (r.started, end_of(r), *(e.time for e in r.epochs))]
    return found + [event.time for event in (*history.stages, *history.folds.values(), *history.scorings)]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"
