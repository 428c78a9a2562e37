"""Record the learning curves of random configurations, trained to the end: what searches are replayed on.

Run: DATASET_FOLDER=<data> python -m tests.benchmarks.record_curves isl_kinect [--trials 200]

Appends to `curves/<set>.jsonl` (one line a configuration), and goes on where it was. Each configuration is trained on
each of three class folds. Of each fold a line has, after every epoch, the accuracy on the fold's validation classes
(`val`, which a search sees) and on novel classes, which take no part in training or validation (`held_out`): what a
search is worth in the end. Both are one-shot accuracies over 100 draws of exemplars.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch

from sldml.config.space import SearchSpace
from sldml.config.space_file import read_space
from sldml.config.trial import TrialConfig
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import prepare
from sldml.protocols.folds import fold_developments
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Development, union
from sldml.training.loop import DivergedError, Training
from sldml.training.trial import WORST
from sldml.training.validation import Validator

FOLDER = Path(__file__).with_name("curves")
SETS = ("isl_kinect", "utd_mhad", "synthetic")
NUM_FOLDS = 3
MOST_TRAIN, MOST_VALIDATION, MOST_HELD_OUT = 400, 200, 400
"""Recordings of a fold, drawn evenly from the classes, so that a training takes seconds."""


@dataclass(frozen=True)
class Fold:
    """What one training sees, and what scores it."""

    seen: Development
    held_out: Development


def main() -> None:
    """Train what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path("results/prepared"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    space = read_recorded_space(arguments.set)
    out = FOLDER / f"{arguments.set}.jsonl"
    frames, folds = _data(space, arguments.cache.absolute())
    known = {json.loads(line)["trial"] for line in out.open()} if out.exists() else set()

    for number, params in enumerate(random_params(space, arguments.trials, space.search.seed)):
        if number in known:
            continue
        started = time.perf_counter()
        curves = [_train(space.configure(params), fold, frames) for fold in folds]
        with out.open("a") as file:
            file.write(json.dumps({"trial": number, "params": params, "folds": curves}) + "\n")
        best = [max(curve["val"]) for curve in curves]
        took = time.perf_counter() - started
        print(f"{number}: best of each fold {', '.join(f'{b:.3f}' for b in best)}; {took:.1f} s", flush=True)


def read_recorded_space(name: str) -> SearchSpace:
    """The space of one of the recorded sets."""
    return read_space(str(FOLDER / f"{name}.yaml"))


def random_params(space: SearchSpace, count: int, seed: int) -> list[dict[str, Any]]:
    """Parameters that random search would propose."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        space(trial)
    return [dict(trial.params) for trial in trials]


def _data(space: SearchSpace, cache: Path) -> tuple[Frames, list[Fold]]:
    config = space.default_config()
    folder = os.environ.get("DATASET_FOLDER")
    prepared = prepare(config.data, Path(folder) if folder else None, cache)
    split = make_split(config.protocol, prepared.catalog)
    novel = union(split.sealed.exemplars, split.sealed.queries).sample(MOST_HELD_OUT)
    folds = []
    for whole in fold_developments(split.development, NUM_FOLDS):
        train, validation = whole.train.sample(MOST_TRAIN), whole.validation.sample(MOST_VALIDATION)
        folds.append(
            Fold(replace(whole, train=train, validation=validation), replace(whole, train=train, validation=novel))
        )
    return Frames.open(prepared.folder, torch.device("cpu")), folds


def _train(config: TrialConfig, fold: Fold, frames: Frames) -> dict[str, list[float]]:
    """Both accuracies after each epoch; the worst from the epoch in which it diverged."""
    training = Training(config, View(frames, fold.seen.train))
    scorers = {"val": Validator(config, fold.seen, frames), "held_out": Validator(config, fold.held_out, frames)}
    curves: dict[str, list[float]] = {name: [] for name in scorers}
    for epoch in range(config.train.max_epochs):
        try:
            training.run_epoch()
        except DivergedError:
            return {name: curve + [WORST] * (config.train.max_epochs - epoch) for name, curve in curves.items()}
        for name, score in scorers.items():
            curves[name].append(round(score(training.encoder)["val/accuracy"], 4))
    return curves


if __name__ == "__main__":
    main()
