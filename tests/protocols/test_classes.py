"""Lists of classes: in natural order, spread, dealt into folds, first and last ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sldml.config.protocol import OneShot
from sldml.protocols.classes import (
    NTU_CLASSES,
    NTU_NOVEL,
    UTD_THIGH,
    UTD_WRIST,
    ProtocolError,
    class_folds,
    natural_key,
    natural_order,
    one_shot_classes,
    require_known,
    spread,
)

TEN = [f"c{i}" for i in range(1, 11)]


def test_official_lists() -> None:
    assert len(NTU_CLASSES) == 120
    assert tuple(f"A{a:03d}" for a in range(1, 116, 6)) == NTU_NOVEL
    assert (UTD_WRIST[0], UTD_WRIST[-1], UTD_THIGH[0], UTD_THIGH[-1]) == ("a1", "a21", "a22", "a27")


def test_natural_order_by_hand() -> None:
    assert natural_order(["a10", "a2", "b", "a1", "a2"]) == ["a1", "a2", "a10", "b"]
    assert natural_order(["p01_r10", "p01_r9", "p1_r9"]) == ["p01_r9", "p1_r9", "p01_r10"]
    assert natural_order(["7", "x", "", "10", "-3"]) == ["", "7", "10", "-3", "x"]


@given(st.lists(st.text(alphabet="a1²Ⅷ٣_ 09", max_size=6)))
def test_natural_order_is_an_order_of_all_names(names: list[str]) -> None:
    ordered = natural_order(names)
    assert set(ordered) == set(names)
    assert ordered == natural_order(reversed(names))
    assert len({repr(natural_key(name)) for name in ordered}) == len(ordered)


def test_spread_by_hand() -> None:
    assert spread("abcdefghij", 2) == ["c", "h"]
    assert spread("abcdefghij", 5) == ["b", "d", "f", "h", "j"]
    assert spread("abc", 3) == ["a", "b", "c"]
    for size, count in product(range(1, 30), range(1, 30)):
        if count <= size:
            assert len(set(spread([str(i) for i in range(size)], count))) == count


def test_folds_by_hand() -> None:
    assert class_folds(list("abcdefg"), 3) == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert class_folds(list("abcd"), 2) == [["a", "c"], ["b", "d"]]


@given(st.integers(4, 60), st.integers(2, 30))
def test_folds_hold_out_every_class_once(num_classes: int, num_folds: int) -> None:
    classes = [f"c{i}" for i in range(num_classes)]
    if num_folds > num_classes // 2:
        with pytest.raises(ProtocolError, match=f"there can be 2 to {num_classes // 2} folds"):
            class_folds(classes, num_folds)
        return
    folds = class_folds(classes, num_folds)
    assert sorted(c for fold in folds for c in fold) == sorted(classes)
    sizes = [len(fold) for fold in folds]
    assert len(folds) == num_folds
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_three_classes_have_no_folds() -> None:
    with pytest.raises(ProtocolError, match="of at least 4 classes"):
        class_folds(["a", "b", "c"], 2)


@pytest.mark.parametrize(
    ("config", "auxiliary", "novel"),
    [
        ({}, TEN[:7], TEN[7:]),
        ({"num_auxiliary": 4}, TEN[:4], TEN[4:]),
        ({"num_auxiliary": 4, "num_novel": 3}, TEN[:4], TEN[7:]),
        ({"num_novel": 3}, TEN[:7], TEN[7:]),
        ({"auxiliary": ["c10", "c2"]}, ["c2", "c10"], ["c1", *TEN[2:9]]),
        ({"auxiliary": ["c10", "c2"], "num_novel": 2}, ["c2", "c10"], ["c8", "c9"]),
        ({"novel": "c1, c2"}, TEN[2:], TEN[:2]),
        ({"novel": ["c1", "c2"], "num_auxiliary": 3}, ["c3", "c4", "c5"], TEN[:2]),
        ({"auxiliary": "c4,c3", "novel": "c9,c1"}, ["c3", "c4"], ["c1", "c9"]),
    ],
)
def test_first_and_last_or_listed_classes(config: dict[str, Any], auxiliary: list[str], novel: list[str]) -> None:
    assert one_shot_classes(OneShot.model_validate(config), reversed(TEN)) == (auxiliary, novel)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"auxiliary": "c1,c2", "novel": "c2,c3"}, "class c2 is in both protocol.auxiliary and protocol.novel"),
        ({"auxiliary": "c1,c11"}, "protocol.auxiliary: there is no class c11 (did you mean 'c1'?)"),
        ({"novel": "c1,wave"}, "protocol.novel: there is no class wave (there are c1, c2, c3, "),
        ({"novel": "c1,c1"}, "protocol.novel: class c1 is there twice"),
        ({"num_auxiliary": 11}, "protocol.num_auxiliary is 11, but there are 10 classes to take them from"),
        ({"num_auxiliary": 9, "novel": "c1,c2"}, "protocol.num_auxiliary is 9, but there are 8 classes"),
        ({"num_auxiliary": 7, "num_novel": 4}, "protocol.num_novel is 4, but 7 auxiliary classes leave 3 of 10"),
        ({"num_novel": 9}, "protocol.num_novel is 9, but of 10 classes two must be auxiliary"),
    ],
)
def test_what_classes_do_not_allow(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        one_shot_classes(OneShot.model_validate(config), TEN)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_many_known_classes_the_first_are_told() -> None:
    with pytest.raises(ProtocolError, match=r"there are c0, .*, c11 and 88 more\)"):
        require_known(["wave"], [f"c{i}" for i in range(100)], "protocol.novel")
