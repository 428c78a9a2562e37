"""Published image folders from PNG files to a trained, recognising model; and what does not go with images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support.small import trial_config

from sldml.commands.prepared_summary import prepared_summary_lines
from sldml.config.data import ImageFolderData
from sldml.config.dotted import merge
from sldml.config.representation import AugmentConfig, NormalizeConfig
from sldml.config.space_file import read_space
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import embed, encoder_input
from sldml.embedding.image_augment import augment_images
from sldml.embedding.images import image_shape, to_input
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, open_prepared, prepare
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.baselines import initialised
from sldml.recognition.matching import Matching
from sldml.recognition.recognizer import Recognizer
from sldml.recordings import Recording
from sldml.recordings.readers import image_folder
from sldml.recordings.sources import describe_data, find_source
from sldml.training.trial import run_trial

SIDE_PX = 16
AUXILIARY, HELD_OUT, NOVEL = ("A1", "A2", "A3"), ("A4", "A5"), ("B1", "B2", "B3")
CPU = torch.device("cpu")
PICTURES: dict[str, Any] = {
    "data": {"dataset": "image_folder", "folder": "one_shot", "image_px": SIDE_PX},
    "protocol": {"name": "image_folder"},
    "representation": {"name": "image", "steps": SIDE_PX},
}


def config(**changes: Any) -> TrialConfig:
    return trial_config(**merge(PICTURES, changes))


def pattern(class_number: int, number: int) -> NDArray[np.uint8]:
    """A coloured wave as SL-DML draws a body, rows × frames, whose length is its class's; a black margin left."""
    rows, frames = np.mgrid[:20, : 24 + 2 * number]
    wave = np.sin(frames * (0.2 + 0.12 * class_number) + 0.3 * rows + 0.2 * number)
    pixels = np.stack([127 + 120 * wave, 127 - 100 * wave, 12 * rows], axis=2)
    pixels[:, :4] = 0
    return pixels.round().astype(np.uint8)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with `one_shot/{train,val,val_samples,test,samples}/<class>/*.png` in it."""
    folder = tmp_path_factory.mktemp("published")
    all_classes = AUXILIARY + HELD_OUT + NOVEL
    kinds = [("train", AUXILIARY, range(4)), ("val_samples", HELD_OUT, range(1)), ("val", HELD_OUT, range(1, 4)),
             ("samples", NOVEL, range(1)), ("test", NOVEL, range(1, 4))]  # fmt: skip
    for role, classes, numbers in kinds:
        for label in classes:
            for number in numbers:
                path = folder / "one_shot" / role / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pattern(all_classes.index(label), number)).save(path)
    (folder / "one_shot/train/A1/cut.png").write_bytes((folder / "one_shot/train/A1/0.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def pictures(published: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return prepare(config().data, published, tmp_path_factory.mktemp("cache"), num_workers=1)


@pytest.fixture(scope="module")
def split(pictures: PreparedSet) -> Split:
    return make_split(config().protocol, pictures.catalog)


@pytest.fixture(scope="module")
def frames(pictures: PreparedSet) -> Frames:
    return Frames.open(pictures.folder, CPU)


def all_images(pictures: PreparedSet, frames: Frames) -> torch.Tensor:
    offsets, lengths = (torch.tensor(pictures.catalog[c].to_numpy()) for c in ("offset", "length"))
    return frames.gather(offsets, lengths, SIDE_PX)


# -------------------------------------------------------------------------------------------------- preparation


def test_pixels_are_kept_as_bytes_with_their_roles(pictures: PreparedSet, published: Path) -> None:
    stored = np.load(pictures.folder / "signals.npy")
    assert stored.dtype == np.uint8
    assert stored.shape == (32 * SIDE_PX, SIDE_PX, 3)
    assert pictures.catalog["length"].tolist() == [SIDE_PX] * 32
    assert pictures.catalog["role"].value_counts().to_dict() == {
        "train": 12, "val": 6, "val_samples": 2, "test": 9, "samples": 3,
    }  # fmt: skip
    assert pictures.layout == image_folder.layout(SIDE_PX)
    row = pictures.catalog.set_index("name").loc["test/B2/3"]
    expected = image_folder.read(published / "one_shot/test/B2/3.png", SIDE_PX).values
    assert (stored[row["offset"] : row["offset"] + SIDE_PX] == expected).all()
    assert [refused["file"] for refused in pictures.meta["refused"]] == ["train/A1/cut.png"]


def test_black_columns_are_pixels_and_not_frames_without_anybody(pictures: PreparedSet, frames: Frames) -> None:
    batch = all_images(pictures, frames)
    assert batch.dtype == torch.float32
    assert (batch[:, 0] == 0).all()
    assert not np.load(pictures.folder / "held.npy").any()


def test_the_image_that_an_encoder_sees_is_the_picture(pictures: PreparedSet, frames: Frames) -> None:
    """Also with the default normalisation, which has nothing to take hold of."""
    settings, batch = config(), all_images(pictures, frames)
    images = encoder_input(batch, settings.normalize, settings.representation, pictures.layout)
    assert torch.allclose(images, to_input(batch.permute(0, 3, 2, 1)))
    assert images.shape[1:] == image_shape(settings.representation, pictures.layout) == (3, SIDE_PX, SIDE_PX)


def test_images_are_augmented_last(pictures: PreparedSet, frames: Frames) -> None:
    settings, batch = config(), all_images(pictures, frames)
    change = AugmentConfig.model_validate({"image": {"rotation_deg": 30, "flip": 0.5}})

    def images(augmentation: AugmentConfig | None) -> torch.Tensor:
        random = torch.Generator().manual_seed(1)
        return encoder_input(batch, settings.normalize, settings.representation, pictures.layout, augmentation, random)

    expected = augment_images(batch.permute(0, 3, 2, 1), change.image, torch.Generator().manual_seed(1))
    assert torch.allclose(images(change), to_input(expected))
    assert torch.equal(images(AugmentConfig()), images(None))
    assert not torch.allclose(images(change), images(None), atol=0.1)


def test_an_inventory_speaks_of_pictures(pictures: PreparedSet) -> None:
    lines = prepared_summary_lines(pictures, config().data)
    assert lines[0] == "images of one_shot (16 px): 32 images of 16 x 16 px"
    assert lines[1] == "5 roles: samples 3, test 9, train 12, val 6, val_samples 2"
    assert lines[2] == "8 classes, 4 recordings each: A1, A2, A3, A4, A5, B1, B2, B3"
    assert lines[3] == "unreadable files left out: 1"


# ------------------------------------------------------------------------------------------------------ sources


def test_a_folder_is_found_by_its_name_or_is_the_data_folder(published: Path) -> None:
    data = ImageFolderData(folder="one_shot", image_px=32)
    below, itself = find_source(data, published), find_source(data, published / "one_shot")
    assert below.files == itself.files
    assert len(below.files) == 33
    assert below.key() == itself.key()
    assert below.key() != find_source(ImageFolderData(folder="one_shot", image_px=64), published).key()
    assert below.read(below.files[0]).values.shape == (32, 32, 3)
    assert describe_data(data) == "images of one_shot (32 px)"


def test_a_folder_that_is_not_there_or_holds_no_pictures_is_bad_input(published: Path, tmp_path: Path) -> None:
    for folder, said in [(published, "contains no ntu/x/"), (None, "no data folder"), (tmp_path, "no file")]:
        (tmp_path / "ntu/x/train/A1").mkdir(parents=True, exist_ok=True)
        with pytest.raises(InputError, match=said) as caught:
            find_source(ImageFolderData(folder="ntu/x"), folder)
        assert "set data.folder to their folder" in str(caught.value)


# ----------------------------------------------------------------------------------------------- what goes together


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"representation": {"name": "swap_axes"}}, "representation.name=image"),
        ({"data": {"dataset": "synthetic"}}, "do not go together"),
        ({"augment": {"rotation_deg": 5.0}}, r"augment\.rotation_deg changes signals"),
        ({"augment": {"time_warp": 0.1}}, r"augment\.time_warp changes signals"),
        ({"augment": {"noise": 0.1}}, r"use augment\.image"),
    ],
)
def test_pictures_are_neither_shown_nor_augmented_as_signals(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        TrialConfig.model_validate({**PICTURES, **changes})
    augmented = TrialConfig.model_validate({**PICTURES, "augment": {"image": {"shear_deg": 5.0}}})
    assert augmented.dotted()["augment.image.shear_deg"] == 5.0


def test_a_search_of_pictures_refuses_what_is_for_signals_before_anything_is_read() -> None:
    space = read_space("image_folder", ["data.folder=ntu/x", "data.image_px=256", "representation.steps=256"])
    assert space.default_config().data == ImageFolderData(folder="ntu/x", image_px=256)
    with pytest.raises(InputError, match=r"--set augment\.time_crop=0\.2: augment\.time_crop changes signals"):
        read_space("image_folder", ["augment.time_crop=0.2"])


# ------------------------------------------------------------------------------------------------------ training


def test_a_trial_trains_on_pictures_and_scores_held_out_classes(
    pictures: PreparedSet, split: Split, frames: Frames
) -> None:
    assert set(split.development.train.classes) == set(AUXILIARY)
    assert set(split.development.validation.classes) == set(HELD_OUT)
    assert (len(split.sealed.exemplars), len(split.sealed.queries)) == (3, 9)
    reports: list[dict[str, Any]] = []
    settings = config(
        train={"max_epochs": 2},
        augment={"image": {"rotation_deg": 10.0, "perspective": 0.2, "crop": 0.2, "flip": 0.5}},
    )
    run_trial(settings, split.development, frames, report=reports.append)
    assert [report["state"] for report in reports] == ["running", "completed"]
    assert all(np.isfinite(report["train/loss"]) for report in reports)
    assert 0 <= reports[-1]["val/accuracy"] <= 1
    again: list[dict[str, Any]] = []
    run_trial(settings, split.development, frames, report=again.append)
    assert [r["train/loss"] for r in again] == [r["train/loss"] for r in reports]


@pytest.mark.parametrize("kind", ["raw_1nn", "dtw_1nn", "encoder"])
def test_a_model_of_pictures_recognises_files(
    pictures: PreparedSet, split: Split, frames: Frames, published: Path, tmp_path: Path, kind: str
) -> None:
    """What is recognised from files lies as far apart as what lies in the prepared set."""
    settings = config()
    encoder = initialised(settings.encoder, image_shape(settings.representation, pictures.layout), 0)
    matching = Matching(
        kind,  # type: ignore[arg-type]
        pictures.layout, NormalizeConfig(),
        *((settings.representation, encoder.eval()) if kind == "encoder" else ()),
    )  # fmt: skip
    encoder_config = settings.encoder if kind == "encoder" else None
    saved = Recognizer(matching, encoder=encoder_config).save(tmp_path / "model")
    model = Recognizer.load(saved)

    def recordings(names: tuple[str, ...]) -> list[Recording]:
        return [image_folder.read(published / "one_shot" / f"{name}.png", SIDE_PX) for name in names]

    model.enrol(recordings(split.sealed.exemplars.names))
    found = model.recognize(recordings(split.sealed.queries.names))
    distances = matching.between(View(frames, split.sealed.exemplars), View(frames, split.sealed.queries))
    expected = [split.sealed.exemplars.classes[i] for i in distances.argmin(dim=0)]
    assert [recognition.nearest for recognition in found] == expected
    assert [r.distance for r in found] == pytest.approx(distances.min(dim=0).values.tolist(), rel=1e-3, abs=1e-4)


def test_a_prepared_set_of_pictures_is_found_again(published: Path, pictures: PreparedSet) -> None:
    again = prepare(config().data, published, pictures.folder.parent, num_workers=1)
    assert again.folder == pictures.folder
    assert open_prepared(pictures.folder).hash == pictures.hash


def test_embeddings_of_pictures_know_their_places(pictures: PreparedSet, split: Split, frames: Frames) -> None:
    settings = config(representation={"image_px": 32})
    encoder = initialised(settings.encoder, image_shape(settings.representation, pictures.layout), 0)
    queries = View(frames, split.sealed.queries)
    whole = embed(encoder, queries, settings.normalize, settings.representation)
    single = embed(encoder, queries.take(np.array([4])), settings.normalize, settings.representation)
    assert torch.allclose(whole[4:5], single, atol=1e-4)
    assert len({tuple(row) for row in whole.tolist()}) == len(queries)
