"""Search-space files: those that ship can be sampled, and every mistake is told by file and line."""

from __future__ import annotations

import itertools
from pathlib import Path

import optuna
import pytest
from support.spaces import SPACE, assert_told, sampled, small

from sldml.config.space import SearchSpace
from sldml.config.space_file import FOLDER, fields_at, override, parse_space, read_space
from sldml.config.space_tree import SpaceError
from sldml.config.trial import TrialConfig
from sldml.errors import InputError

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.fixture(autouse=True)
def _quiet_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def test_there_are_spaces():
    assert "demo" in SHIPPED


def test_names_in_optuna_are_the_paths_of_the_configuration():
    space = parse_space(SPACE, "made", "made.yaml")
    for params in sampled(space, 50):
        assert params.keys() <= space.configure(params).dotted().keys()
    assert [leaf.path for leaf in space.leaves()] == [
        "optimizer.lr",
        "batch.num_classes",
        "loss.name",
        "loss.triplet_margin.margin",
        "loss.triplet_margin.swap",
        "loss.arcface.scale",
        "miner.name",
        "miner.multi_similarity.epsilon",
    ]


def test_what_is_fixed_reaches_every_configuration():
    space = parse_space(SPACE, "made", "made.yaml")
    for params in sampled(space, 20):
        config = space.configure(params)
        assert config.train.max_epochs == 5
        assert config.protocol.num_auxiliary == 30
    assert (space.search.trials, space.search.sampler) == (7, "auto")


def test_a_space_is_found_by_name_or_by_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE)
    assert read_space(str(path)).name == "mine"
    assert read_space(str(path)).text == SPACE
    assert read_space("demo").text == (FOLDER / "demo.yaml").read_text()
    with pytest.raises(InputError, match=r"there is no search space 'demoo'; there are .*demo"):
        read_space("demoo")
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        read_space(str(tmp_path / "nowhere.yaml"))
    path.write_bytes(b"space: \xff\xfe")
    with pytest.raises(InputError, match=r"mine\.yaml: cannot be read"):
        read_space(str(path))


# ------------------------------------------------------------------------------------------- mistakes, by line

