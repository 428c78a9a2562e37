"""The life of a search: prepare, trials and baselines, class folds, final models, sealed test, model, report.

`run` opens a search, `_work` shows its stages in their order, `_close` writes the report and ends tracking. Each stage
can be resumed: what the journal already has is not done again. A search lies in its own folder `<storage>/<name>/`:
`journal.jsonl` (the truth), `trials/`, `final/` and `folds/` (checkpoints), `model/` and `report.html`. A comparison
ships no model; it has `comparison.md` instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import require_imagenet_weights
from sldml.errors import hide_secrets, lacks_room
from sldml.interruption import interruption
from sldml.journal import (
    ALL,
    AttemptEnded,
    BaselinesScored,
    History,
    Journal,
    LeftOut,
    SearchBegun,
    StageChanged,
    Tested,
)
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, as_prepared
from sldml.protocols.split import Split
from sldml.recognition.baselines import BaselineScorer
from sldml.report.comparison import comparison_of, markdown, num_missing, only_winners
from sldml.report.files import Json, require_writable, write_json, write_text
from sldml.report.report import write_report
from sldml.report.summary import Timing, search_summary
from sldml.search.beside import Baselines
from sldml.search.choice import choose, num_class_folds
from sldml.search.cluster import Slots, check_address, connected, serve_set, share_out, starts_ray
from sldml.search.final import (
    FinalTraining,
    NothingToTrainError,
    can_be_tested,
    plan_finals,
    sealed_test,
    was_tested,
)
from sldml.search.finalists import Finalists
from sldml.search.fold_stage import run_folds
from sldml.search.folders import artifacts_of, final_weights, fold_weights, trial_weights
from sldml.search.head import head_watched
from sldml.search.identity import attempt_begun, search_begun
from sldml.search.machine import check_machine
from sldml.search.optuna_journal import OptunaJournal
from sldml.search.pool import Pool
from sldml.search.preflight import earlier_history, folder_lock, prepared_data, require_same_data, storage_errors
from sldml.search.recorder import Recorder
from sldml.search.request import Request
from sldml.search.run import run_finals, run_trials
from sldml.search.scheduler import planned_epochs, rungs
from sldml.search.shipping import ship
from sldml.search.steps import DATA, REPORT, steps_of
from sldml.search.time_budget import Deadlines, Sizes, TimeBudget
from sldml.search.trainable import Job
from sldml.search.watcher import Watcher
from sldml.tracking import Tracker, check, default_artifact_root, default_uri

_TRACKING_S = 60.0
_SHORT_TRACKING_S = 10.0
"""Where the disk is full, that of the default store is full, too."""


@dataclass
class Search:
    """One search at work."""

    request: Request
    begun: SearchBegun
    recorder: Recorder
    tracker: Tracker
    optuna_journal: OptunaJournal
    prepared: PreparedSet
    split: Split
    frames: Frames
    slots: Slots
    watcher: Watcher
    timing: Timing
    deadlines: Deadlines

    @property
    def history(self) -> History:
        """Everything in the journal."""
        return self.recorder.history


def run(request: Request, watcher: Watcher) -> Json:
    """Work on a search until it is done or interrupted. Returns its summary, and writes it where asked to.

    Raises:
        InputError: something that was asked for is not available; nothing was started.
    """
    interruption.mark_working()
    watcher.steps(steps_of(request))
    watcher.step(DATA)
    timing = Timing(time.time())
    if request.summary is not None:
        require_writable(request.summary)
    with folder_lock(request):
        history = earlier_history(request)
        check(request.tracking_uri or default_uri(request.storage))
        check_address(request.address)
        if starts_ray(request.address):
            check_machine()
        for name in EncoderConfig.pretrained_names():
            if request.space.may_be(f"encoder.{name}.weights", "imagenet"):
                require_imagenet_weights(name)
        prepared, split = prepared_data(request, watcher)
        require_same_data(history, prepared, split)
        watcher.doing("starting Ray")
        with connected(request.address), head_watched():
            search = _open(request, watcher, timing, history, prepared, split)
            state: Literal["completed", "interrupted", "failed"] = "failed"
            error, tracking_s = None, _TRACKING_S
            try:
                _work(search)
                state = "completed"
            except KeyboardInterrupt:
                error = interruption.failure
                state = "interrupted" if error is None else "failed"
            except NothingToTrainError as found:
                error = str(found)
            except Exception as found:
                if lacks_room(found):
                    error, tracking_s = _disk_error(found, search), _SHORT_TRACKING_S
                else:
                    error = hide_secrets(request.tracking_uri or "", f"{type(found).__name__}: {found}")
                    raise
            finally:
                interruption.mark_closing()
                watcher.step(REPORT)
                watcher.doing("writing the report, closing tracking")
                outcome = _close(search, state, error, tracking_s)
    return outcome


# ---------------------------------------------------------------------------------------------------- the stages


def _work(search: Search) -> None:
    """The stages of a search, in order."""
    request, recorder, history = search.request, search.recorder, search.history
    if history.begun is None:
        recorder.record(search.begun)
    recorder.record(attempt_begun(request, search.slots))

    with Pool(_job(search), search.slots, search.watcher.say) as pool:
        _run_trials(search, pool)
        if not _is_to_be_tested(search):
            return
        _score_folds(search, pool)
        plan = _plan(search)
        _train_finals(search, plan, pool)
        if search.deadlines.end is not None and not can_be_tested(history, plan):
            recorder.record(LeftOut(what="the sealed test"))
            return
    _test(search, plan)


def _is_to_be_tested(search: Search) -> bool:
    """Whether the search goes on after its trials."""
    request, history = search.request, search.history
    if request.comparison is not None and (missing := num_missing(history, request.space.search.trials)):
        search.watcher.say(f"{missing} trials are missing to give every choice the same budget: no sealed test yet")
        return False
    if not request.final:
        return False
    if search.deadlines.end is not None and not history.comparable():
        search.recorder.record(LeftOut(what="final models and the sealed test, because no trial has a result yet"))
        return False
    if history.test is None:
        return True
    race = None if request.comparison is not None else _finalists(search).race(history)
    return (race is not None and race.ending is None) or not was_tested(history.test, _plan(search))


def _finalists(search: Search) -> Finalists:
    """Who is scored on class folds."""
    return Finalists.of(search.history, search.request.space.search, num_class_folds(search.split.development))


def _plan(search: Search) -> list[FinalTraining]:
    """The final models: of the best finalists, or of the best configuration of each compared choice."""
    request, history, settings = search.request, search.history, search.request.space.search
    if request.comparison is not None:
        return plan_finals(only_winners(history).ranked(), len(request.comparison.choices), settings.final_seeds)
    finalists = _finalists(search)
    return plan_finals(finalists.order(finalists.race(history)), settings.top_k, settings.final_seeds)


def _run_trials(search: Search, pool: Pool) -> None:
    """The trials of the search, or of each choice of a comparison, and beside them the baselines on validation."""
    request, history, space = search.request, search.history, search.request.space
    deadlines, config = search.deadlines, space.default_config()
    final_epochs = config.train.max_epochs if request.final else None
    candidates = _scorer(search).candidates()
    with _stage(search, "search"):
        search.watcher.searching(
            request.num_trials,
            history,
            num_slots=search.slots.count,
            planned_epochs=planned_epochs(space, request.num_trials),
            promotes=bool(rungs(space)),
            max_epochs=config.num_epochs,
            deadline=deadlines.end,
        )
        scoring = Baselines(candidates, config.evaluation, search.recorder, search.watcher)
        run_trials(
            {ALL: space} if request.comparison is None else request.comparison.spaces(space),
            pool,
            search.recorder,
            num_trials=space.search.trials,
            deadline=lambda: deadlines.trials_end(final_epochs),
            first=history.search.first,
            beside=scoring.stage(),
        )
        scoring.run_rest(pool, deadlines.baselines_end(time.time()))
    scoring.show()


def _score_folds(search: Search, pool: Pool) -> None:
    """The finalists on class folds, which decide what ships."""
    if search.request.comparison is not None:
        return
    finalists, evaluation = _finalists(search), search.request.space.default_config().evaluation
    race = finalists.race(search.history, tries_again=True)
    if race is not None:
        # On a fold, a configuration trains about as long as a final model.
        trainings = plan_finals(finalists.trials, len(finalists.trials), finalists.num_folds)
        deadline = search.deadlines.stage_end(time.time(), trainings, later=_plan(search))
        with _stage(search, "folds"):
            run_folds(finalists, race, evaluation, pool, search.recorder, search.watcher, deadline=deadline)


def _train_finals(search: Search, plan: list[FinalTraining], pool: Pool) -> None:
    """The best configurations with several seeds, on auxiliary and validation classes."""
    deadlines, folder = search.deadlines, str(search.request.folder)
    with _stage(search, "final"):
        deadline = deadlines.stage_end(time.time(), plan)
        run_finals(
            plan, folder, pool, search.recorder, search.watcher, deadline=deadline, expected_s=deadlines.expected_s
        )


def _test(search: Search, plan: list[FinalTraining]) -> None:
    """The sealed test, once, and the model that ships; of a comparison its table instead of a model."""
    request, recorder, history, split = search.request, search.recorder, search.history, search.split
    folder = request.folder

    def load_final(trial_id: str, seed: int) -> Mapping[str, Any]:
        return final_weights(folder, trial_id, seed, len(history.finals[trial_id, seed].epochs))

    with _stage(search, "test"):
        known = [score for baseline in history.baselines.values() for score in baseline.scores]
        if not search.deadlines.has_time_for_test(time.time()):
            known = history.standing()
        recorder.record(BaselinesScored(scores=tuple(_scorer(search).test(split.sealed, known))))
        results = sealed_test(history, plan, split, search.frames, load_final)
        if request.comparison is None:
            tested = [final.trial_id for final in results.finals]
            results = ship(
                folder / "model",
                history,
                results,
                choose(split.development, tested, history, _finalists(search)),
                split=split,
                frames=search.frames,
                data=as_prepared(request.space.default_config().data, search.prepared),
                load_final=load_final,
                load_fold=lambda trial_id, num_folds: fold_weights(folder, trial_id, num_folds),
                load_trial=lambda trial_id: trial_weights(folder, trial_id),
                search_name=request.name,
            )
        recorder.record(Tested(results=results))


@contextmanager
def _stage(search: Search, name: str) -> Iterator[None]:
    search.recorder.record(StageChanged(name=name, state="started"))
    started = time.time()
    try:
        yield
    finally:
        search.timing.stages[name] = time.time() - started
    search.recorder.record(StageChanged(name=name, state="ended"))


# ------------------------------------------------------------------------------------------------ opening, closing


def _open(
    request: Request, watcher: Watcher, timing: Timing, history: History, prepared: PreparedSet, split: Split
) -> Search:
    slots = share_out(
        concurrent=request.concurrent,
        cpus_per_trial=request.cpus_per_trial,
        gpus_per_trial=request.gpus_per_trial,
        num_trials=request.num_trials,
    )
    timing.slots = slots.count
    begun = history.begun or search_begun(request, prepared, split, slots)
    uri, root = request.tracking_uri or default_uri(request.storage), default_artifact_root(request.storage)
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    with storage_errors(request):
        journal = Journal(request.journal)
        dashboard = OptunaJournal(request.folder, request.space, request.name)
        tracker = Tracker(request.folder, uri, begun, artifact_root=root)
    recorder = Recorder(journal, history, watcher)
    budget = None if request.time_budget_s is None else TimeBudget(request.started, request.time_budget_s)
    watcher.steps(steps_of(request, num_class_folds(split.development)))
    deadlines = Deadlines(budget, history, Sizes.of(split, request.space), slots.count)
    return Search(
        request, begun, recorder, tracker, dashboard, prepared, split, frames, slots, watcher, timing, deadlines
    )


def _scorer(search: Search) -> BaselineScorer:
    space = search.request.space
    return BaselineScorer(
        search.frames,
        normalizations=space.normalizations(),
        encoders=space.encoders(),
        representations=space.representations(),
        progress=search.watcher.counting("baselines"),
    )


def _job(search: Search) -> Job:
    return Job(
        storage=str(search.request.folder),
        prepared=str(search.prepared.folder),
        server=serve_set(search.prepared.folder),
        development=search.split.development,
        threads=search.slots.threads,
    )


def _close(
    search: Search, state: Literal["completed", "interrupted", "failed"], error: str | None, tracking_s: float
) -> Json:
    """Whatever happened: a report of what there is, tracking closed, and the summary.

    `tracking_s`: how long tracking may take to catch up.
    """
    request, history, tracker, folder = search.request, search.history, search.tracker, search.request.folder
    if history.begun is not None and search.recorder.has_journal:
        try:
            write_report(history, folder / "report.html")
            if comparison := comparison_of(history):
                write_text(markdown(comparison, history.search), folder / "comparison.md")
            search.recorder.record(AttemptEnded(state=state, error=error, artifacts=artifacts_of(folder, history)))
        except OSError as found:
            state, error, tracking_s = "failed", error or _disk_error(found, search), _SHORT_TRACKING_S
    search.optuna_journal.close()
    tracker.close(tracking_s)
    places = {
        "mlflow": {
            "tracking_uri": hide_secrets(request.tracking_uri or default_uri(request.storage)),
            "experiment_id": tracker.experiment_id,
            "run_id": tracker.run_id,
        },
        "report": str(folder / "report.html"),
        "model": None if history.shipped is None else str(folder / "model"),
        "tracking": tracker.to_json(),
    }
    outcome = search_summary(history, state, search.timing, places, error)
    if request.summary is not None:
        try:
            write_json(outcome, request.summary)
        except OSError as found:
            outcome |= {"state": "failed", "error": error or _disk_error(found, search)}
    return outcome


def _disk_error(error: Exception, search: Search) -> str:
    reason, place = getattr(error, "strerror", None) or error, getattr(error, "filename", None) or search.request.folder
    safe = "everything in the journal is safe" if search.recorder.has_journal else "put it back to resume"
    return f"{reason} ({place}); {safe}"
