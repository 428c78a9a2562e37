"""One configuration out of a space, a file or settings, and the space that holds nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from sldml.config.single import changed, make_config, read_config, space_of, typical_config
from sldml.config.space_file import FOLDER, parse_space, read_space
from sldml.config.trial import TrialConfig
from sldml.errors import InputError

SPACE = """
data: {dataset: synthetic}
protocol: {name: ntu_one_shot}
representation: {name: swap_axes, steps: 32}
search: {trials: 20}
space:
  optimizer:
    lr: {float: [1.0e-6, 1.0e-4], log: true}
  batch:
    num_classes: {int: [2, 6]}
  encoder:
    choose:
      resnet18: {}
      small_cnn: {width: {choice: [16, 24]}}
  loss:
    choose:
      arcface: {margin_deg: {float: [10.0, 12.0]}}
      triplet_margin: {margin: {float: [0.02, 0.5], log: true}}
"""


def test_what_a_file_knows_to_be_good_comes_first() -> None:
    space = parse_space(SPACE + "known_good:\n  - {loss.name: triplet_margin, optimizer.lr: 5.0e-5}\n", "s", "s.yaml")
    config = typical_config(space)
    assert (config.loss.name, config.optimizer.lr) == ("triplet_margin", 5e-5)
    # Not among what is known to be good: the configuration's own default, where the space has it.
    default = make_config({"loss": {"name": "triplet_margin"}}, "x").loss.triplet_margin
    assert config.loss.triplet_margin == default
    assert config.encoder.name == "small_cnn" == TrialConfig().encoder.name


def test_without_it_defaults_count_and_else_the_middle() -> None:
    config = typical_config(
        parse_space(SPACE.replace("small_cnn: {width: {choice: [16, 24]}}", "vit_tiny: {}"), "s", "s")
    )
    assert config.encoder.name == "resnet18"  # the default is none of the choices: the first
    assert config.optimizer.lr == pytest.approx(1e-5)  # out of the range: its middle, on its logarithmic scale
    default = TrialConfig().batch.num_classes
    assert config.batch.num_classes == (default if 2 <= default <= 6 else 4)
    assert (config.loss.name, TrialConfig().loss.name) == ("arcface", "multi_similarity")


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.yaml") if file.stem != "own"))
def test_every_space_has_one_to_begin_with(name: str) -> None:
    config = typical_config(read_space(name))
    space = space_of(config, name, num_seeds=4)
    assert space.default_config() == config
    assert (space.search.trials, space.search.top_k, space.search.final_seeds) == (1, 1, 4)
    assert space.search.seed == config.seed
    # Who goes on with it has its text alone.
    assert parse_space(space.text, name, "journal").default_config() == config
    study = optuna.create_study()
    space(study.ask())
    assert study.trials[0].params == {}


def test_a_file_may_be_json_or_yaml_nested_or_dotted(tmp_path: Path) -> None:
    wanted = TrialConfig.model_validate({"loss": {"name": "sup_con", "sup_con": {"temperature": 0.2}}, "seed": 3})
    nested, dotted = tmp_path / "config.json", tmp_path / "config.yaml"
    nested.write_text(json.dumps(wanted.to_dict()))
    dotted.write_text("loss.name: sup_con\nloss.sup_con.temperature: 0.2\nseed: 3\n")
    assert read_config(nested) == read_config(dotted) == wanted


def test_settings_go_over_it_and_a_new_name_drops_the_old_branch() -> None:
    config = make_config({"loss": {"name": "arcface", "arcface": {"scale": 9.0}}}, "x")
    over = changed(config, ["loss.name=sup_con", "loss.sup_con.temperature=0.3", "train.max_epochs=4"])
    assert (over.loss.name, over.loss.arcface, over.train.max_epochs) == ("sup_con", None, 4)
    assert over.loss.sup_con is not None
    assert over.loss.sup_con.temperature == 0.3
    assert changed(config, []) == config


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["loss.name"], "write it as dotted.path=value"),
        (["loss.nme=arcface"], "did you mean 'name'"),
        (["loss.name=best"], "loss.name"),
        (["optimizer.lr=-1"], "optimizer.lr"),
        (["loss.sup_con.temperature=0.1"], "set only the selected branch"),
    ],
)
def test_wrong_settings_are_told(settings: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        changed(make_config({"loss": {"name": "arcface"}}, "x"), settings)


def test_wrong_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(InputError, match="cannot be read"):
        read_config(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_config(path)
    for text, said in (("loss: {name: x}", "loss.name"), ("los: 1", "los: unknown key"), ("[1", "c.yaml")):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read_config(path)