MISTAKES = {
    "unknown part": ("spaces:  # HERE\n", "there is no 'spaces' (did you mean 'space'?)"),
    "unknown key fixed": ("fixed:\n  train:\n    epochs: 3  # HERE\n", "train.epochs: unknown key"),
    "unknown part fixed": ("fixed:\n  seed: 1\n  trane: {max_epochs: 3}  # HERE\n", "trane: unknown key"),
    "wrong type fixed": ("fixed:\n  train:\n    max_epochs: many  # HERE\n", "train.max_epochs: input should be"),
    "off is no number": ("fixed:\n  head:\n    weight: off  # HERE\n", "but it is 'off'"),
    "range fixed": ("fixed:\n  seed: 1\n  optimizer:\n    lr: -1  # HERE\n", "greater than 0, but it is -1"),
    "scalar fixed for a part": ("fixed:\n  seed: 1\n  loss: sup_con  # HERE\n", "loss: input should be a valid"),
    "unknown loss fixed": ("fixed:\n  loss:\n    name: cosfacet  # HERE\n", "loss.name: input should be 'contrastive"),
    "branch fixed": ("fixed:\n  seed: 1\n  loss: {name: arcface, sup_con: {}}  # HERE\n", "`sup_con` is set, but"),
    "fixed is a list": ("fixed: [1]  # HERE\n", "fixed must be a mapping (key: value), not [1]"),
    "fixed is empty": ("data: {dataset: synthetic}\nfixed:  # HERE\n", "fixed must be a mapping (key: value)"),
    "data is a word": ("data: ntu120  # HERE\n", "data must be a mapping (key: value), not 'ntu120'"),
    "unknown dataset": ("protocol: {name: ntu_one_shot}\ndata: {dataset: kinetics}  # HERE\n", "'kinetics'"),
    "key of another dataset": ("data:\n  dataset: ntu120\n  seed: 1  # HERE\n", "unknown key"),
    "range of a dataset": ("data:\n  dataset: synthetic\n  num_auxiliary: 101  # HERE\n", "less than or equal to 100"),
    "unhashable dataset": ("data: {dataset: [a]}  # HERE\n", "data: "),
    "unknown protocol": ("data: {dataset: ntu120}\nprotocol: {name: two_shot}  # HERE\n", "'two_shot'"),
    "range of the protocol": (
        "protocol:\n  name: ntu_one_shot\n  num_auxiliary: 1  # HERE\n",
        "greater than or equal to 2, but it is 1",
    ),
    "unknown representation": ("representation:\n  name: pixels  # HERE\n", "representation.name: input should be"),
    "range of the image": ("representation:\n  name: swap_axes\n  steps: 4  # HERE\n", "representation.steps: input"),
    "data twice": ("data: {dataset: ntu120}\nfixed:\n  data: {dataset: ntu120}  # HERE\n", "data is given twice"),
    "miner under a proxy loss, fixed": (
        "data: {dataset: ntu120}\nfixed:  # HERE\n  loss: {name: arcface}\n  miner: {name: batch_hard}\n",
        "miner.name 'batch_hard' needs a loss over tuples, not 'arcface'",
    ),
    "unknown setting": ("search:\n  trials: 3\n  trails: 3  # HERE\n", "search.trails: unknown key"),
    "range of a setting": ("search:\n  trials: 0  # HERE\n", "search.trials: input should be greater than or equal"),
    "unknown sampler": ("search:\n  trials: 3\n  sampler: cma  # HERE\n", "search.sampler: input should be 'auto'"),
    "search is a number": ("search: 3  # HERE\n", "search must be a mapping (key: value), not 3"),
    "key twice": ("fixed:\n  seed: 1\n  seed: 2  # HERE\n", "seed is given twice"),
    "space is a word": ("space: loss  # HERE\n", "space must be a mapping (key: value), not 'loss'"),
    "space is empty": ("data: {dataset: ntu120}\nspace:  # HERE\n", "space must be a mapping"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_file_and_line(mistake: str):
    assert_told(*MISTAKES[mistake])


def test_the_texts_of_the_mistakes_are_right_but_for_the_mistake():
    parse_space(SPACE, "made", "made.yaml")
    parse_space(small("fixed: {seed: 1}\n"), "made", "made.yaml")


# ---------------------------------------------------------------------------------------------------- --set


@pytest.fixture
def space() -> SearchSpace:
    return parse_space(SPACE, "made", "made.yaml")


def test_setting_a_leaf_takes_it_out_of_the_search(space: SearchSpace):
    fixed = override(space, ["optimizer.lr=1e-3"])
    assert "optimizer.lr" not in {leaf.path for leaf in fixed.leaves()}
    assert all(fixed.configure(params).optimizer.lr == 1e-3 for params in sampled(fixed, 20))
    assert "optimizer.lr" in {leaf.path for leaf in space.leaves()}


def test_setting_what_is_not_searched_changes_every_configuration(space: SearchSpace):
    fixed = override(space, ["train.max_epochs=2", "data.seed=9", "encoder.name=resnet18"])
    config = fixed.configure(sampled(fixed, 1)[0])
    assert (config.train.max_epochs, config.data.seed, config.encoder.name) == (2, 9, "resnet18")


def test_setting_a_branch_keeps_its_parameters_in_the_search(space: SearchSpace):
    fixed = override(space, ["loss.name=triplet_margin"])
    paths = {leaf.path for leaf in fixed.leaves()}
    assert {"loss.triplet_margin.margin", "loss.triplet_margin.swap", "miner.name"} <= paths
    assert not paths & {"loss.name", "loss.arcface.scale"}
    for params in sampled(fixed, 30):
        assert fixed.configure(params).loss.name == "triplet_margin"
        assert "miner.name" in params


def test_setting_a_branch_decides_the_conditions_on_it(space: SearchSpace):
    fixed = override(space, ["loss.name=arcface"])
    for params in sampled(fixed, 30):
        assert set(params) == {"optimizer.lr", "batch.num_classes", "loss.arcface.scale"}
        assert fixed.configure(params).miner.name == "none"


def test_setting_a_branch_that_is_not_among_the_choices(space: SearchSpace):
    fixed = override(space, ["loss.name=proxy_anchor"])
    assert all(fixed.configure(params).loss.name == "proxy_anchor" for params in sampled(fixed, 10))


def test_setting_inside_a_branch_holds_there_only(space: SearchSpace):
    fixed = override(space, ["loss.triplet_margin.margin=0.3"])
    losses = set()
    for params in sampled(fixed, 60):
        config = fixed.configure(params)
        losses.add(config.loss.name)
        if config.loss.name == "triplet_margin":
            assert config.loss.chosen.margin == 0.3
    assert losses == {"triplet_margin", "sup_con", "arcface"}


def test_setting_a_branch_under_a_condition_holds_under_it_only(space: SearchSpace):
    fixed = override(space, ["miner.name=multi_similarity", "miner.multi_similarity.epsilon=0.2"])
    seen = set()
    for params in sampled(fixed, 60):
        config = fixed.configure(params)
        seen.add((config.loss.name, config.miner.name))
        assert config.miner.name == "none" or config.miner.chosen.epsilon == 0.2
    assert seen == {("triplet_margin", "multi_similarity"), ("sup_con", "multi_similarity"), ("arcface", "none")}


def test_settings_follow_one_another(space: SearchSpace):
    fixed = override(space, ["loss.name=triplet_margin", "loss.triplet_margin.margin=0.1", "optimizer.lr=0.1"])
    config = fixed.configure(sampled(fixed, 1)[0])
    assert (config.loss.name, config.loss.chosen.margin, config.optimizer.lr) == ("triplet_margin", 0.1, 0.1)
    assert override(fixed, ["optimizer.lr=0.2"]).default_config().optimizer.lr == 0.2


def test_settings_of_the_search(space: SearchSpace):
    changed = override(space, ["search.trials=3", "search.scheduler=none"])
    assert (changed.search.trials, changed.search.scheduler, changed.search.top_k) == (3, "none", 3)
    assert changed.base == space.base


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr", "write it as dotted.path=value"),
        ("=3", "write it as dotted.path=value"),
        ("optimizer.lrr=1", "there is no 'lrr' (did you mean 'lr'?) in optimizer"),
        ("nothing.at.all=1", "there is no 'nothing'"),
        ("seed.more=1", "there is no 'more'"),
        ("optimizer.lr=-1", "greater than 0, but it is -1"),
        ("optimizer.lr=fast", "but it is 'fast'"),
        ("optimizer.lr=[", "not YAML"),
        ("optimizer.lr=[0.1, 0.2]", "[0.1, 0.2] is no plain value"),
        ("loss.name=cosfacet", "but it is 'cosfacet'"),
        ("loss=sup_con", "loss is no value but a part with keys of its own: loss.name, "),
        ("loss={name: sup_con}", "loss is no value but a part"),
        ("loss.sup_con=1", "loss.sup_con is no value but a part with keys of its own: loss.sup_con.temperature"),
        ("loss.arcface.scale=-3", "greater than 0, but it is -3"),
        ("loss.contrastive.neg_margin=1", "`contrastive` is set, but `name` is 'triplet_margin'"),
        ("miner.name=best", "miner.name: "),
        ("data.modality=skeleton", "unknown key"),
        ("search.trials=0", "greater than or equal to 1, but it is 0"),
        ("search.trails=3", "unknown key"),
        ("search=3", "there is no 'search'"),
    ],
)
def test_a_wrong_setting_is_told_as_it_was_typed(space: SearchSpace, setting: str, message: str):
    with pytest.raises(InputError) as caught:
        override(space, [setting])
    assert str(caught.value).startswith(f"--set {setting}")
    assert message in str(caught.value)


