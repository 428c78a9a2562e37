"""The life of a search: prepare, baselines, trials, final models, class folds, sealed test, model, report.

Each stage can be resumed. What a search is lies in its folder, `<storage>/<name>/`: `journal.jsonl` (the truth),
`trials/`, `final/` and `folds/` (checkpoints), `model/`, `report.html`; of a comparison, which ships no model,
`comparison.md`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from sldml.commands.environment import describe_environment
from sldml.commands.groundwork import (
    earlier_history,
    folder_lock,
    prepared_data,
    require_same_data,
)
from sldml.commands.progress import ProgressPrinter
from sldml.commands.request import Request
from sldml.commands.summary import Timing, require_writable, summarize, write_summary
from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import require_imagenet_weights
from sldml.interruption import interruption
from sldml.journal import History, Journal
from sldml.prepared.batches import Signals
from sldml.prepared.prepared_set import PreparedSet, as_prepared
from sldml.protocols.folds import scored_folds
from sldml.protocols.split import Split
from sldml.recognition.baselines import BaselineScorer
from sldml.recordings.sources import describe
from sldml.report.comparison import (
    comparison_of,
    comparison_rows,
    markdown,
    num_missing,
    only_winners,
)
from sldml.report.report import write_report
from sldml.search.choice import num_deciding_folds
from sldml.search.cluster import Slots, check_address, connected, serve_set, share_out
from sldml.search.final import NothingToTrainError, plan_finals, plan_folds, sealed_test, was_tested
from sldml.search.recorder import Recorder
from sldml.search.run import run_comparison, run_finals, run_folds, run_search
from sldml.search.scheduler import prunes
from sldml.search.shipping import ship
from sldml.search.trainable import Job, final_folder, trial_folder
from sldml.tracking import Tracker, check, default_artifact_root, default_uri, hide_password
from sldml.training.checkpoints import CheckpointFile


@dataclass
class Search:
    """One search while it is worked on."""

    request: Request
    recorder: Recorder
    prepared: PreparedSet
    split: Split
    signals: Signals
    slots: Slots
    printer: ProgressPrinter
    timing: Timing

    @property
    def history(self) -> History:
        """Everything that the journal says."""
        return self.recorder.history


def run(request: Request, printer: ProgressPrinter) -> dict[str, Any]:
    """Work on a search until it is done or interrupted, and return its summary (and write it, where asked).

    Raises:
        InputError: something that was asked for cannot be had; nothing was begun.
    """
    timing = Timing(time.time())
    if request.summary is not None:
        require_writable(request.summary)
    with folder_lock(request):
        history = earlier_history(request)
        tracking_uri = request.tracking_uri or default_uri(request.storage)
        check(tracking_uri)
        check_address(request.address)
        for name in EncoderConfig.pretrained_names():
            if request.space.may_be(f"encoder.{name}.weights", "imagenet"):
                require_imagenet_weights(name)
        prepared, split = prepared_data(request, printer)
        require_same_data(history, prepared, split)
        printer.doing("starting Ray")
        with connected(request.address):
            slots = share_out(
                concurrent=request.concurrent,
                cpus_per_trial=request.cpus_per_trial,
                gpus_per_trial=request.gpus_per_trial,
                num_trials=request.num_trials,
            )
            timing.slots = slots.count
            tags = _tags(request)
            tracker = Tracker(
                tracking_uri,
                experiment=request.space.name,
                search=request.name,
                artifact_root=default_artifact_root(request.storage),
                search_id=str(request.folder),
                tags=tags,
                spool=request.folder / "tracking.spool",
            )
            search = Search(
                request,
                Recorder(Journal(request.folder / "journal.jsonl"), history, tracker, printer, tags),
                prepared,
                split,
                Signals.open(prepared.folder, torch.device("cpu")),
                slots,
                printer,
                timing,
            )
            state, error = "failed", None
            try:
                _work(search, tracker)
                state = "completed"
            except KeyboardInterrupt:
                state = "interrupted"
            except NothingToTrainError as found:
                error = str(found)
            except Exception as found:
                error = f"{type(found).__name__}: {found}"
                raise
            finally:
                interruption.begin_to_end()
                printer.doing("writing the report, closing tracking")
                _end(search, tracker, state)
                places = {**_places(search, tracker), "tracking": tracker.to_json()}
                outcome = summarize(history, state, timing, places, error)
                if request.summary is not None:
                    write_summary(outcome, request.summary)
    return outcome


def _work(search: Search, tracker: Tracker) -> None:
    """The stages, in order. What the journal already has is not done again."""
    request, recorder, history = search.request, search.recorder, search.history
    if history.search:
        recorder.replay()
    else:
        recorder.record("search", **_identity(search))
    recorder.record(
        "attempt",
        command=request.command,
        overrides=list(request.overrides),
        settings=request.space.search.model_dump(),
        slots=search.slots.count,
        environment=describe_environment(),
    )
    tracker.log_params(None, {"space.name": request.space.name, "space.hash": request.space.hash})
    tracker.log_text(None, request.space.text, "space.yaml")
    tracker.log_dict(None, history.search, "search.json")

    _score_baselines(search)
    for name, result in history.baselines.items():
        search.printer.say(f"baseline {name}: validation {result['val']:.3f} ({_words(result['normalize'])})")

    with _stage(search, "search"):
        _run_trials(search)
    if request.comparison is not None and (missing := num_missing(history, request.space.search.trials)):
        search.printer.say(f"{missing} trials are missing to the same budget for all: the sealed test waits for them")
    elif request.final:
        _finish(search)


def _run_trials(search: Search) -> None:
    """The trials of the search, or of each choice of a comparison."""
    request, history = search.request, search.history
    deadline = None if request.time_budget_s is None else time.time() + request.time_budget_s
    common: Any = {
        "num_trials": request.space.search.trials,
        "deadline": deadline,
        "first": history.search.get("first", []),
    }
    max_epochs = request.space.default_config().train.max_epochs
    search.printer.searching(
        request.num_trials,
        history,
        num_slots=search.slots.count,
        pruning=request.comparison is None and prunes(request.space.search, max_epochs),
        max_epochs=max_epochs,
        deadline=deadline,
    )
    if request.comparison is None:
        run_search(request.space, _job(search), search.slots, search.recorder, **common)
    else:
        spaces = request.comparison.spaces(request.space)
        run_comparison(spaces, _job(search), search.slots, search.recorder, **common)


def _score_baselines(search: Search) -> None:
    """Training-free ways on the validation classes and, where they decide what ships, on all class folds."""
    request, recorder, history = search.request, search.recorder, search.history
    development, evaluation = search.split.development, request.space.default_config().evaluation
    ships = request.final and request.comparison is None
    num_folds = num_deciding_folds(development) if ships else 0
    folds_wanted = num_folds > 0 and history.baseline_folds.get("num_folds") != num_folds
    if history.baselines and not folds_wanted:
        return
    with _stage(search, "baselines"):
        if not history.baselines:
            recorder.baselines(_scorer(search).validate(development, evaluation))
        if folds_wanted:
            folds = scored_folds(development, num_folds)
            recorder.baseline_folds(num_folds, _scorer(search).validate_folds(folds, evaluation))


def _finish(search: Search) -> None:
    """Final models, class folds, sealed test, the model that ships; of a comparison the table instead of a model."""
    history, recorder, settings = search.history, search.recorder, search.request.space.search
    comparison = search.request.comparison
    if comparison is None:
        plan = plan_finals(history, settings.top_k, settings.final_seeds)
    else:
        plan = plan_finals(only_winners(history), len(comparison.choices), settings.final_seeds)
    with _stage(search, "final"):
        slots = dataclasses.replace(search.slots, count=min(search.slots.count, len(plan)))
        run_finals(plan, _job(search), slots, recorder, search.printer)
    if history.test is not None and was_tested(history.test, plan):
        return
    if comparison is None and (num_folds := num_deciding_folds(search.split.development)):
        with _stage(search, "folds"):
            folds = plan_folds(plan, num_folds, search.request.space.default_config().evaluation)
            run_folds(folds, _job(search), search.slots, recorder, search.printer)
    with _stage(search, "test"):
        sealed, layout = search.split.sealed, search.prepared.layout
        recorder.baselines(_scorer(search).test(sealed, history.baselines))
        planned = {(final["trial_id"], final["seed"]) for final in plan}
        finals = {key: final for key, final in history.finals.items() if key in planned}
        results = sealed_test(
            dataclasses.replace(history, finals=finals),
            sealed,
            search.split.development.merged(),
            search.signals,
            layout,
            lambda t, s: _final_weights(search, t, s),
        )
        if comparison is None:
            recorder.test({**results, **_ship(search, results)})
        else:
            recorder.test({**results, "comparison": comparison_rows(history, results["finals"])})


def _ship(search: Search, results: Mapping[str, Any]) -> dict[str, Any]:
    return ship(
        search.request.folder / "model",
        search.history,
        results,
        split=search.split,
        signals=search.signals,
        layout=search.prepared.layout,
        data=as_prepared(search.request.space.default_config().data, search.prepared),
        load_final=lambda t, s: _final_weights(search, t, s),
        load_trial=lambda t: _trial_weights(search, t),
        search_name=search.request.name,
    )


@contextmanager
def _stage(search: Search, name: str) -> Iterator[None]:
    search.recorder.record("stage", name=name, state="started")
    started = time.time()
    try:
        yield
    finally:
        search.timing.stages[name] = time.time() - started
    search.recorder.record("stage", name=name, state="ended")


def _end(search: Search, tracker: Tracker, state: str) -> None:
    """Whatever happened: a report of what there is, and tracking closed."""
    if search.history.search:
        report = write_report(search.history, search.request.folder / "report.html")
        tracker.log_artifact(None, report)
        if comparison := comparison_of(search.history):
            table = search.request.folder / "comparison.md"
            table.write_text(markdown(comparison, search.history.search), encoding="utf-8")
            tracker.log_artifact(None, table)
        if (search.history.test or {}).get("shipped"):
            _track_winner(search, tracker)
    for trial in search.history.trials.values():
        if trial.state == "running":
            search.recorder.trial_ended(trial.trial_id, "running")
    tracker.set_tags(None, {"state": state})
    tracker.close("FINISHED" if state == "completed" else "FAILED" if state == "failed" else "KILLED")


def _track_winner(search: Search, tracker: Tracker) -> None:
    """What ships, as an MLflow model (and registered, where asked for), and the checkpoint of the best trial."""
    request, folder = search.request, search.request.folder
    for file in sorted((folder / "model").glob("*")):
        tracker.log_artifact(None, file, "model")
    tracker.log_model(None, folder / "model", name=request.space.name, register=request.register)
    best = search.history.ranked()[0].trial_id
    checkpoint = folder / trial_folder(best) / "best.pt"
    if checkpoint.is_file():
        tracker.log_artifact(f"trial:{best}", checkpoint, "checkpoint")


def _scorer(search: Search) -> BaselineScorer:
    space = search.request.space
    return BaselineScorer(
        search.signals,
        search.prepared.layout,
        normalizations=space.normalizations(),
        encoders=space.encoders(),
        representations=space.representations(),
        progress=search.printer.counting("baselines"),
    )


def _job(search: Search) -> Job:
    return Job(
        storage=str(search.request.folder),
        prepared=str(search.prepared.folder),
        server=serve_set(search.prepared.folder),
        layout=search.prepared.layout,
        development=search.split.development,
        threads=search.slots.threads,
    )


def _identity(search: Search) -> dict[str, Any]:
    """What the journal says of the search as a whole. Of novel recordings there are counts only."""
    request, split, meta = search.request, search.split, search.prepared.meta
    return {
        "name": request.name,
        "space": {"name": request.space.name, "hash": request.space.hash, "text": request.space.text},
        "overrides": list(request.overrides),
        "first": [dict(params) for params in request.first],
        "compare": None if request.comparison is None else request.comparison.to_record(),
        "data": None if request.data is None else str(request.data),
        "command": request.command,
        "settings": {
            **request.space.search.model_dump(),
            "slots": search.slots.count,
            "max_epochs": request.space.default_config().train.max_epochs,
        },
        "prepared": {
            "hash": search.prepared.hash,
            "num_recordings": meta["num_recordings"],
            "num_frames": meta["num_frames"],
            "num_rows": search.prepared.layout.num_rows,
            "num_refused": len(meta["refused"]),
            "source": describe(request.space.default_config().data),
        },
        "split": {**split.to_record(), "notes": [*meta["notes"], *split.notes]},
        "environment": {**describe_environment(), "threads": search.slots.threads},
    }


# ------------------------------------------------------------------------------------------------ ends


def _final_weights(search: Search, trial_id: str, seed: int) -> Mapping[str, Any]:
    """The encoder of a final training."""
    num_epochs = len(search.history.finals[trial_id, seed].epochs)
    folder = f"{search.request.folder}/{final_folder(trial_id, seed, num_epochs)}"
    saved = CheckpointFile(folder).load(torch.device("cpu"))
    return _present(None if saved is None else saved["training"]["encoder"], f"final {trial_id} seed {seed}")


def _trial_weights(search: Search, trial_id: str) -> Mapping[str, Any]:
    """The encoder of a trial's best epoch."""
    saved = CheckpointFile(f"{search.request.folder}/{trial_folder(trial_id)}").load_best(torch.device("cpu"))
    return _present(saved, trial_id)


def _present(weights: Mapping[str, Any] | None, whose: str) -> Mapping[str, Any]:
    if weights is None:
        raise FileNotFoundError(f"the checkpoint of {whose} is gone from the search's folder")
    return weights


def _places(search: Search, tracker: Tracker) -> dict[str, Any]:
    folder = search.request.folder
    return {
        "mlflow": {
            "tracking_uri": hide_password(search.request.tracking_uri or default_uri(search.request.storage)),
            "experiment_id": tracker.experiment_id,
            "run_id": tracker.run_id,
        },
        "report": str(folder / "report.html"),
        "model": str(folder / "model") if (search.history.test or {}).get("shipped") else None,
    }


def _tags(request: Request) -> dict[str, str]:
    config = request.space.default_config()
    tags: dict[str, str] = {"dataset": config.data.dataset, "protocol": config.protocol.name}
    if request.comparison is not None:
        tags["compare"] = request.comparison.axis
    commit = describe_environment()["commit"]
    return {**tags, "commit": commit} if commit else tags


def _words(normalization: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in normalization.items())
