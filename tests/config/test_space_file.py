"""Search-space files: those that ship can be sampled, and every mistake is told by file and line."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from sldml.config.space import SearchSpace
from sldml.config.space_file import FOLDER, fields_at, override, parse_space, read_space
from sldml.config.space_tree import SpaceError
from sldml.config.trial import TrialConfig
from sldml.errors import InputError

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SPACE = """\
data: {dataset: synthetic}
protocol: {name: ntu_one_shot, num_auxiliary: 30}
fixed:
  encoder: {name: small_cnn}
  train: {max_epochs: 5}
search: {trials: 7}
space:
  optimizer:
    lr: {float: [1e-4, 1e-2], log: true}
  batch:
    num_classes: {int: [4, 64], log: true}
  loss:
    choose:
      triplet_margin: {margin: {float: [0.05, 0.5]}, swap: {choice: [true, false]}}
      sup_con:
      arcface: {scale: {float: [8.0, 64.0], log: true}}
  miner:
    when: {loss: [triplet_margin, sup_con]}
    choose:
      none:
      multi_similarity: {epsilon: {float: [0.05, 0.8]}}
"""


@pytest.fixture(autouse=True)
def _quiet_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def sampled(space: SearchSpace, count: int, seed: int = 0) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    params = []
    for _ in range(count):
        trial = study.ask()
        space(trial)
        params.append(trial.params)
    return params


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_space(text, "made", "dir/made.yaml")
    return str(caught.value)


def small(body: str) -> str:
    """The text with an honest space where it has none of its own."""
    return body if "space:" in body else body + "space:\n  optimizer: {lr: {float: [1e-4, 1e-2]}}\n"


# ---------------------------------------------------------------------------------------------------- what ships


def test_there_are_spaces():
    assert "demo" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_300_samples_of_a_shipped_space_become_what_was_sampled(name: str):
    space = read_space(name)
    everywhere = {leaf.path for leaf in space.leaves()}
    seen: set[str] = set()
    for params in sampled(space, 300):
        dotted = space.configure(params).dotted()
        assert {path: dotted[path] for path in params} == params
        seen |= params.keys()
    assert seen == everywhere
    assert isinstance(space.default_config(), TrialConfig)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_opens_with_what_it_is_and_its_command(name: str):
    head = read_space(name).text.splitlines()[:6]
    assert head[0].startswith("# ")
    assert any(f"python launch/tune.py --space {name}" in line for line in head)


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
    assert (space.search.trials, space.search.sampler) == (7, "tpe")


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
    "unknown key fixed": ("fixed:\n  train:\n    epochs: 3  # HERE\n", "train.epochs: there is no such key"),
    "unknown part fixed": ("fixed:\n  seed: 1\n  trane: {max_epochs: 3}  # HERE\n", "trane: there is no such key"),
    "wrong type fixed": ("fixed:\n  train:\n    max_epochs: many  # HERE\n", "train.max_epochs: input should be"),
    "off is no number": ("fixed:\n  head:\n    weight: off  # HERE\n", "but it is 'off'"),
    "range fixed": ("fixed:\n  seed: 1\n  optimizer:\n    lr: -1  # HERE\n", "greater than 0, but it is -1"),
    "scalar fixed for a part": ("fixed:\n  seed: 1\n  loss: sup_con  # HERE\n", "loss: input should be a valid"),
    "unknown loss fixed": ("fixed:\n  loss:\n    name: cosfacet  # HERE\n", "loss.name: input should be 'contrastive"),
    "branch fixed": ("fixed:\n  seed: 1\n  loss: {name: arcface, sup_con: {}}  # HERE\n", "`sup_con` is set while"),
    "fixed is a list": ("fixed: [1]  # HERE\n", "fixed is a mapping (key: value), but found [1]"),
    "fixed is empty": ("data: {dataset: synthetic}\nfixed:  # HERE\n", "fixed is a mapping (key: value)"),
    "data is a word": ("data: ntu120  # HERE\n", "data is a mapping (key: value), but found 'ntu120'"),
    "unknown dataset": ("protocol: {name: ntu_one_shot}\ndata: {dataset: kinetics}  # HERE\n", "'kinetics'"),
    "key of another dataset": ("data:\n  dataset: ntu120\n  seed: 1  # HERE\n", "there is no such key"),
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
    "unknown setting": ("search:\n  trials: 3\n  trails: 3  # HERE\n", "search.trails: there is no such key"),
    "range of a setting": ("search:\n  trials: 0  # HERE\n", "search.trials: input should be greater than or equal"),
    "unknown sampler": ("search:\n  trials: 3\n  sampler: cma  # HERE\n", "search.sampler: input should be 'tpe'"),
    "search is a number": ("search: 3  # HERE\n", "search is a mapping (key: value), but found 3"),
    "key twice": ("fixed:\n  seed: 1\n  seed: 2  # HERE\n", "seed is there twice"),
    "space is a word": ("space: loss  # HERE\n", "space is a mapping (key: value), but found 'loss'"),
    "space is empty": ("data: {dataset: ntu120}\nspace:  # HERE\n", "space is a mapping"),
    "unknown key": (
        "space:\n  optimizer:\n    lrr: {float: [0.1, 1]}  # HERE\n",
        "there is no 'lrr' (did you mean 'lr'",
    ),
    "unknown part searched": ("space:\n  optimiser: {lr: {float: [0.1, 1]}}  # HERE\n", "did you mean 'optimizer'?"),
    "loss": ("space:\n  loss:\n    choose:\n      sup_con:\n      sub_con:  # HERE\n", "did you mean 'sup_con'?"),
    "key of a branch": (
        "space:\n  loss:\n    choose:\n      sup_con:\n        margin: {float: [0.1, 1]}  # HERE\n",
        "loss.sup_con.margin: there is no 'margin'",
    ),
    "data searched": (
        "space:\n  data:  # HERE\n    seed: {int: [0, 3]}\n",
        "data is the same for all trials of a search: fix it, and try another by --set",
    ),
    "protocol searched": (
        "space:\n  protocol:  # HERE\n    num_auxiliary: {int: [20, 30]}\n",
        "protocol is the same for all trials",
    ),
    "choose where nothing is": (
        "space:\n  train:\n    choose:  # HERE\n      a:\n",
        "train has no branches to choose from",
    ),
    "choose at the top": ("space:\n  choose: {a: {}}  # HERE\n", "space has no branches to choose from"),
    "choose without names": ("space:\n  loss:\n    choose: {}  # HERE\n", "loss: choose needs at least one name"),
    "choose a list": ("space:\n  loss:\n    choose: [sup_con]  # HERE\n", "choose is a mapping"),
    "branch is a number": ("space:\n  loss:\n    choose:\n      sup_con: 3  # HERE\n", "sup_con is a mapping"),
    "choose and name": (
        "space:\n  loss:\n    choose: {sup_con: {}, arcface: {}}\n    name: {choice: [sup_con, arcface]}  # HERE\n",
        "loss.name",
    ),
    "scalar searched": ("space:\n  optimizer:\n    lr: 0.1  # HERE\n", "what is not goes under `fixed`"),
    "part is a scalar": (
        "space:\n  head:\n    weight: {float: [0, 1]}\n  optimizer: 3  # HERE\n",
        "what is searched is",
    ),
    "leaf without a kind": ("space:\n  optimizer:\n    lr: {log: true}  # HERE\n", "needs one of choice, float, int"),
    "two kinds": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      int: [1, 2]  # HERE\n",
        "there is no 'int'",
    ),
    "key of a leaf": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      step: 1  # HERE\n",
        "there is no 'step'",
    ),
    "log with choice": (
        "space:\n  optimizer:\n    lr:\n      choice: [0.1, 1.0]\n      log: true  # HERE\n",
        "there is no 'log'",
    ),
    "log is a word": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      log: yes  # HERE\n",
        "log is true or false, but it is 'yes'",
    ),
    "a range is no list": ("space:\n  optimizer:\n    lr: {float: 0.1}  # HERE\n", "float takes a list"),
    "a range of one": (
        "space:\n  optimizer:\n    lr: {float: [0.1]}  # HERE\n",
        "float takes two numbers, [low, high]",
    ),
    "a range of words": ("space:\n  optimizer:\n    lr: {float: [a, b]}  # HERE\n", "float takes two numbers"),
    "a range of truths": ("space:\n  optimizer:\n    lr: {float: [false, true]}  # HERE\n", "float takes two numbers"),
    "fractions for int": ("space:\n  batch:\n    num_classes: {int: [2.5, 4]}  # HERE\n", "int takes two numbers"),
    "low is high": ("space:\n  optimizer:\n    lr: {float: [0.1, 0.1]}  # HERE\n", "`low < high` must hold"),
    "low above high": ("space:\n  batch:\n    num_classes: {int: [8, 4]}  # HERE\n", "`low < high` must hold"),
    "log from zero": ("space:\n  head:\n    weight: {float: [0, 1], log: true}  # HERE\n", "log needs `low > 0`"),
    "below the field": ("space:\n  optimizer:\n    lr: {float: [0.0, 0.1]}  # HERE\n", "greater than 0, but it is 0.0"),
    "above the field": ("space:\n  head:\n    weight: {float: [0.5, 1.5]}  # HERE\n", "less than or equal to 1"),
    "float for a whole number": ("space:\n  batch:\n    num_classes: {float: [2, 9]}  # HERE\n", "valid integer"),
    "choice out of the field": (
        "space:\n  normalize:\n    center: {choice: [none, sometimes]}  # HERE\n",
        "but it is 'sometimes'",
    ),
    "quoted number": ("space:\n  head:\n    weight: {choice: ['0.5']}  # HERE\n", "but it is '0.5'"),
    "choice for a part": ("space:\n  loss: {choice: [sup_con, arcface]}  # HERE\n", "loss: input should be"),
    "choice twice": ("space:\n  head:\n    weight: {choice: [0.1, 0.2, 0.1]}  # HERE\n", "and each once"),
    "choice of nothing": ("space:\n  head:\n    weight: {choice: []}  # HERE\n", "choice needs at least one value"),
    "choice of lists": ("space:\n  head:\n    weight: {choice: [[1]]}  # HERE\n", "[1] is no plain value"),
    "fixed and searched": (
        "fixed:\n  optimizer:\n    lr: 0.1  # HERE\nspace:\n  optimizer: {lr: {float: [0.1, 1]}}\n",
        "optimizer.lr is fixed here and searched under `space`",
    ),
    "name fixed and searched": (
        "fixed:\n  loss:\n    name: sup_con  # HERE\nspace:\n  loss: {choose: {sup_con: {}, arcface: {}}}\n",
        "loss.name is fixed here and searched",
    ),
    "representation fixed and searched": (
        "representation:\n  name: swap_axes\n  steps: 32  # HERE\nspace:\n  representation: {steps: {int: [16, 64]}}\n",
        "representation.steps is fixed here and searched",
    ),
    "when of nothing": (
        "space:\n  miner:\n    when:\n      loss: [sup_con]  # HERE\n    choose: {none: {}}\n",
        "loss is not an earlier choice (earlier ones: none)",
    ),
    "when of a later choice": (
        "space:\n  encoder: {choose: {small_cnn: {}}}\n  miner:\n    when:\n      loss: [sup_con]  # HERE\n"
        "    choose: {none: {}}\n  loss: {choose: {sup_con: {}}}\n",
        "loss is not an earlier choice (earlier ones: encoder)",
    ),
    "when of an unknown name": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: {loss: [arcface]}  # HERE\n"
        "    choose: {none: {}}\n",
        "when: loss: there is no 'arcface'",
    ),
    "when is a word": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: sup_con  # HERE\n    choose: {none: {}}\n",
        "when is a mapping",
    ),
    "when of no name": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: {loss: []}  # HERE\n    choose: {none: {}}\n",
        "when: loss: at least one name is needed",
    ),
    "miner under a proxy loss": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  loss: {choose: {sup_con: {}, arcface: {}}}\n"
        "  miner: {choose: {none: {}, batch_hard: {}}}\n",
        "miner.name 'batch_hard' needs a loss over tuples, not 'arcface'",
    ),
    "parameter of a branch outside it": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  loss:\n    name: {choice: [sup_con, arcface]}\n"
        "    arcface: {scale: {float: [8, 64]}}\n",
        "`arcface` is set while `name` is 'sup_con'",
    ),
    "no end to the range": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  train: {gradient_clip: {float: [1, 1e400]}}\n",
        "train.gradient_clip: input should be a finite number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_file_and_line(mistake: str):
    body, message = MISTAKES[mistake]
    text = small(body)
    (line,) = [number for number, content in enumerate(text.splitlines(), start=1) if "# HERE" in content]
    told = refusal(text)
    assert told.startswith(f"dir/made.yaml, line {line}: "), told
    assert message in told
    assert "\n" not in told


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
        ("optimizer.lr=", "but it is None"),
        ("optimizer.lr=fast", "but it is 'fast'"),
        ("optimizer.lr=[", "no YAML"),
        ("optimizer.lr=[0.1, 0.2]", "[0.1, 0.2] is no plain value"),
        ("loss.name=cosfacet", "but it is 'cosfacet'"),
        ("loss=sup_con", "loss is no value but a part with keys of its own: loss.name, "),
        ("loss={name: sup_con}", "loss is no value but a part"),
        ("loss.sup_con=1", "loss.sup_con is no value but a part with keys of its own: loss.sup_con.temperature"),
        ("loss.arcface.scale=-3", "greater than 0, but it is -3"),
        ("loss.contrastive.neg_margin=1", "`contrastive` is set while `name` is 'triplet_margin'"),
        ("miner.name=best", "miner.name: "),
        ("data.modality=skeleton", "there is no such key"),
        ("search.trials=0", "greater than or equal to 1, but it is 0"),
        ("search.trails=3", "there is no such key"),
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
