"""What a matcher is worth: one training a class fold, its validation classes named by every matcher.

Run: DATASET_FOLDER=<data> python -m tests.benchmarks.matchers [--space isl_kinect] [--epochs 14]

Encoders of two kinds with the settings that the space begins with (`known_good`), three class folds of the auxiliary
classes, no novel class touched. Prints the accuracy over exemplar draws, mean (folds), of the trained weights and of
the weights as initialised.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from sldml.config.encoder import EncoderConfig
from sldml.config.matcher import MatcherConfig
from sldml.config.space_file import override, read_space
from sldml.config.trial import TrialConfig
from sldml.embedding.encoders import Encoder
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import prepare
from sldml.protocols.folds import scored_folds
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Development
from sldml.recognition.matching import Matching, signal_scale
from sldml.recognition.one_shot import exemplar_draws, score_distances
from sldml.training.loop import Training

NUM_FOLDS = 3
MATCHERS = {
    "embedding": MatcherConfig(),
    "alignment": MatcherConfig(name="alignment"),
    "embedding + DTW of signals": MatcherConfig(raw_weight=0.4),
    "alignment + DTW of signals": MatcherConfig(name="alignment", raw_weight=0.4),
}


def scores(config: TrialConfig, encoder: Encoder, fold: Development, frames: Frames) -> list[float]:
    """The accuracy of each matcher on a fold's validation classes."""
    view = View(frames, fold.validation)
    draws = exemplar_draws(view.labels, config.evaluation.num_draws, config.evaluation.seed)
    scale = signal_scale(View(frames, fold.train), config.normalize)
    found = []
    for matcher in MATCHERS.values():
        way = Matching("encoder", view.layout, config.normalize, config.representation, encoder, matcher, scale)
        found.append(score_distances(way.between(view, view).cpu(), view.labels, draws).mean)
    return found


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="isl_kinect")
    parser.add_argument("--epochs", type=int, default=14)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    space = override(read_space(arguments.space), [f"train.max_epochs={arguments.epochs}"])
    config = space.configure(dict(space.known_good[0]))
    prepared = prepare(config.data, Path(os.environ["DATASET_FOLDER"]), Path("results/prepared").absolute())
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    folds = scored_folds(make_split(config.protocol, prepared.catalog).development, NUM_FOLDS)

    way = Matching("dtw_1nn", prepared.layout, config.normalize)
    free = []
    for fold in folds:
        view = View(frames, fold.validation)
        draws = exemplar_draws(view.labels, config.evaluation.num_draws, config.evaluation.seed)
        free.append(score_distances(way.between(view, view), view.labels, draws).mean)
    line("DTW of signals alone", free)
    first = config.encoder.model_copy(update={"members": 1})
    for encoder in (first, EncoderConfig(embedding_dim=first.embedding_dim)):
        chosen = config.model_copy(update={"encoder": encoder})
        untrained, trained = [], []
        for fold in folds:
            training = Training(chosen, View(frames, fold.train))
            untrained.append(scores(chosen, training.encoder, fold, frames))
            for _ in range(chosen.train.max_epochs):
                training.run_epoch()
            trained.append(scores(chosen, training.encoder, fold, frames))
        for state, table in (("untrained", untrained), (f"{arguments.epochs} epochs", trained)):
            for matcher, values in zip(MATCHERS, zip(*table, strict=True), strict=True):
                line(f"{encoder.name}, {state}, {matcher}", values)


def line(name: str, accuracies: list[float] | tuple[float, ...]) -> None:
    """One row."""
    print(f"{name:55} {np.mean(accuracies):.3f} ({', '.join(f'{value:.3f}' for value in accuracies)})", flush=True)


if __name__ == "__main__":
    main()
