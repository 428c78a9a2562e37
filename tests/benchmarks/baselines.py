"""What needs no training, on the real recordings: raw 1-NN and DTW 1-NN by protocol and by normalisation.

Run: DATASET_FOLDER=<data> python -m tests.benchmarks.baselines

Prints the tables of RESULTS.md. It reads the sealed test of each protocol; nothing is chosen by what it prints.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch

from sldml.config.data import DataConfig, UtdMhadData
from sldml.config.encoder import EncoderConfig
from sldml.config.protocol import ProtocolConfig
from sldml.config.representation import NormalizeConfig
from sldml.config.space_file import read_space
from sldml.config.training import EvaluationConfig
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.folds import scored_folds
from sldml.protocols.make_split import make_split
from sldml.recognition.baselines import BASELINES, BaselineScorer
from sldml.recognition.matching import Matching
from sldml.search.choice import num_class_folds
from sldml.search.environment import describe_environment

CACHE = Path("results/prepared").absolute()
AUXILIARY = (3, 7, 11, 15, 19, 23)
FIRST_FRAME = {"center": "first_frame"}


def prepared_set(data: DataConfig) -> PreparedSet:
    return prepare(data, Path(os.environ["DATASET_FOLDER"]), CACHE)


def accuracies(prepared: PreparedSet, protocol: dict[str, Any], normalize: dict[str, str]) -> tuple[float, float]:
    """Raw and DTW 1-NN on the sealed test."""
    config: ProtocolConfig = pydantic.TypeAdapter(ProtocolConfig).validate_python(protocol)
    sealed = make_split(config, prepared.catalog).sealed
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    exemplars, queries = View(frames, sealed.exemplars), View(frames, sealed.queries)
    normalization = NormalizeConfig.model_validate(normalize)
    found = []
    for kind in ("raw_1nn", "dtw_1nn"):
        way = Matching(kind, exemplars.layout, normalization)  # type: ignore[arg-type]
        nearest = way.between(exemplars, queries).argmin(dim=0).numpy()
        found.append(float((exemplars.labels[nearest] == queries.labels).mean()))
    return found[0], found[1]


def utd_mhad() -> None:
    sets = {modality: prepared_set(UtdMhadData(modality=modality)) for modality in ("skeleton", "inertial", "fused")}  # type: ignore[arg-type]
    print(f"UTD-MHAD one-shot, first frame centred, torso-scaled; {', '.join(map(str, AUXILIARY))} auxiliary classes")
    for modality, prepared in sets.items():
        for sensors in ("full_scale",) if modality == "skeleton" else ("none", "full_scale", "per_sensor", "per_axis"):
            rows = [
                accuracies(
                    prepared,
                    {"name": "utd_mhad_one_shot", "num_auxiliary": count},
                    {**FIRST_FRAME, "sensors": sensors},
                )
                for count in AUXILIARY
            ]
            for kind, values in zip(("raw 1-NN", "DTW 1-NN"), zip(*rows, strict=True), strict=True):
                print(f"  {modality:9}{sensors:11}{kind}  " + " ".join(f"{value:.3f}" for value in values))

    print("UTD-MHAD between sensors and between joints, the same normalisation: raw 1-NN, DTW 1-NN")
    for sensor in ("inertial", "skeleton"):
        raw, dtw = accuracies(
            sets["fused"], {"name": "utd_mhad_inter_sensor", "train_on": sensor, "num_auxiliary": 11}, FIRST_FRAME
        )
        print(f"  trained on {sensor}, tested on the other sensor, 11/16  {raw:.3f} {dtw:.3f}")
    for joint in ("wrist", "thigh"):
        for equal in (False, True):
            for modality in ("skeleton", "inertial"):
                raw, dtw = accuracies(
                    sets[modality],
                    {"name": "utd_mhad_inter_joint", "train_on": joint, "equal_classes": equal},
                    FIRST_FRAME,
                )
                print(f"  trained on {joint}, {modality}{', equal classes' if equal else ''}  {raw:.3f} {dtw:.3f}")


def utd_mhad_folds() -> None:
    space = read_space("utd_mhad")
    config = space.default_config()
    prepared = prepared_set(config.data)
    development = make_split(config.protocol, prepared.catalog).development
    scorer = BaselineScorer(
        Frames.open(prepared.folder, torch.device("cpu")),
        normalizations=space.normalizations(),
        encoders=[EncoderConfig()],
        representations=[config.representation],
    )
    folds = scored_folds(development, num_class_folds(development))
    print(f"UTD-MHAD, 11 auxiliary classes, {len(folds)} class folds, best normalisation: mean (folds)")
    scored = [scorer.validate(fold, EvaluationConfig()) for fold in folds]
    candidates = list(zip(*scored, strict=True))
    for name in BASELINES:
        values = [[score.val for score in scores] for scores in candidates if scores[0].candidate.baseline == name]
        best = max(values, key=np.mean)
        print(f"  {name:9} {np.mean(best):.3f} ({', '.join(f'{value:.3f}' for value in best)})")


def isl_kinect() -> None:
    config = read_space("isl_kinect").default_config()
    prepared = prepared_set(config.data)
    print("ISL-Kinect, 21 auxiliary and 9 novel classes: raw 1-NN, DTW 1-NN")
    for normalize in (
        {"center": "every_frame", "view": "face_camera", "scale": "torso"},
        {"center": "first_frame", "view": "face_camera", "scale": "torso"},
        {"center": "mean", "scale": "extent"},
        {"center": "mean", "scale": "none"},
    ):
        raw, dtw = accuracies(prepared, config.protocol.model_dump(), normalize)
        print(f"  {', '.join(normalize.values())}  {raw:.3f} {dtw:.3f}")


def main() -> None:
    """Print all of it."""
    environment = describe_environment()
    changed = " and changes" if environment.dirty else ""
    print(f"commit {environment.commit}{changed}, {time.strftime('%Y-%m-%d')}")
    utd_mhad()
    utd_mhad_folds()
    isl_kinect()


if __name__ == "__main__":
    main()
