import json
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.small import trial_config

from sldml.config.matcher import Alignment, MatcherConfig
from sldml.config.representation import NormalizeConfig
from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Sealed, Split, Subset
from sldml.recognition.baselines import initialised
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws
from sldml.recognition.recognizer import MOST_REJECTED, Calibration, Recognizer, calibrate
from sldml.recordings import Layout, Recording

CONFIG = trial_config(normalize={"view": "face_camera"}, encoder={"small_cnn": {"dropout": 0.5}})
KINDS = ["raw_1nn", "dtw_1nn", "encoder", "aligned", "blended"]
MATCHERS = {
    "encoder": MatcherConfig(),
    "aligned": MatcherConfig(name="alignment", alignment=Alignment(steps=5, band=2, row_groups=3)),
    "blended": MatcherConfig(raw_weight=0.5),
}
LAYOUT = Layout(None, 0, {"sensor": 1.0})
PLAIN = NormalizeConfig(center="none", scale="none")


def recognizer(kind: str, layout: Layout, **options: Any) -> Recognizer:
    if kind not in MATCHERS:
        return Recognizer(Matching(kind, layout, CONFIG.normalize), **options)  # type: ignore[arg-type]
    network = initialised(CONFIG.encoder, image_shape(CONFIG.representation, layout), 5)
    for name, value in network.state_dict().items():  # as after a training: running statistics are not 0 and 1
        if "running" in name:
            low = 0.5 if "var" in name else -0.1
            value.uniform_(low, low + 0.5, generator=torch.Generator().manual_seed(len(name)))
    matching = Matching("encoder", layout, CONFIG.normalize, CONFIG.representation, network, MATCHERS[kind], 7.0)
    return Recognizer(matching, encoder=CONFIG.encoder, **options)


def recordings_of(made_set: PreparedSet, subset: Subset) -> list[Recording]:
    frames = np.load(made_set.folder / "signals.npy")
    rows = zip(subset.offsets, subset.lengths, subset.labels, subset.names, subset.subjects, strict=True)
    return [
        Recording(frames[o : o + n], 30.0, made_set.layout.row_names, name, subset.classes[label], subject)
        for o, n, label, name, subject in rows
    ]


def constant(value: float, label: str = "?", num_frames: int = 4) -> Recording:
    """A sensor that shows one value all the time: raw distances are multiples of the difference of values."""
    values = np.full((num_frames, 1, 3), value, np.float32)
    return Recording(values, 30.0, ("sensor",), f"{label} {value}", label, "s")


def simple(**options: Any) -> Recognizer:
    return Recognizer(Matching("raw_1nn", LAYOUT, PLAIN), **options)


# ---------------------------------------------------------------------------------------------------- recognise


def test_a_recording_is_named_by_its_nearest_exemplar() -> None:
    model = simple()
    model.enrol([constant(1.0, "wave"), constant(9.0, "clap", num_frames=7)])
    first, second, third = model.recognize([constant(2.0), constant(6.0, num_frames=50), constant(9.0)])
    unit = (32 * 3) ** 0.5  # distance of constants that differ by one
    assert (first.label, first.nearest) == ("wave", "wave")
    assert first.distance == pytest.approx(unit, rel=1e-5)
    assert first.ratio == pytest.approx(1 / 7, rel=1e-4)
    assert second.label == "clap"
    assert second.ratio == pytest.approx(3 / 5, rel=1e-4)
    assert third.label == "clap"
    assert (third.distance, third.ratio) == pytest.approx((0.0, 0.0), abs=1e-5)


def test_of_several_exemplars_of_a_label_the_nearest_counts_and_none_is_a_rival() -> None:
    model = simple()
    model.enrol([constant(0.0, "wave"), constant(10.0, "clap")])
    assert model.recognize([constant(6.0)])[0].label == "clap"
    model.enrol([constant(5.0, "wave"), constant(40.0, "clap")])  # more of both, later
    (found,) = model.recognize([constant(6.0)])
    assert found.label == "wave"
    assert found.ratio == pytest.approx(1 / 4, rel=1e-4)  # 5 against 10, not against the other "wave"


