from pathlib import Path

import numpy as np
import pytest
import torch
from support.reference_dtw import naive_dtw
from support.small import frames_of, subset_of, trial_config

from sldml.config.data import UtdMhadData
from sldml.config.matcher import Alignment, MatcherConfig
from sldml.config.protocol import UtdMhadOneShot
from sldml.config.representation import NormalizeConfig
from sldml.embedding.encoders import build_encoder
from sldml.embedding.images import image_shape
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.matching import STEPS, Matching, signal_scale
from sldml.recordings import KINECT_V2, Layout
from sldml.search.final import predict

LAYOUT = Layout(KINECT_V2, 1)


# ----------------------------------------------------------------------------------------------------- Matching


@pytest.fixture
def walkers() -> tuple[View, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(n, LAYOUT.num_rows, 3)).astype(np.float32) for n in (5, 40, 32)]
    return View(frames_of(values, LAYOUT), subset_of([0, 1, 2], [5, 40, 32])), values


def test_signal_features_are_normalised_resampled_signals(walkers: tuple[View, list[np.ndarray]]) -> None:
    view, values = walkers
    config = NormalizeConfig(center="first_frame")
    (features,) = Matching("raw_1nn", LAYOUT, config).features(view)
    assert features.shape == (3, STEPS, LAYOUT.num_rows * 3)
    own = normalize(torch.from_numpy(values[2])[None], config, LAYOUT).flatten(2)  # has 32 frames already
    assert torch.allclose(features[2:], own, atol=1e-5)


@pytest.mark.parametrize("kind", ["raw_1nn", "dtw_1nn", "encoder"])
def test_between_is_the_distance_of_each_recording_to_each(walkers: tuple[View, list[np.ndarray]], kind: str) -> None:
    view, _ = walkers
    config = trial_config()
    encoder = build_encoder(config.encoder, image_shape(config.representation, LAYOUT)) if kind == "encoder" else None
    way = Matching(kind, LAYOUT, config.normalize, config.representation, encoder)  # type: ignore[arg-type]
    whole = way.between(view, view)
    part = way.between(view.take(np.array([2, 0])), view.take(np.array([1])))
    assert whole.shape == (3, 3)
    assert torch.allclose(whole, whole.T, atol=1e-4)
    assert torch.allclose(part, whole[[2, 0]][:, [1]], rtol=1e-4, atol=1e-5)
    if encoder is not None:
        (embeddings,) = way.features(view)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(3))
        cosine = torch.nn.functional.cosine_similarity(embeddings[0], embeddings[1], dim=0)
        assert whole[0, 1].item() == pytest.approx(1 - cosine.item(), abs=1e-6)


def test_an_alignment_is_the_mean_cosine_distance_along_the_best_path(
    walkers: tuple[View, list[np.ndarray]],
) -> None:
    view, _ = walkers
    config = trial_config(representation={"steps": 16})
    encoder = build_encoder(config.encoder, image_shape(config.representation, LAYOUT))
    options = Alignment(steps=4, band=1, row_groups=2)
    matcher = MatcherConfig(name="alignment", alignment=options)
    way = Matching("encoder", LAYOUT, config.normalize, config.representation, encoder, matcher)
    (frames,) = way.features(view)
    assert frames.shape[1] == 4
    assert torch.allclose(frames.norm(dim=2), torch.ones(3, 4))
    found = way.between(view, view)
    for a in range(3):
        for b in range(3):
            # The textbook's squared Euclidean distance of unit vectors is twice 1 less their cosine.
            expected = naive_dtw(frames[a], frames[b], 1) / 2 / 4
            assert found[a, b].item() == pytest.approx(expected, abs=1e-5)


def test_the_signals_distance_is_added_in_its_own_unit(walkers: tuple[View, list[np.ndarray]]) -> None:
    view, _ = walkers
    config = trial_config()
    encoder = build_encoder(config.encoder, image_shape(config.representation, LAYOUT))
    parts = LAYOUT, config.normalize, config.representation, encoder
    embedded = Matching("encoder", *parts).between(view, view)
    warped = Matching("dtw_1nn", LAYOUT, config.normalize).between(view, view)
    scale = signal_scale(view, config.normalize)
    pairs = sorted([warped[0, 1].item(), warped[0, 2].item(), warped[1, 2].item()])
    assert scale == pytest.approx(pairs[1], rel=1e-5)
    both = Matching("encoder", *parts, MatcherConfig(raw_weight=0.25), scale)
    expected = embedded + 0.25 * warped / pairs[1]
    assert torch.allclose(both.between(view, view), expected, atol=1e-5)
    some, other = view.take(np.array([2, 0])), view.take(np.array([1]))
    assert torch.allclose(both.between(some, other), expected[[2, 0]][:, [1]], atol=1e-4)


# -------------------------------------------------------------------- FACTS, section 2: measured on UTD-MHAD

FIGURES = {
    3: (0.687, 0.858), 7: (0.712, 0.887), 11: (0.802, 0.917), 15: (0.865, 0.922), 19: (0.943, 0.939), 23: (1, 1),
}  # fmt: skip
"""Auxiliary classes of the skeletons: accuracy of 1-NN and of DTW."""


@pytest.fixture(scope="module")
def real_set(real_utd: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return prepare(UtdMhadData(), real_utd, tmp_path_factory.mktemp("utd"), num_workers=1)


def accuracy(kind: str, prepared: PreparedSet, split: Split) -> float:
    signals = Frames.open(prepared.folder, torch.device("cpu"))
    way = Matching(kind, prepared.layout, NormalizeConfig(center="first_frame"))  # type: ignore[arg-type]
    return float((predict(way, split.sealed, signals) == split.sealed.queries.labels).mean())


@pytest.mark.parametrize("num_auxiliary", FIGURES)
def test_one_shot_accuracy_on_the_real_recordings_is_what_was_measured(
    real_set: PreparedSet, num_auxiliary: int
) -> None:
    split = make_split(UtdMhadOneShot(num_auxiliary=num_auxiliary), real_set.catalog)
    raw, dtw = FIGURES[num_auxiliary]
    assert accuracy("raw_1nn", real_set, split) == pytest.approx(raw, abs=0.02)
    assert accuracy("dtw_1nn", real_set, split) == pytest.approx(dtw, abs=0.02)
