"""Search spaces as trees: what exists under which choices, its distributions, and what is declared."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sldml.config.encoder import EncoderConfig
from sldml.config.representation import NormalizeConfig
from sldml.config.space import SearchSettings, SearchSpace
from sldml.config.space_file import override, parse_space
from sldml.config.space_tree import Leaf, SpaceError

TEXT = """\
data: {dataset: synthetic}
fixed:
  normalize: {scale: none}
  encoder: {embedding_dim: 64}
space:
  normalize:
    center: {choice: [every_frame, first_frame]}
    view: {choice: [as_recorded, face_camera]}
  encoder:
    choose:
      small_cnn: {num_blocks: {int: [1, 4]}}
      resnet18: {stem: {choice: [small]}}
  loss:
    choose:
      triplet_margin: {margin: {float: [0.05, 0.5], log: true}}
      sup_con:
      arcface: {scale: {float: [8.0, 64.0]}}
  miner:
    when: {loss: [triplet_margin, sup_con], encoder: small_cnn}
    choose:
      none:
      multi_similarity: {epsilon: {float: [0.05, 0.8]}}
"""
PARAMS: dict[str, Any] = {
    "normalize.center": "first_frame",
    "normalize.view": "as_recorded",
    "encoder.name": "small_cnn",
    "encoder.small_cnn.num_blocks": 2,
    "loss.name": "triplet_margin",
    "loss.triplet_margin.margin": 0.1,
    "miner.name": "multi_similarity",
    "miner.multi_similarity.epsilon": 0.3,
}


@pytest.fixture
def space() -> SearchSpace:
    return parse_space(TEXT, "made", "made.yaml")


def random_params(space: SearchSpace, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    return space.visit(lambda leaf: rng.choice(leaf.ends()))


class Lowest:
    """A sampler that takes the first or the lowest and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.append((name, tuple(choices)))
        return choices[0]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append((name, low, high, log))
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked.append((name, low, high, log))
        return low


def test_a_sampler_is_asked_for_what_exists_and_in_order(space: SearchSpace):
    sampler = Lowest()
    space(sampler)
    assert sampler.asked == [
        ("normalize.center", ("every_frame", "first_frame")),
        ("normalize.view", ("as_recorded", "face_camera")),
        ("encoder.name", ("small_cnn", "resnet18")),
        ("encoder.small_cnn.num_blocks", 1, 4, False),
        ("loss.name", ("triplet_margin", "sup_con", "arcface")),
        ("loss.triplet_margin.margin", 0.05, 0.5, True),
        ("miner.name", ("none", "multi_similarity")),
    ]


def test_parameters_exist_exactly_under_their_conditions(space: SearchSpace):
    seen = set()
    for seed in range(200):
        params = random_params(space, seed)
        loss, encoder = params["loss.name"], params["encoder.name"]
        mined = loss in ("triplet_margin", "sup_con") and encoder == "small_cnn"
        assert ("miner.name" in params) == mined
        assert ("miner.multi_similarity.epsilon" in params) == (params.get("miner.name") == "multi_similarity")
        assert ("loss.triplet_margin.margin" in params) == (loss == "triplet_margin")
        assert ("loss.arcface.scale" in params) == (loss == "arcface")
        assert ("encoder.small_cnn.num_blocks" in params) == (encoder == "small_cnn")
        assert ("encoder.resnet18.stem" in params) == (encoder == "resnet18")
        if not mined:
            assert space.configure(params).miner.name == "none"
        seen.add((loss, encoder, params.get("miner.name")))
    assert len(seen) == 3 + 2 * 2 + 1  # resnet18 with each loss, small_cnn x 2 losses x 2 miners, small_cnn x arcface


def test_leaves_know_their_ends():
    assert Leaf("a", CategoricalDistribution(("x", "y", "z"))).ends() == ("x", "y", "z")
    assert Leaf("a", IntDistribution(2, 9)).ends() == (2, 9)
    assert Leaf("a", FloatDistribution(0.5, 1.5)).ends() == (0.5, 1.5)


def test_distributions_of_own_parameters(space: SearchSpace):
    assert space.distributions(PARAMS) == {
        "normalize.center": CategoricalDistribution(("every_frame", "first_frame")),
        "normalize.view": CategoricalDistribution(("as_recorded", "face_camera")),
        "encoder.name": CategoricalDistribution(("small_cnn", "resnet18")),
        "encoder.small_cnn.num_blocks": IntDistribution(1, 4),
        "loss.name": CategoricalDistribution(("triplet_margin", "sup_con", "arcface")),
        "loss.triplet_margin.margin": FloatDistribution(0.05, 0.5, log=True),
        "miner.name": CategoricalDistribution(("none", "multi_similarity")),
        "miner.multi_similarity.epsilon": FloatDistribution(0.05, 0.8),
    }
    for seed in range(50):
        params = random_params(space, seed)
        assert space.distributions(params).keys() == params.keys()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"loss.triplet_margin.margin": 0.6}, "loss.triplet_margin.margin"),
        ({"loss.triplet_margin.margin": 0.04}, "loss.triplet_margin.margin"),
        ({"loss.triplet_margin.margin": "0.1"}, "loss.triplet_margin.margin"),
        ({"loss.triplet_margin.margin": float("nan")}, "loss.triplet_margin.margin"),
        ({"encoder.small_cnn.num_blocks": 5}, "encoder.small_cnn.num_blocks"),
        ({"encoder.small_cnn.num_blocks": 2.5}, "encoder.small_cnn.num_blocks"),
        ({"loss.name": "contrastive"}, "loss.name"),
        ({"miner.name": "batch_hard"}, "miner.name"),
        ({"loss.name": None}, "loss.name"),
        ({"optimizer.lr": 0.1}, "optimizer.lr"),
        ({"loss.arcface.scale": 30.0}, "loss.arcface.scale"),
        ({"encoder.embedding_dim": 64}, "encoder.embedding_dim"),
    ],
)
def test_distributions_refuse_what_is_foreign_or_out_of_range(space: SearchSpace, change: dict[str, Any], path: str):
    with pytest.raises(SpaceError, match=path.replace(".", r"\.")):
        space.distributions(PARAMS | change)