def test_a_recording_between_two_actions_is_unknown() -> None:
    model = simple(threshold=0.5)
    model.enrol([constant(0.0, "wave"), constant(9.0, "clap")])
    known, unknown = model.recognize([constant(2.9), constant(3.5)])  # ratios .475, .636
    assert (known.label, known.nearest) == ("wave", "wave")
    assert (unknown.label, unknown.nearest) == (None, "wave")


def test_a_single_action_has_no_rival() -> None:
    model = simple(threshold=0.1)
    model.enrol([constant(0.0, "wave")])
    (found,) = model.recognize([constant(100.0)])
    assert (found.label, found.ratio) == ("wave", 0.0)


def test_equally_near_actions_are_undecided() -> None:
    model = simple()
    model.enrol([constant(0.0, "b"), constant(4.0, "a")])
    (found,) = model.recognize([constant(2.0)])
    assert found.ratio == pytest.approx(1.0)
    assert found.nearest == "a"  # the first in order of names


def test_nothing_enrolled_is_said() -> None:
    with pytest.raises(InputError, match="no exemplar is enrolled"):
        simple().recognize([constant(1.0)])


def test_no_recordings_give_no_names() -> None:
    model = simple()
    model.enrol([])
    with pytest.raises(InputError, match="no exemplar is enrolled"):
        model.recognize([constant(1.0)])
    model.enrol([constant(1.0, "wave")])
    assert model.recognize([]) == []


