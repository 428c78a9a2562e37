import numpy as np
import pytest
import torch
from support.small import trial_config

from sldml.config.representation import AugmentConfig
from sldml.embedding import embed as embedding
from sldml.embedding.augment import augment
from sldml.embedding.embed import embed, encoder_input
from sldml.embedding.encoders import build_encoder
from sldml.embedding.images import image_shape, represent, to_input
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split

CONFIG = trial_config(encoder={"small_cnn": {"dropout": 0.5}}, normalize={"view": "face_camera"})


@pytest.fixture
def encoder(made_set: PreparedSet) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_encoder(CONFIG.encoder, image_shape(CONFIG.representation, made_set.layout))


def embed_made(encoder: torch.nn.Module, split: Split, frames: Frames) -> torch.Tensor:
    queries = View(frames, split.sealed.queries.take(np.arange(20)))
    return embed(encoder, queries, CONFIG.normalize, CONFIG.representation)


def test_the_way_is_normalise_augment_represent(made_set: PreparedSet, made_frames: Frames) -> None:
    catalog = made_set.catalog.iloc[:4]
    offsets, lengths = (torch.tensor(catalog[c].to_numpy()) for c in ("offset", "length"))
    batch = made_frames.gather(offsets, lengths, CONFIG.representation.steps)
    layout, change = made_set.layout, AugmentConfig(rotation_deg=90, noise=0.1)

    def expected(seed: int | None) -> torch.Tensor:
        values = normalize(batch, CONFIG.normalize, layout)
        if seed is not None:
            values = augment(values, change, layout, torch.Generator().manual_seed(seed))
        return to_input(represent(values, CONFIG.representation, layout))

    def found(*more: object) -> torch.Tensor:
        return encoder_input(batch, CONFIG.normalize, CONFIG.representation, layout, *more)  # type: ignore[arg-type]

    assert found().shape == (4, *image_shape(CONFIG.representation, layout))
    assert torch.equal(found(), expected(None))
    assert torch.equal(found(change, torch.Generator().manual_seed(5)), expected(5))
    assert not torch.equal(expected(5), expected(None))


def test_each_recording_is_embedded_by_itself_in_order(
    encoder: torch.nn.Module,
    made_split: Split,
    made_frames: Frames,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = embed_made(encoder, made_split, made_frames)
    assert whole.shape == (20, 8)
    assert whole.dtype == torch.float32
    monkeypatch.setattr(embedding, "_BATCH", 7)
    assert torch.allclose(embed_made(encoder, made_split, made_frames), whole, atol=1e-5)
    assert len({tuple(row) for row in whole.tolist()}) == 20


@pytest.mark.parametrize("training", [True, False])
def test_embedding_is_evaluation_and_leaves_the_encoder_as_it_was(
    encoder: torch.nn.Module, made_split: Split, made_frames: Frames, training: bool
) -> None:
    encoder.train(training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = embed_made(encoder, made_split, made_frames)
    second = embed_made(encoder, made_split, made_frames)  # dropout would make another
    assert torch.equal(first, second)
    assert encoder.training is training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not first.requires_grad
