"""Record the learning curves of random configurations, trained to the end: what searches are replayed on.

Run: DATASET_FOLDER=<data> python -m tests.benchmarks.record_curves OUT [--part 0/2]

Appends to OUT (JSON, one line a trial: `params` and the validation accuracy after each epoch), and goes on where
it was. With `--part i/n` every n-th trial only, for several processes, each with a file of its own.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import optuna
import torch

from sldml.config.space_file import read_space
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import prepare
from sldml.protocols.make_split import make_split
from sldml.training.trial import run_trial

SPACE = Path(__file__).with_name("isl_kinect_small.yaml")


def main() -> None:
    """Train what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th trial, beginning with the i-th")
    parser.add_argument("--cache", type=Path, default=Path("results/prepared"))
    arguments = parser.parse_args()
    part, num_parts = map(int, arguments.part.split("/"))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    space = read_space(str(SPACE))
    config = space.default_config()
    prepared = prepare(config.data, Path(os.environ["DATASET_FOLDER"]), arguments.cache.absolute())
    development = make_split(config.protocol, prepared.catalog).development
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    known = {json.loads(line)["trial"] for line in arguments.out.open()} if arguments.out.exists() else set()

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=space.search.seed))
    for number in range(space.search.trials):
        trial = study.ask()
        space(trial)
        if number in known or number % num_parts != part:
            continue
        curve: list[float] = []

        def report(metrics: dict[str, Any], curve: list[float] = curve) -> None:
            curve.append(round(metrics["val/accuracy"], 5))

        run_trial(space.configure(trial.params), development, frames, report=report)
        with arguments.out.open("a") as file:
            file.write(json.dumps({"trial": number, "params": trial.params, "curve": curve}) + "\n")
        print(f"{number}: best {max(curve):.3f} after epoch {curve.index(max(curve)) + 1}", flush=True)


if __name__ == "__main__":
    main()
