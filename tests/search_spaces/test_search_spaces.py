"""Every file in `search_spaces/`: it says how it is run, and samples configurations that can be built."""

from __future__ import annotations

import optuna
import pytest
import torch
from torch import nn

from sldml.config.data import ImageFolderData, ManifestData, Ntu120Data, SimitateData, SyntheticData, UtdMhadData
from sldml.config.recording_format import RecordingFormat
from sldml.config.space_file import FOLDER, read_space
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import build_encoder
from sldml.recordings import Layout
from sldml.recordings.readers import image_folder, ntu, simitate, utd_mhad
from sldml.recordings.readers.declared import layout_of
from sldml.training.losses import build_loss, with_memory
from sldml.training.miners import build_miner
from sldml.training.optimizers import build_optimizer, build_schedule

SPACES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NUM_SAMPLES = 300
NUM_BUILT = 60


def layout_of_data(config: TrialConfig) -> Layout:
    match config.data:
        case Ntu120Data() | SyntheticData():
            return ntu.LAYOUT
        case UtdMhadData(modality=modality):
            return utd_mhad.layout(modality)
        case SimitateData():
            return simitate.LAYOUT
        case ImageFolderData(image_px=image_px):
            return image_folder.layout(image_px)
        case ManifestData(format=declared):
            # `own` leaves the format to the YAML beside the table.
            return layout_of(declared or RecordingFormat.model_validate({"skeleton": {"name": "kinect_v2"}}))


@pytest.mark.parametrize("name", SPACES)
def test_a_space_opens_with_what_it_is_and_its_command(name: str) -> None:
    head = read_space(name).text.splitlines()[:8]
    assert head[0].startswith("# ")
    assert any(f"python launch/tune.py --space {name}" in line for line in head)


@pytest.mark.parametrize("name", SPACES)
def test_samples_of_a_space_become_configurations_that_can_be_built(name: str) -> None:
    space = read_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: set[str] = set()
    encoders: set[str] = set()
    for number in range(NUM_SAMPLES):
        trial = study.ask()
        space(trial)
        config = space.configure(trial.params)  # raises unless what comes out is what was sampled
        dotted = config.dotted()
        assert {path: dotted[path] for path in trial.params} == trial.params
        seen |= trial.params.keys()
        if number < NUM_BUILT:
            build_parts(config)
        if config.encoder.name not in encoders:
            encoders.add(config.encoder.name)
            shape = input_shape(config.encoder, config.representation, layout_of_data(config))
            # Every layer, but no weights; RegNet computes its sizes by tensors, which a meta device has not.
            with torch.device("cpu" if config.encoder.name.startswith("regnet") else "meta"):
                build_encoder(config.encoder, shape)
    assert seen == {leaf.path for leaf in space.leaves()}
    assert len({str(t.params) for t in study.trials}) > NUM_SAMPLES / 2
    assert isinstance(space.default_config(), TrialConfig)


def build_parts(config: TrialConfig) -> None:
    """Loss, miner, optimiser and schedule of a configuration."""
    loss = build_loss(config.loss, 8, config.encoder.embedding_dim)
    miner = build_miner(config.miner, config.loss)
    if config.loss.memory_size:
        with_memory(loss, config.loss, config.encoder.embedding_dim, 32, miner)
    optimizer = build_optimizer(config.optimizer, nn.Linear(3, 3))
    build_schedule(config.schedule, optimizer, 4, config.train.max_epochs)


def test_the_space_of_ntu_has_losses_miners_encoders_and_learning_rates_as_its_core() -> None:
    space = read_space("ntu")
    sizes = {leaf.path: len(leaf.ends()) for leaf in space.leaves() if leaf.path.endswith(".name")}
    assert sizes["loss.name"] >= 12
    assert sizes["miner.name"] >= 6
    assert sizes["encoder.name"] >= 8
    assert any(leaf.path == "optimizer.lr" for leaf in space.leaves())
    # It begins with the published settings.
    assert [params["representation.name"] for params in space.known_good] == ["swap_axes", "reindexed"]
    assert all(space.restrict(params) == params for params in space.known_good)
