"""The generic protocol: from its part of a configuration to a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.catalogs import assert_apart, plain_catalog
from support.made_history import search_begun

from sldml.config.protocol import OneShot
from sldml.config.space_file import override, parse_space
from sldml.config.trial import TrialConfig
from sldml.errors import InputError
from sldml.journal import History
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.classes import ProtocolError, class_folds
from sldml.protocols.make_split import make_split

CATALOG = plain_catalog(12)
ALL = [f"c{i}" for i in range(1, 13)]


def split_of(catalog: pd.DataFrame = CATALOG, **config: Any) -> Any:
    return make_split(OneShot.model_validate(config), catalog)


def test_by_default_seven_tenths_train_and_the_first_by_name_is_the_exemplar() -> None:
    split = split_of()
    assert split.description == "one-shot: 8 auxiliary and 4 novel classes"
    assert split.sealed.exemplars.classes == ("c9", "c10", "c11", "c12")
    assert split.sealed.exemplars.names == ("c9_p01_t1", "c10_p01_t1", "c11_p01_t1", "c12_p01_t1")
    assert len(split.sealed.queries) == 4 * 5
    assert split.development.validation.classes == ("c2", "c5", "c7")  # a quarter of 8, but at least three
    assert split.notes == ()
    assert_apart(split, 8)


def test_fewer_auxiliary_classes_leave_the_novel_ones_as_they_are() -> None:
    splits = [split_of(num_auxiliary=n, num_novel=4) for n in (6, 7, 8)]
    assert len({s.sealed.queries.names for s in splits}) == 1
    assert [len({*s.development.train.classes, *s.development.validation.classes}) for s in splits] == [6, 7, 8]


@pytest.mark.parametrize("fold", range(4))
def test_each_fold_is_held_out(fold: int) -> None:
    split = split_of(num_auxiliary=10, validation={"name": "folds", "folds": {"num_folds": 4, "fold": fold}})
    assert list(split.development.validation.classes) == class_folds(ALL[:10], 4)[fold]
    assert set(split.development.train.classes) == set(ALL[:10]) - set(split.development.validation.classes)
    assert_apart(split, 10)


def test_validation_by_count_and_by_list() -> None:
    even = split_of(num_auxiliary=10, validation={"spread": {"num_classes": 2}})
    assert even.development.validation.classes == ("c3", "c8")
    listed = split_of(num_auxiliary=10, validation={"name": "list", "list": {"classes": ["c7", "c2"]}})
    assert listed.development.validation.classes == ("c2", "c7")
    assert_apart(listed, 10)
    few = split_of(num_auxiliary=4, validation={"name": "list", "list": {"classes": "c1,c2"}})
    assert few.development.measure == "one_shot_accuracy"
    assert split_of(num_auxiliary=4).development.measure == "map_at_r"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"validation": {"name": "list", "list": {"classes": "c1,c9"}}}, "list.classes: there is no class c9"),
        (
            {"validation": {"name": "list", "list": {"classes": "c1"}}},
            "two classes to tell apart, but it names 1",
        ),
        ({"validation": {"name": "list"}}, "it names 0; auxiliary are c1, c2, c3"),
        ({"validation": {"name": "folds"}}, "5 folds of 8 auxiliary classes leave fewer than two"),
        ({"validation": {"spread": {"num_classes": 7}}}, "validation.spread.num_classes is 7, but of 8 auxiliary"),
        ({"novel": "c1"}, "one-shot needs two novel classes, but 1 are"),
        ({"num_auxiliary": 11}, "one-shot needs two novel classes, but 1 are"),
        ({"exemplar": {"name": "subject", "subject": {"subject": "p7"}}}, "there is no subject p7"),
    ],
)
def test_what_the_recordings_do_not_allow(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        split_of(**config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_may_name_an_exemplar_that_is_not_there_or_is_anothers(tmp_path: Path) -> None:
    path = tmp_path / "exemplars.csv"
    config = {"novel": "c1,c2", "exemplar": {"name": "list", "list": {"file": str(path)}}}
    path.write_text("label,name\nc1,c1_p02_t1\nc2,c2_p03_t2\n")
    split = split_of(**config)
    assert split.sealed.exemplars.names == ("c1_p02_t1", "c2_p03_t2")
    assert "exemplars are those of" in split.notes[0]
    path.write_text("label,name\nc1,c1_p02_t1\nc2,c2_p02_t1\n")
    assert split_of(**config).hash != split.hash
    path.write_text("label,name\nc1,c1_p02_t1\nc2,c1_p02_t2\n")
    with pytest.raises(ProtocolError, match="the exemplar c1_p02_t2 of the novel class c2 carries another label"):
        split_of(**config)
    path.write_text("label,name\nc1,c1_p02_t1\nc2,c2_p02_t7\n")
    with pytest.raises(ProtocolError, match="the exemplar c2_p02_t7 of the novel class c2 is not among"):
        split_of(**config)


# ---------------------------------------------------------------------------------------------- the configuration

SPACE = """\
data: {dataset: synthetic}
protocol: PROTOCOL
space: {optimizer: {lr: {float: [1.0e-4, 1.0e-2], log: true}}}
"""


def space(protocol: str) -> Any:
    return parse_space(SPACE.replace("PROTOCOL", protocol), "made", "made.yaml")


def test_lists_of_classes_in_yaml_and_by_set() -> None:
    made = space("{name: one_shot, auxiliary: [c1, 7, c2], num_novel: 2}")
    config = made.default_config()
    assert config.protocol.auxiliary == ("c1", "7", "c2")
    assert config.dotted()["protocol.auxiliary"] == ["c1", "7", "c2"]
    assert TrialConfig.model_validate(config.to_dict()) == config
    changed = override(made, ["protocol.auxiliary=c3, c4,c5"])
    assert changed.default_config().protocol.auxiliary == ("c3", "c4", "c5")
    assert changed.hash != made.hash


def test_every_rule_can_be_set_from_the_command_line() -> None:
    settings = [
        "protocol.num_auxiliary=10",
        "protocol.num_novel=9",
        "protocol.exemplar.name=trial",
        "protocol.exemplar.trial.column=repetition",
        "protocol.exemplar.trial.value=2",
        "protocol.validation.name=folds",
        "protocol.validation.folds.num_folds=3",
        "protocol.validation.folds.fold=2",
    ]
    dotted = override(space("{name: one_shot}"), settings).default_config().dotted()
    assert {key: value for key, value in dotted.items() if key.startswith("protocol.")} == {
        "protocol.name": "one_shot",
        "protocol.num_auxiliary": 10,
        "protocol.num_novel": 9,
        "protocol.exemplar.name": "trial",
        "protocol.exemplar.trial.column": "repetition",
        "protocol.exemplar.trial.value": 2,
        "protocol.validation.name": "folds",
        "protocol.validation.folds.num_folds": 3,
        "protocol.validation.folds.fold": 2,
    }
    for rule in ("subject", "list", "first"):
        assert override(space("{name: one_shot}"), [f"protocol.exemplar.name={rule}"])
    assert override(space("{name: ntu_one_shot}"), ["protocol.validation=spread"])


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("{name: one_shot, num_novel: 2, novel: [a, b]}", "`novel` and `num_novel` are both set"),
        ("{name: one_shot, num_auxiliary: 2, auxiliary: a}", "give only one of them"),
        ("{name: one_shot, num_auxiliary: 1}", "greater than or equal to 2"),
        ("{name: one_shot, auxiliary: [[a]]}", "valid string"),
        ("{name: one_shot, validation: {name: folds, folds: {num_folds: 3, fold: 3}}}", "`fold < num_folds` must hold"),
        (
            "{name: one_shot, exemplar: {name: first, subject: {subject: p}}}",
            "`subject` is set, but `name` is",
        ),
        ("{name: one_shot, validation: spread}", "validation"),
    ],
)
def test_a_wrong_configuration_is_told_by_line(protocol: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        space(protocol)
    assert str(caught.value).startswith("made.yaml, line 2: ")
    assert message in str(caught.value)


def test_a_search_goes_on_only_with_the_split_that_it_was_begun_with(tmp_path: Path) -> None:
    from sldml.search.preflight import require_same_data

    path = tmp_path / "exemplars.csv"
    config = {"novel": "c1,c2", "exemplar": {"name": "list", "list": {"file": str(path)}}}
    path.write_text("label,name\nc1,c1_p02_t1\nc2,c2_p03_t2\n")
    split, prepared = split_of(**config), PreparedSet(tmp_path, CATALOG, {"hash": "abc"})
    begun = search_begun(name="made", prepared={"hash": "abc"}).model_copy(update={"split": split.to_record()})
    require_same_data(History(), prepared, split)
    require_same_data(History(begun), prepared, split)
    path.write_text("label,name\nc1,c1_p02_t2\nc2,c2_p03_t2\n")
    with pytest.raises(InputError, match="split of the recordings differs from that of search made"):
        require_same_data(History(begun), prepared, split_of(**config))
