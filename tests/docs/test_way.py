"""The picture at the top of README.md shows what the project computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pictures import way
from PIL import Image

from sldml.config.space_file import read_space
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import build_encoder
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split, union
from sldml.recognition.matching import Matching


def test_the_picture_follows_a_query_to_its_nearest_exemplar(
    made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
):
    config = read_space("demo", way.SETTINGS).default_config()
    torch.manual_seed(0)
    encoder = build_encoder(config.encoder, input_shape(config.encoder, config.representation, made_set.layout))
    matching = Matching("encoder", made_set.layout, config.normalize, config.representation, encoder)
    sealed = made_split.sealed
    found = way.follow(config, matching, View(made_frames, union(sealed.exemplars, sealed.queries)))

    assert found.image.shape == (25, 64, 3)
    assert found.poses.shape == (3, 25, 3)
    assert found.places.shape == (way.CLASSES_SHOWN * 5, 2)
    assert found.labels[found.query] == way.QUERY
    assert found.query >= found.num_exemplars == way.CLASSES_SHOWN

    query = np.flatnonzero([sealed.queries.classes[label] == way.QUERY for label in sealed.queries.labels])[:1]
    shown = np.flatnonzero([name in found.labels for name in sealed.exemplars.classes])
    exemplars = sealed.exemplars.take(shown)
    nearest = matching.between(View(made_frames, exemplars), View(made_frames, sealed.queries.take(query))).argmin()
    assert found.labels[found.nearest] == exemplars.classes[exemplars.labels[nearest]]

    way.draw(found).savefig(tmp_path / "way.png")
    with Image.open(tmp_path / "way.png") as drawn, Image.open(way.OUT) as shipped:
        assert drawn.size == shipped.size
