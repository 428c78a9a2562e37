"""The functions that run on workers: one trial, one final training, one class fold of a finalist, or baselines."""

from __future__ import annotations

import contextlib
import functools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sldml.search.collector import collector_paused

with collector_paused():
    import torch
    from pyarrow import fs
    from ray import tune

    from sldml.config.dotted import ConfigTree
    from sldml.config.trial import TrialConfig
    from sldml.embedding.view import View
    from sldml.journal import OBJECTIVE
    from sldml.prepared.batches import Frames
    from sldml.protocols.folds import scored_folds
    from sldml.protocols.split import Development
    from sldml.recognition.baselines import validate
    from sldml.search.cluster import bring_set
    from sldml.search.final import FinalTraining, FoldScoring, FoldTraining
    from sldml.search.folders import final_folder, fold_folder, trial_folder
    from sldml.search.scoring import Scoring
    from sldml.training.checkpoints import CheckpointFile, open_folder
    from sldml.training.fixed_epochs import run_final, run_fold
    from sldml.training.trial import WORST, run_trial
    from sldml.training.usage import WORKER


@dataclass(frozen=True)
class Job:
    """The data shared by all trials of a search. Contains neither offsets nor labels of novel recordings."""

    storage: str
    """The search's folder: absolute path or URI, accessible to all nodes."""
    prepared: str
    """The prepared set's folder on the driver's node."""
    server: Any
    """Actor from which nodes without access to that folder copy it; None on a single node."""
    development: Development
    threads: int


WARM_UP = "warm_up"
"""The configuration with this key trains nothing."""
_READY_EVERY_S = 0.2
_HEARTBEAT_S = 5.0
"""How often a process that scores baselines says that it is alive."""


def train(config: Mapping[str, Any], job: Job) -> None:
    """What a worker is asked for: a trial, baselines, a final training, a class fold, or only to get ready."""
    if WARM_UP in config:
        _prepare_process(job)
        while True:  # until the pool ends it
            tune.report({"state": "ready"})
            time.sleep(_READY_EVERY_S)
    elif "final" in config:
        train_final(config, job)
    elif "fold" in config:
        train_fold(config, job)
    elif "scoring" in config:
        score_fold(config, job)
    elif "baselines" in config:
        score_baselines(config, job)
    else:
        train_trial(config, job)


def train_trial(config: Mapping[str, Any], job: Job) -> None:
    """One trial of the search."""

    def run(trial: TrialConfig, frames: Frames, checkpoint: CheckpointFile) -> None:
        run_trial(
            trial,
            job.development,
            frames,
            report=tune.report,
            checkpoint=checkpoint,
            epochs_reported=config["epochs_reported"],
            rungs=config["rungs"],
        )

    _run(config["config"], job, trial_folder(config["trial_id"]), run)


def train_final(config: Mapping[str, Any], job: Job) -> None:
    """One final training: a configuration of the search with another seed, on all auxiliary classes."""
    final: FinalTraining = config["final"]

    def run(trial: TrialConfig, frames: Frames, checkpoint: CheckpointFile) -> None:
        run_final(
            trial,
            final.num_epochs,
            View(frames, job.development.merged()),
            report=tune.report,
            checkpoint=checkpoint,
        )

    _run(final.config, job, final_folder(final.trial_id, final.seed, final.num_epochs), run)


def train_fold(config: Mapping[str, Any], job: Job) -> None:
    """One class fold: a configuration of the search trained on the auxiliary classes of the other folds."""
    fold: FoldTraining = config["fold"]

    def run(trial: TrialConfig, frames: Frames, checkpoint: CheckpointFile) -> None:
        run_fold(
            trial,
            fold.num_epochs,
            _fold(fold, job),
            frames,
            report=tune.report,
            checkpoint=checkpoint,
            keeps_weights=(fold.repeat, fold.fold) == (1, 1),  # the threshold for unknown actions needs them
        )

    _run(fold.config, job, fold_folder(fold.trial_id, fold.num_folds, fold.repeat, fold.fold), run)


def score_fold(config: Mapping[str, Any], job: Job) -> None:
    """One class fold of a candidate without training."""
    scoring: FoldScoring = config["scoring"]
    with _errors_reported(job) as frames:
        (scored,) = validate(frames, [scoring.candidate], _fold(scoring, job), scoring.evaluation, between=_heartbeat())
        tune.report({"epoch": 1, "state": "completed", "val/accuracy": scored.val})


def _fold(of: FoldTraining | FoldScoring, job: Job) -> Development:
    return scored_folds(job.development, of.num_folds, of.repeat)[of.fold - 1]


def score_baselines(config: Mapping[str, Any], job: Job) -> None:
    """Candidates of the baselines, scored on validation; the last report has the scores and how long they took."""
    scoring: Scoring = config["baselines"]
    started = time.monotonic()
    with _errors_reported(job) as frames:
        scores = validate(frames, scoring.candidates, job.development, scoring.evaluation, between=_heartbeat())
        seconds = time.monotonic() - started
        found = [score.model_dump() for score in scores]
        tune.report({"state": "completed", "scores": found, "seconds": seconds, "worker": WORKER})


def _heartbeat() -> Callable[[], None]:
    """A function to be called often, which reports every few seconds that the process is alive."""
    reported = time.monotonic()

    def beat() -> None:
        nonlocal reported
        if time.monotonic() - reported > _HEARTBEAT_S:
            reported = time.monotonic()
            tune.report({"state": "running", "worker": WORKER})

    return beat


def _run(
    config: ConfigTree,
    job: Job,
    folder: str,
    run: Callable[[TrialConfig, Frames, CheckpointFile], None],
) -> None:
    """Run a training of a configuration with the checkpoint in this folder."""
    with _errors_reported(job) as frames:
        trial = TrialConfig.model_validate(config)
        run(trial, frames, CheckpointFile(f"{job.storage}/{folder}"))


@contextlib.contextmanager
def _errors_reported(job: Job) -> Iterator[Frames]:
    """Report errors of the configuration; failures of the machine are raised, so that Ray retries."""
    frames = _prepare_process(job)
    try:
        yield frames
    except (OSError, MemoryError, torch.AcceleratorError):
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        tune.report({"epoch": 0, OBJECTIVE: WORST, "state": "failed", "error": message})


def _prepare_process(job: Job) -> Frames:
    """Set up torch, and open the prepared set."""
    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.optim.lr_scheduler")
    require_shared(job.storage)
    return _frames(str(bring_set(job.prepared, job.server)))


@functools.lru_cache(maxsize=1)
def _frames(folder: str) -> Frames:
    """The prepared set, opened (on a GPU: loaded) once for all trials that this process runs."""
    return Frames.open(Path(folder), torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def require_shared(storage: str) -> None:
    """Check that this node can access the search's folder, which other nodes need for its checkpoints.

    Raises:
        OSError: it cannot.
    """
    filesystem, path = open_folder(storage)
    if filesystem.get_file_info(f"{path}/journal.jsonl").type != fs.FileType.File:
        raise OSError(f"this node cannot access {storage}: set --storage to a path or URI that all nodes can access")
