import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small import frames_of, subset_of, trial_config
from torch import Tensor

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
from sldml.recognition.dtw import dtw_distances, raw_distances
from sldml.recognition.matching import STEPS, Matching, signal_scale
from sldml.recordings import KINECT_V2, Layout
from sldml.search.final import predict

LAYOUT = Layout(KINECT_V2, 1)


def recordings(count: int, steps: int, dim: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, steps, dim, generator=torch.Generator().manual_seed(seed))


def naive_dtw(first: Tensor, second: Tensor, band: int) -> float:
    """The table of the textbook, cell by cell."""
    a, b = first.double().tolist(), second.double().tolist()
    steps = len(a)
    table = [[math.inf] * steps for _ in range(steps)]
    for i in range(steps):
        for j in range(steps):
            if abs(i - j) > band:
                continue
            cost = sum((x - y) ** 2 for x, y in zip(a[i], b[j], strict=True))
            before = [
                table[i - 1][j] if i else math.inf,
                table[i][j - 1] if j else math.inf,
                table[i - 1][j - 1] if i and j else math.inf,
            ]
            table[i][j] = cost + (0.0 if i == j == 0 else min(before))
    return table[-1][-1]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 12, 32])
@pytest.mark.parametrize("band", [0, 1, 2, 5, 8, 100])
def test_dtw_is_the_textbooks(steps: int, band: int) -> None:
    first, second = recordings(3, steps, seed=1), recordings(2, steps, seed=2)
    expected = [[naive_dtw(a, b, band) for b in second] for a in first]
    assert dtw_distances(first, second, band).numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_dtw_by_hand() -> None:
    first = torch.tensor([[[0.0], [1.0], [5.0]]])
    second = torch.tensor([[[0.0], [0.0], [1.0]], [[1.0], [5.0], [5.0]]])
    # 0-0 0-0 1-1 5-1: 16. And 0-1 1-1 5-5 5-5: 1.
    assert dtw_distances(first, second).tolist() == [[16.0, 1.0]]
    # Without a band's freedom, frame by frame: 0 + 1 + 16, and 1 + 16 + 0.
    assert dtw_distances(first, second, band=0).tolist() == [[17.0, 17.0]]


def test_dtw_looks_past_a_change_of_speed_and_raw_does_not() -> None:
    time = torch.linspace(0, 1, 32)
    slow_start, even = (torch.sin(6 * t).view(1, -1, 1) for t in (time**1.4, time))
    assert dtw_distances(slow_start, even) < 0.1 * raw_distances(slow_start, even).square()


def test_dtw_within_one_set_is_dtw_of_two() -> None:
    some = recordings(5, 6)
    assert torch.allclose(dtw_distances(some, some), dtw_distances(some, some.clone()), atol=1e-5)
    assert torch.equal(dtw_distances(some, some), dtw_distances(some, some).T)


def test_dtw_of_a_recording_and_itself_is_nothing() -> None:
    same = 100 + recordings(3, 32)
    assert dtw_distances(same, same).diagonal().tolist() == pytest.approx([0.0] * 3, abs=1.0)
    assert (dtw_distances(same, same) >= 0).all()


def test_raw_is_the_euclidean_distance() -> None:
    first, second = recordings(5, 32, seed=1), recordings(40, 32, seed=2)
    difference = first.numpy()[:, None] - second.numpy()[None]
    expected = np.sqrt((difference**2).sum(axis=(2, 3)))
    assert raw_distances(first, second).numpy() == pytest.approx(expected, rel=1e-4)


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
