"""The configuration: one spelling, nothing unknown, and what does not go together is refused."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from sldml.config.dotted import unflatten
from sldml.config.loss import LossConfig
from sldml.config.miner import MinerConfig
from sldml.config.parts import BranchedPart
from sldml.config.protocol import NtuOneShot, UtdMhadOneShot
from sldml.config.trial import TrialConfig

CHOICES: dict[str, type[BranchedPart]] = {
    path: field.annotation
    for path, field in TrialConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BranchedPart)
}
BRANCHES = [(part, name) for part, choice in CHOICES.items() for name in choice.names()]
WITH_PARAMETERS = [(part, name) for part, choice in CHOICES.items() for name in choice.branches()]


def with_branch(part: str, name: str) -> dict[str, Any]:
    data = {"dataset": "image_folder" if (part, name) == ("representation", "image") else "synthetic"}
    return {"data": data, "loss": {"name": "triplet_margin"}, part: {"name": name}}


def test_the_parts_with_branches_are_the_ones_of_the_design():
    assert set(CHOICES) == {"representation", "encoder", "loss", "miner", "matcher", "optimizer", "schedule"}
    assert len(CHOICES["loss"].names()) >= 24
    assert len(CHOICES["miner"].names()) - 1 >= 8  # beside none
    assert len(CHOICES["encoder"].names()) >= 16 + 2
    assert len(CHOICES["representation"].names()) == 6 + 1  # and imported images


@pytest.mark.parametrize(("part", "name"), BRANCHES)
def test_every_branch_goes_to_dotted_paths_and_back(part: str, name: str):
    config = TrialConfig.model_validate(with_branch(part, name))
    dotted = config.dotted()
    assert dotted[f"{part}.name"] == name
    assert TrialConfig.model_validate(unflatten(dotted)) == config
    assert TrialConfig.model_validate(config.to_dict()) == config


@pytest.mark.parametrize(("part", "name"), WITH_PARAMETERS)
def test_a_named_branch_has_its_defaults_and_is_the_only_one(part: str, name: str):
    dotted = TrialConfig.model_validate(with_branch(part, name)).dotted()
    branch = get_args(CHOICES[part].model_fields[name].annotation)[0]
    for key, field in branch.model_fields.items():
        assert dotted.get(f"{part}.{name}.{key}") == field.default  # what is None is left out
    others = {other for other in CHOICES[part].branches() if other != name}
    assert not [path for path in dotted if path.split(".")[0] == part and path.split(".")[1] in others]


@pytest.mark.parametrize(("part", "name"), [(p, n) for p, n in WITH_PARAMETERS if len(CHOICES[p].names()) > 1])
def test_a_branch_under_another_name_is_refused(part: str, name: str):
    other = next(other for other in CHOICES[part].names() if other != name)
    with pytest.raises(ValidationError, match=f"`{name}` is set, but `name` is '{other}'"):
        CHOICES[part].model_validate({"name": other, name: {}})


def test_chosen_is_the_named_branch():
    assert LossConfig(name="arcface").chosen == LossConfig(name="arcface").arcface
    assert LossConfig(name="arcface").chosen.scale == 64.0
    assert MinerConfig(name="batch_hard").chosen is None


@pytest.mark.parametrize(
    "nested",
    [
        {"lr": 0.1},
        {"optimizer": {"learning_rate": 0.1}},
        {"loss": {"name": "arcface", "arcface": {"margin": 0.1}}},
        {"loss": {"name": "cosfacet"}},
        {"data": {"dataset": "synthetic", "modality": "skeleton"}},
        {"data": {"dataset": "kinetics"}},
        {"data": {}},
        {"protocol": {"name": "ntu_one_shot", "num_novel": 5}},
        {"optimizer": {"lr": 0.0}},
        {"optimizer": {"lr": float("nan")}},
        {"train": {"gradient_clip": float("inf")}},
        {"encoder": {"name": "small_cnn", "small_cnn": {"width": 12}}},
    ],
)
def test_unknown_keys_and_values_out_of_range_are_refused(nested: dict[str, Any]):
    with pytest.raises(ValidationError):
        TrialConfig.model_validate(nested)


def test_the_kinds_of_data_and_protocol_are_told_by_their_own_key():
    config = TrialConfig.model_validate(
        {"data": {"dataset": "utd_mhad", "modality": "fused"}, "protocol": {"name": "utd_mhad_one_shot"}}
    )
    assert config.dotted()["data.modality"] == "fused"
    assert isinstance(config.protocol, UtdMhadOneShot)
    assert isinstance(TrialConfig().protocol, NtuOneShot)
    assert TrialConfig.model_validate(unflatten(config.dotted())) == config


def test_configurations_are_frozen():
    config = TrialConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.optimizer.lr = 0.1


TAKE_TUPLES = (
    *("triplet_margin", "margin", "multi_similarity", "sup_con", "circle", "contrastive", "nt_xent"),
    *("generalized_lifted_structure", "lifted_structure", "intra_pair_variance", "tuplet_margin", "angular"),
    "threshold_consistent_margin",
)
HAVE_WEIGHTS = (
    *("arcface", "cosface", "sub_center_arcface", "sphereface", "large_margin_softmax", "normalized_softmax"),
    *("proxy_anchor", "proxy_nca", "soft_triple", "cross_entropy"),
)


@pytest.mark.parametrize(
    ("loss", "miner"),
    [
        *((loss, "multi_similarity") for loss in LossConfig.names()),
        *((loss, miner) for miner in MinerConfig.names() for loss in ("triplet_margin", "arcface")),
    ],
)
def test_a_miner_needs_a_loss_over_tuples(loss: str, miner: str):
    nested = {"loss": {"name": loss}, "miner": {"name": miner}}
    if miner != "none" and loss not in TAKE_TUPLES:
        with pytest.raises(ValidationError, match=f"miner.name '{miner}' needs a loss over tuples, not '{loss}'"):
            TrialConfig.model_validate(nested)
    else:
        config = TrialConfig.model_validate(nested)
        assert config.loss.has_weights == (loss in HAVE_WEIGHTS)
