"""Recordings of two sensors: training sees the rows of one alone, the sealed test and what ships those of the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.catalogs import catalog_of, utd_names
from support.made_history import search_begun
from support.shipped import FOLDS
from support.small import trial_config

from sldml.config.data import UtdMhadData
from sldml.config.protocol import UtdMhadInterSensor, UtdMhadOneShot
from sldml.config.training import EvaluationConfig
from sldml.embedding.embed import embed, require_one_input_shape
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.journal import (
    Accuracy,
    Baseline,
    BaselineScore,
    Candidate,
    FinalResult,
    History,
    Shipped,
    TestResults,
)
from sldml.prepared.batches import Frames
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.baselines import BaselineScorer, validate
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recordings import Recording, Rows
from sldml.recordings.readers import utd_mhad
from sldml.search.choice import ShippingDecision
from sldml.search.final import predict, trained_matching
from sldml.search.shipping import ship
from sldml.training.loop import Training
from sldml.training.trial import run_trial

FUSED = utd_mhad.layout("fused")
FRAMES = 12
CONFIG = trial_config(
    representation={"steps": 8, "image_px": 16}, normalize={"scale": "torso"}, train={"max_epochs": 2}
)


@pytest.fixture(scope="module")
def catalog() -> pd.DataFrame:
    names = utd_names(num_subjects=2, num_trials=2)
    return catalog_of(names).assign(offset=np.arange(len(names)) * FRAMES, length=FRAMES)


@pytest.fixture(scope="module")
def frames(catalog: pd.DataFrame) -> torch.Tensor:
    """Each class its own movement, of the body and of the sensor, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    of_class = {c: torch.randn(FRAMES, 22, 3, generator=generator) for c in catalog["label"].unique()}
    noise = 0.1 * torch.randn(len(catalog), FRAMES, 22, 3, generator=generator)
    return (torch.stack([of_class[c] for c in catalog["label"]]) + noise).flatten(0, 1)


def frames_without(frames: torch.Tensor, rows: Rows | None) -> Frames:
    """With every value of these rows gone: what uses them comes out as not a number."""
    changed = frames.clone()
    if rows is not None:
        FUSED.take_rows(changed[None], rows).fill_(float("nan"))
    return Frames(changed, None, FUSED, torch.device("cpu"))


def split_of(catalog: pd.DataFrame, train_on: str) -> Split:
    return make_split(UtdMhadInterSensor.model_validate({"train_on": train_on}), catalog)


UNSEEN: list[tuple[str, Rows, Rows]] = [("inertial", "sensors", "bodies"), ("skeleton", "bodies", "sensors")]


# ------------------------------------------------------------------------------------------------------ who sees what


@pytest.mark.parametrize(("train_on", "seen", "unseen"), UNSEEN)
def test_a_trial_sees_nothing_of_the_other_sensor(
    catalog: pd.DataFrame, frames: torch.Tensor, train_on: str, seen: Rows, unseen: Rows
) -> None:
    development = split_of(catalog, train_on).development

    def metrics_without(rows: Rows | None) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = []
        run_trial(CONFIG, development, frames_without(frames, rows), report=reports.append)
        return [{k: r[k] for k in ("train/loss", "val/accuracy", "val/map_at_r", "state") if k in r} for r in reports]

    whole = metrics_without(None)
    assert [report["state"] for report in whole] == ["running", "completed"]
    assert metrics_without(unseen) == whole
    assert metrics_without(seen)[0]["state"] == "diverged"


@pytest.mark.parametrize(("train_on", "seen", "unseen"), UNSEEN)
def test_the_sealed_test_is_of_the_other_sensor_alone(
    catalog: pd.DataFrame, frames: torch.Tensor, train_on: str, seen: Rows, unseen: Rows
) -> None:
    split = split_of(catalog, train_on)
    training = Training(CONFIG, View(frames_without(frames, None), split.development.train))
    assert training.view.layout == FUSED.part(seen)
    matching = trained_matching(CONFIG, training.encoder.state_dict(), FUSED.part(unseen))
    whole = predict(matching, split.sealed, frames_without(frames, None))
    assert predict(matching, split.sealed, frames_without(frames, seen)).tolist() == whole.tolist()
    with pytest.raises(ValueError, match="recordings of 22 rows are compared"):
        predict(
            trained_matching(CONFIG, training.encoder.state_dict(), FUSED), split.sealed, frames_without(frames, None)
        )
    queries = split.sealed.queries
    parts = CONFIG.normalize, CONFIG.representation
    found = embed(training.encoder, View(frames_without(frames, None), queries), *parts)
    taken = FUSED.take_rows(frames[None], unseen)[0].contiguous()
    other = Frames(taken, None, FUSED.part(unseen), torch.device("cpu"))
    expected = embed(training.encoder, View(other, dataclasses.replace(queries, rows="all")), *parts)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("train_on", "seen", "unseen"), UNSEEN)
@pytest.mark.parametrize("kind", ["raw_1nn", "dtw_1nn"])
def test_training_free_matching_takes_each_sides_rows(
    catalog: pd.DataFrame, frames: torch.Tensor, train_on: str, seen: Rows, unseen: Rows, kind: Any
) -> None:
    split = split_of(catalog, train_on)
    matching = Matching(kind, FUSED.part(seen), CONFIG.normalize)
    validation = split.development.validation.sample(6)
    assert matching.features(View(frames_without(frames, unseen), validation))[0].isfinite().all()
    assert not matching.features(View(frames_without(frames, seen), validation))[0].isfinite().any()
    matching = Matching(kind, FUSED.part(unseen), CONFIG.normalize)
    (exemplars,) = matching.features(View(frames_without(frames, seen), split.sealed.exemplars))
    assert exemplars.shape == (16, 32, 3 * FUSED.part(unseen).num_rows)
    # Each class has its own movement: nearest exemplars are right.
    predicted = predict(matching, split.sealed, frames_without(frames, seen))
    assert (predicted == split.sealed.queries.labels).all()