def test_other_rows_are_refused(made_set: PreparedSet) -> None:
    model = recognizer("raw_1nn", made_set.layout)
    two = Recording(np.zeros((3, 2, 3), np.float32), 30.0, ("left", "right"), "mine", "wave", "me")
    for call in (model.enrol, model.recognize):
        if call == model.recognize:
            model.enrol([Recording(np.ones((3, 50, 3), np.float32), 30.0, made_set.layout.row_names, "o", "o", "me")])
        with pytest.raises(InputError, match=r"mine: its 2 rows are not the model's \(50 rows: ") as caught:
            call([two])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_it_recognises_as_the_sealed_test_does(
    kind: str, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    """Frames that were lost, lengths, normalisation: enrolled recordings go the way of prepared ones."""
    sealed = made_split.sealed
    model = recognizer(kind, made_set.layout)
    model.enrol(recordings_of(made_set, sealed.exemplars))
    found = model.recognize(recordings_of(made_set, sealed.queries))
    distances = model.matching.between(View(made_frames, sealed.exemplars), View(made_frames, sealed.queries)).numpy()
    assert [r.distance for r in found] == pytest.approx(distances.min(axis=0), rel=1e-3, abs=1e-5)
    lowest = np.sort(distances, axis=0)
    assert [r.ratio for r in found] == pytest.approx(lowest[0] / lowest[1], rel=1e-2, abs=1e-3)


# -------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_is_the_saved_one(
    kind: str, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    model = recognizer(kind, made_set.layout, threshold=0.75, origin={"search": "demo", "trial_id": "t1"})
    assert model.save(tmp_path / "results/model") == tmp_path / "results/model"
    loaded = Recognizer.load(tmp_path / "results/model")
    assert (loaded.threshold, loaded.origin) == (0.75, {"search": "demo", "trial_id": "t1"})
    assert loaded.matching.kind == ("encoder" if kind in MATCHERS else kind)
    assert (loaded.matching.matcher, loaded.matching.raw_scale) == (model.matching.matcher, model.matching.raw_scale)
    assert loaded.matching.layout == made_set.layout
    assert loaded.matching.normalize == CONFIG.normalize
    sealed: Sealed = made_split.sealed
    queries = sealed.queries.take(np.arange(10))
    ways = (model.matching, loaded.matching)
    expected, found = (way.between(View(made_frames, sealed.exemplars), View(made_frames, queries)) for way in ways)
    assert torch.equal(found, expected)
    model.enrol(recordings_of(made_set, sealed.exemplars))
    loaded.enrol(recordings_of(made_set, sealed.exemplars))
    some = recordings_of(made_set, queries)
    assert loaded.recognize(some) == model.recognize(some)


@pytest.mark.parametrize("kind", KINDS)
def test_a_models_folder_holds_no_pickle_and_no_leftover(kind: str, made_set: PreparedSet, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_text("of an older model")
    (folder / "stray.pkl").write_text("an older file")
    recognizer(kind, made_set.layout).save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    expected = ["model.json"] + (["weights.safetensors"] if kind in MATCHERS else [])
    assert sorted(path.name for path in folder.iterdir()) == expected
    json.loads((folder / "model.json").read_text())
    for path in folder.iterdir():
        with pytest.raises(ValueError, match=r".+"):
            list(pickletools.genops(path.read_bytes()))
    assert folder.stat().st_mode & 0o755 == 0o755


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "model.json").unlink(),
        lambda folder: cut(folder / "model.json", 40),
        lambda folder: (folder / "model.json").write_text("[]"),
        lambda folder: (folder / "model.json").write_text('{"format": 1}'),
        lambda folder: (folder / "model.json").write_text('{"format": 99}'),
        lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "weights.safetensors").unlink(),
        lambda folder: cut(folder / "weights.safetensors", 0),
        lambda folder: cut(folder / "weights.safetensors", 200),
        lambda folder: cut(folder / "weights.safetensors", 5000),
    ],
)
def test_a_model_that_is_not_whole_is_refused_in_one_line(spoil: Any, made_set: PreparedSet, tmp_path: Path) -> None:
    folder = recognizer("encoder", made_set.layout).save(tmp_path / "model")
    spoil(folder)
    with pytest.raises(InputError) as caught:
        Recognizer.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_encoder_are_refused(made_set: PreparedSet, tmp_path: Path) -> None:
    folder = recognizer("encoder", made_set.layout).save(tmp_path / "model")
    saved = json.loads((folder / "model.json").read_text())
    saved["encoder"]["embedding_dim"] = 16
    (folder / "model.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match=r"weights\.safetensors does not fit model\.json") as caught:
        Recognizer.load(folder)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- threshold


def naive_ratios(
    distances: NDArray[np.float64], labels: NDArray[np.int64], draws: NDArray[np.int64]
) -> tuple[list[float], list[float]]:
    known, strange = [], []
    for draw in draws:
        for query in set(range(len(labels))) - set(draw.tolist()):
            own = sorted(distances[e, query] for e in draw)
            known.append(own[0] / own[1])
            rest = sorted(distances[e, query] for e in draw if labels[e] != labels[query])
            strange.append(rest[0] / rest[1])
    return known, strange


def test_the_threshold_by_hand() -> None:
    # Three classes, recordings 0-1, 2-3, 4-5; exemplars 0, 2, 4; queries 1, 3, 5.
    table = np.full((6, 6), 10.0)
    table[[0, 2, 4], 1] = [1.0, 10.0, 12.0]  # known .1; a stranger's 10/12
    table[[0, 2, 4], 3] = [8.0, 2.0, 9.0]  # known .25; 8/9
    table[[0, 2, 4], 5] = [9.0, 10.0, 3.0]  # known 1/3; .9
    labels = np.array([0, 0, 1, 1, 2, 2])
    found = calibrate(torch.from_numpy(table), labels, np.array([[0, 2, 4]]))
    assert found == Calibration(pytest.approx(1 / 3), 0.0, 0.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_lowest_that_rejects_few_by_naive_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 4)
    centre = rng.normal(size=(4, 3))
    points = centre[labels] + 0.5 * rng.normal(size=(16, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    draws = exemplar_draws(labels, 3, seed)
    known, strange = naive_ratios(distances, labels, draws)
    found = calibrate(torch.from_numpy(distances), labels, draws)
    assert found.known_rejected == np.mean(np.array(known) > found.threshold) <= MOST_REJECTED
    assert found.unknown_accepted == np.mean(np.array(strange) <= found.threshold)
    lower = max(ratio for ratio in known if ratio < found.threshold)
    assert np.mean(np.array(known) > lower) > MOST_REJECTED, "a lower threshold rejects too many"


def test_two_classes_leave_a_stranger_without_a_ratio() -> None:
    assert calibrate(torch.rand(4, 4), np.array([0, 0, 1, 1]), np.array([[0, 2]])).threshold == 1.0
