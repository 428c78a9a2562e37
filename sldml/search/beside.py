"""Work beside the trials: the baselines, and a stage of two that share the slots."""

# ruff: noqa: D102 (the methods of stages are described by `sldml.search.pool.Stage`)

from __future__ import annotations

import time
from collections.abc import Sequence

from sldml.config.training import EvaluationConfig
from sldml.journal import BaselineScore, BaselinesScored, Candidate, LeftOut
from sldml.search.listed import Listed
from sldml.search.pool import Config, Pool, Result, Stage
from sldml.search.recorder import Recorder
from sldml.search.scoring import Scoring, missing_scorings, num_scored
from sldml.search.watcher import Watcher

_PART = "part"
"""The key of a configuration with the place of its stage among the two."""
_MAIN, _SIDE = 0, 1


class Together:
    """Two stages at once: the side one gets at most half of the slots, and those that the main one does not use.

    With a single slot, they take turns. The deadline of either ends both.
    """

    def __init__(self, main: Stage, side: Stage, num_slots: int) -> None:
        self._parts = (main, side)
        self._num_slots = num_slots
        self._num_beside = 0
        self._last = _SIDE

    def next(self, key: str) -> Config | None:
        for part in (_SIDE, _MAIN) if self._is_turn_of_side() else (_MAIN, _SIDE):
            config = self._parts[part].next(key)
            if config is not None:
                self._last = part
                self._num_beside += part == _SIDE
                return {**config, _PART: part}
        return None

    def _is_turn_of_side(self) -> bool:
        if self._num_slots == 1:
            return self._last == _MAIN
        return self._num_beside < self._num_slots // 2

    def is_over(self) -> bool:
        return all(part.is_over() for part in self._parts)

    def has_expired(self) -> bool:
        return any(part.has_expired() for part in self._parts)

    def stops(self, key: str, config: Config, result: Result) -> bool:
        return self._of(config).stops(key, config, result)

    def started(self, config: Config) -> None:
        self._of(config).started(config)

    def reported(self, key: str, config: Config, result: Result) -> None:
        self._of(config).reported(key, config, result)

    def ended(self, key: str, config: Config, result: Result) -> None:
        self._num_beside -= config[_PART] == _SIDE
        self._of(config).ended(key, config, result)

    def retried(self, config: Config, error: str) -> None:
        self._of(config).retried(config, error)

    def lost(self, key: str, config: Config, error: str) -> None:
        self._num_beside -= config[_PART] == _SIDE
        self._of(config).lost(key, config, error)

    def _of(self, config: Config) -> Stage:
        return self._parts[config[_PART]]


class ScoringStage(Listed[Scoring]):
    """Scores the candidates of the baselines on validation. Each group is in the journal when it is done."""

    def __init__(
        self,
        waiting: Sequence[Scoring],
        recorder: Recorder,
        watcher: Watcher,
        *,
        num_candidates: int,
        deadline: float | None = None,
    ) -> None:
        """
        Args:
            waiting: The groups to score.
            recorder: Receives the scores.
            watcher: Shows how many are done.
            num_candidates: Number of candidates in all, also those of earlier calls.
            deadline: When to stop, seconds since 1970.
        """
        super().__init__("baselines", waiting, deadline)
        self._recorder, self._watcher, self._num_candidates = recorder, watcher, num_candidates
        self._show()

    def started(self, config: Config) -> None:
        """Nothing: there is no event for it."""

    def reported(self, key: str, config: Config, result: Result) -> None:
        """Nothing: a report in between says only that the process is alive."""

    def ended(self, key: str, config: Config, result: Result) -> None:
        super().ended(key, config, result)
        scoring: Scoring = config["baselines"]
        if result.get("state") != "completed":
            self._recorder.say(f"{scoring.name}: {result.get('error', 'the process ended without a score')}")
            return
        scores = [BaselineScore.model_validate(score) for score in result["scores"]]
        placed = zip(scores, scoring.places, strict=True)
        self._recorder.record(
            BaselinesScored(
                scores=tuple(score.model_copy(update={"place": place}) for score, place in placed),
                worker=result["worker"],
                seconds=result["seconds"],
            )
        )
        self._show()

    def retried(self, config: Config, error: str) -> None:
        self._recorder.retried(config["baselines"].name, error)

    def lost(self, key: str, config: Config, error: str) -> None:
        super().ended(key, config, {})
        self._recorder.say(f"{config['baselines'].name}: lost ({error}); scored when the search is resumed")

    def _show(self) -> None:
        self._watcher.beside("baselines", num_scored(self._recorder.history), self._num_candidates)


class Baselines:
    """The scoring of a search's baselines on validation: beside its trials, and what is left after them."""

    def __init__(
        self, candidates: Sequence[Candidate], evaluation: EvaluationConfig, recorder: Recorder, watcher: Watcher
    ) -> None:
        self._candidates, self._evaluation = candidates, evaluation
        self._recorder, self._watcher = recorder, watcher

    def stage(self, deadline: float | None = None) -> ScoringStage:
        """The scoring of all candidates that have no score yet. `deadline`: seconds since 1970."""
        waiting = missing_scorings(self._candidates, self._recorder.history, self._evaluation)
        total = len(self._candidates)
        return ScoringStage(waiting, self._recorder, self._watcher, num_candidates=total, deadline=deadline)

    def run_rest(self, pool: Pool, deadline: float | None) -> None:
        """Score what the deadline of the trials left, until a deadline of its own, seconds since 1970."""
        history = self._recorder.history
        if deadline is not None and time.time() < deadline and not (stage := self.stage(deadline)).is_over():
            pool.run(stage)
        if deadline is None:
            return
        left = sum(len(s.candidates) for s in missing_scorings(self._candidates, history, self._evaluation))
        if left:
            self._recorder.record(LeftOut(what=f"{left} of {len(self._candidates)} candidates of the baselines"))

    def show(self) -> None:
        """Show the best candidate of each baseline."""
        for name, baseline in self._recorder.history.baselines.items():
            best = baseline.best
            normalization = ", ".join(f"{key} {value}" for key, value in best.candidate.normalize.items())
            self._recorder.say(f"baseline {name}: validation {best.val:.3f} ({normalization})")