def test_baselines_validate_on_one_sensor_and_test_on_the_other(catalog: pd.DataFrame, frames: torch.Tensor) -> None:
    split = split_of(catalog, "inertial")

    scorer = BaselineScorer(
        frames_without(frames, "sensors"),
        normalizations=[CONFIG.normalize],
        encoders=[CONFIG.encoder],
        representations=[CONFIG.representation],
    )
    evaluation = EvaluationConfig(num_draws=5)
    results = validate(frames_without(frames, "bodies"), scorer.candidates(), split.development, evaluation)
    tested = scorer.test(split.sealed, results)
    known = {score.candidate.baseline: (score.val, score.test) for score in tested}
    assert known["raw_1nn"] == known["dtw_1nn"] == (1.0, 1.0)


# ------------------------------------------------------------------------------------------------------- what ships


@pytest.mark.parametrize("free", ["raw_1nn", "untrained"])
def test_what_ships_knows_recordings_of_the_tests_sensor(
    catalog: pd.DataFrame, frames: torch.Tensor, tmp_path: Path, free: str
) -> None:
    split = split_of(catalog, "inertial")
    shipped = shipped_by(tmp_path, split, frames_without(frames, None), free)
    assert shipped.kind == "training_free"  # 11 auxiliary classes are too few to trust
    model = Recognizer.load(tmp_path)
    assert model.matching.layout == utd_mhad.layout("skeleton")
    values = FUSED.take_rows(frames[None], "bodies")[0].numpy()
    recordings = [
        Recording(values[o : o + n], 30.0, model.matching.layout.row_names, name, c, s)
        for name, c, s, o, n in zip(
            *(catalog[k] for k in ("name", "label", "subject", "offset", "length")), strict=True
        )
    ]
    exemplars, queries = set(split.sealed.exemplars.names), set(split.sealed.queries.names)
    model.enrol([r for r in recordings if r.name in exemplars])
    asked = [r for r in recordings if r.name in queries]
    right = [found.nearest == r.label for found, r in zip(model.recognize(asked), asked, strict=True)]
    assert np.mean(right) == pytest.approx(shipped.accuracy)
    with pytest.raises(InputError, match="rows are not the model's"):
        model.enrol([Recording(frames[:FRAMES].numpy(), 30.0, FUSED.row_names, "x", "c", "s")])


def test_a_trained_model_ships_with_the_tests_layout(
    catalog: pd.DataFrame, frames: torch.Tensor, tmp_path: Path
) -> None:
    shipped = shipped_by(tmp_path, split_of(catalog, "skeleton"), frames_without(frames, None), "raw_1nn", trained=True)
    assert shipped.kind == "trained"
    assert Recognizer.load(tmp_path).matching.layout == utd_mhad.layout("inertial")


def shipped_by(folder: Path, split: Split, frames: Frames, free: str, *, trained: bool = False) -> Shipped:
    encoder = CONFIG.encoder.model_dump(exclude_none=True) if free == "untrained" else None
    representation = None if encoder is None else CONFIG.representation.model_dump(exclude_none=True)
    own = Candidate(
        baseline=free, normalize=CONFIG.normalize.model_dump(), encoder=encoder, representation=representation
    )
    weights: Mapping[str, Any] = Training(CONFIG, View(frames, split.development.train)).encoder.state_dict()
    history = History(
        search_begun(),
        baselines={free: Baseline(free, (BaselineScore(candidate=own, val=0.5),))},
    )
    final = FinalResult(
        trial_id="t1",
        config=CONFIG.to_dict(),
        seeds=(1,),
        val_accuracy=0.9,
        num_epochs=1,
        test_accuracy=Accuracy(mean=0.5, ci95=None, values=(0.5,)),
        confusions=(),
    )
    outcome = ship(
        folder,
        history,
        TestResults(num_queries=1, num_classes=1, num_exemplars=1, finals=(final,)),
        ShippingDecision("t1" if trained else None, own, "made", folds=FOLDS),
        split=split,
        frames=frames,
        data=UtdMhadData(modality="fused"),
        load_final=lambda trial_id, seed: weights,
        load_fold=lambda trial_id, num_folds: weights,
        load_trial=lambda trial_id: weights,
        search_name="made",
    )
    assert outcome.shipped is not None
    return outcome.shipped


# --------------------------------------------------------------------------------------------------------- refusals


def test_images_of_both_sides_need_one_size(catalog: pd.DataFrame) -> None:
    split, encoders = split_of(catalog, "inertial"), [CONFIG.encoder]
    require_one_input_shape(split, encoders, CONFIG.representation, FUSED)
    natural = trial_config(representation={"steps": 8}).representation
    with pytest.raises(InputError, match=r"images are 2 x 8 .* and 20 x 8 .*; set representation\.image_px"):
        require_one_input_shape(split, encoders, natural, FUSED)
    plain = make_split(UtdMhadOneShot(), catalog)
    require_one_input_shape(plain, encoders, natural, FUSED)


@pytest.mark.parametrize("modality", ["skeleton", "inertial"])
def test_one_sensors_recordings_are_not_enough(catalog: pd.DataFrame, modality: str) -> None:
    split, layout = split_of(catalog, "inertial"), utd_mhad.layout(modality)
    with pytest.raises(InputError, match=r"to skeleton.*: there are no .* rows .*data\.modality=fused") as told:
        require_one_input_shape(split, [CONFIG.encoder], CONFIG.representation, layout)
    assert "\n" not in str(told.value)