def test_fields_at_a_path_of_several_kinds():
    assert len(fields_at("protocol.num_auxiliary")) == 5
    assert len(fields_at("data.modality")) == 1
    with pytest.raises(SpaceError, match=r"there is no 'modal' \(did you mean 'modality'\?\) in data"):
        fields_at("data.modal")


# ------------------------------------------------------------------------------------------------ --set


UNSETTABLE = """
data: {dataset: synthetic}
protocol: {name: ntu_one_shot, num_auxiliary: 12}
fixed: {train: {max_epochs: 7}}
search: {trials: 5}
space:
  optimizer: {lr: {float: [1.0e-4, 1.0e-2], log: true}}
  loss: {choose: {arcface: {scale: {float: [8.0, 16.0]}}, sup_con: {temperature: {float: [0.1, 0.5]}}}}
"""


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        override(parse_space(UNSETTABLE, "toy", "toy.yaml"), ["seed.more=1", "seed=3", "train.max_epochs=-1", "x"])
    assert str(caught.value).count("--set ") == 3
    assert str(caught.value).count("; ") == 2


@pytest.mark.parametrize("nothing", ["", "null", "~"])
def test_a_key_without_a_value_has_its_default(nothing: str) -> None:
    space = parse_space(UNSETTABLE, "toy", "toy.yaml")
    paths = ["train.max_epochs", "protocol.num_auxiliary", "search.trials", "optimizer.lr", "loss.arcface.scale"]
    changed = override(space, [f"{path}={nothing}" for path in paths])
    config, default = changed.default_config(), TrialConfig()
    assert config.train.max_epochs == default.train.max_epochs
    assert config.protocol.num_auxiliary == 100
    assert config.optimizer.lr == default.optimizer.lr
    assert changed.search.trials == 24
    assert [leaf.path for leaf in changed.leaves()] == ["loss.name", "loss.sup_con.temperature"]
    assert override(changed, ["loss.name="]).default_config().loss.name == default.loss.name


@pytest.mark.parametrize(
    "given",
    [
        ["loss.name=sup_con", "loss.sup_con.temperature=0.2"],
        ["loss.name=arcface", "loss.arcface.scale="],
        ["encoder.name=vit_tiny", "encoder.vit_tiny.num_blocks=2", "loss.name=arcface", "search.trials=3"],
        ["protocol.name=one_shot", "protocol.exemplar.name=subject", "protocol.exemplar.subject.subject=P001"],
        ["protocol.num_auxiliary=", "protocol.name=one_shot", "protocol.auxiliary=A001,A002"],
    ],
)
def test_the_order_of_settings_does_not_matter(given: list[str]) -> None:
    space = parse_space(UNSETTABLE, "toy", "toy.yaml")
    hashes = {override(space, list(order)).hash for order in itertools.permutations(given)}
    assert len(hashes) == 1