@pytest.mark.parametrize("path", PARAMS)
def test_distributions_refuse_what_is_not_whole(space: SearchSpace, path: str):
    with pytest.raises(SpaceError):
        space.distributions({key: value for key, value in PARAMS.items() if key != path})


def test_configure_builds_what_was_sampled_over_what_is_fixed(space: SearchSpace):
    config = space.configure(PARAMS)
    dotted = config.dotted()
    assert {path: dotted[path] for path in PARAMS} == PARAMS
    assert (config.normalize.scale, config.encoder.embedding_dim) == ("none", 64)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizer.lr": -1.0}, "optimizer.lr: input should be greater than 0, but it is -1.0"),
        ({"optimizer.lrr": 1.0}, "optimizer.lrr: unknown key"),
        ({"loss.name": "arcface", "miner.name": "batch_hard"}, "miner.name 'batch_hard' needs a loss over tuples"),
        ({"head.weight": "0.5"}, "head.weight: '0.5' was sampled, but the configuration has 0.5"),
    ],
)
def test_configure_refuses_what_would_not_come_out(space: SearchSpace, params: dict[str, Any], message: str):
    with pytest.raises(SpaceError) as caught:
        space.configure(params)
    assert str(caught.value).startswith(message)


def test_the_default_configuration_is_the_first_and_the_middle_of_all(space: SearchSpace):
    config = space.default_config()
    assert (config.normalize.center, config.normalize.view) == ("every_frame", "as_recorded")
    assert (config.loss.name, config.miner.name) == ("triplet_margin", "none")
    assert space.configure(space.default_params()) == config


@pytest.mark.parametrize(
    ("distribution", "middle"),
    [
        (FloatDistribution(0.2, 0.6), 0.4),
        (FloatDistribution(1e-4, 1e-2, log=True), 1e-3),
        (IntDistribution(2, 7), 4),
        (IntDistribution(2, 32, log=True), 8),
        (CategoricalDistribution(("b", "a")), "b"),
    ],
)
def test_the_middle_of_a_range_is_on_its_own_scale(distribution: BaseDistribution, middle: Any):
    assert Leaf("x", distribution).middle() == pytest.approx(middle)


def test_normalizations_are_all_combinations_with_what_is_fixed(space: SearchSpace):
    assert space.normalizations() == [
        NormalizeConfig(center="every_frame", scale="none", view="as_recorded"),
        NormalizeConfig(center="every_frame", scale="none", view="face_camera"),
        NormalizeConfig(center="first_frame", scale="none", view="as_recorded"),
        NormalizeConfig(center="first_frame", scale="none", view="face_camera"),
    ]
    assert override(space, ["normalize.view=face_camera"]).normalizations() == [
        NormalizeConfig(center="every_frame", scale="none", view="face_camera"),
        NormalizeConfig(center="first_frame", scale="none", view="face_camera"),
    ]
    bare = parse_space("space:\n  head: {weight: {float: [0, 1]}}\n", "bare", "bare.yaml")
    assert bare.normalizations() == [NormalizeConfig()]


def test_encoders_are_each_declared_one_with_its_defaults(space: SearchSpace):
    assert space.encoders() == [
        EncoderConfig(name="small_cnn", embedding_dim=64),
        EncoderConfig(name="resnet18", embedding_dim=64),
    ]
    assert override(space, ["encoder.name=resnet18"]).encoders() == [EncoderConfig(name="resnet18", embedding_dim=64)]


def test_the_hash_changes_with_the_text_and_with_what_was_set_over_it(space: SearchSpace):
    texts = [space, parse_space(TEXT + "# more\n", "made", "made.yaml")]
    changed = [
        override(space, [setting])
        for setting in (
            "train.max_epochs=3",
            "train.max_epochs=4",
            "loss.name=sup_con",
            "loss.triplet_margin.margin=0.2",
            "loss.triplet_margin.margin=0.3",
            "miner.multi_similarity.epsilon=0.2",
        )
    ]
    hashes = [each.hash for each in texts + changed]
    assert len(set(hashes)) == len(hashes)
    assert parse_space(TEXT, "made", "elsewhere.yaml").hash == space.hash
    assert override(space, ["train.max_epochs=3"]).hash == changed[0].hash


def test_a_space_survives_pickling(space: SearchSpace):
    """Ray sends it to workers."""
    for each in (space, override(space, ["loss.triplet_margin.margin=0.2", "search.trials=3"])):
        copy = pickle.loads(pickle.dumps(each))
        assert copy == each
        assert copy.hash == each.hash
        assert random_params(copy, 3) == random_params(each, 3)


def test_a_probe_finds_values_that_do_not_go_together(space: SearchSpace):
    space.probe()
    broken = SearchSpace("broken", "", {"miner": {"name": "batch_hard"}}, SearchSettings(), space.root)
    with pytest.raises(SpaceError, match=r"needs a loss over tuples, not 'arcface', with \{"):
        broken.probe()
