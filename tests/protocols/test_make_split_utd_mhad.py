"""UTD-MHAD's protocols: their classes, exemplars and counts, by hand and on the real recordings."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.catalogs import UTD, assert_apart, catalog_of, utd_names

from sldml.config.data import UtdMhadData
from sldml.config.protocol import UtdMhadInterJoint, UtdMhadInterSensor, UtdMhadOneShot
from sldml.prepared.prepared_set import prepare
from sldml.protocols.make_split import make_split


def test_utd_classes_and_exemplars() -> None:
    split = make_split(UtdMhadOneShot(num_auxiliary=11), UTD)
    assert split.sealed.exemplars.classes == tuple(f"a{a}" for a in range(12, 28))
    assert split.sealed.exemplars.names == tuple(f"a{a}_s1_t1" for a in range(12, 28))
    auxiliary = {*split.development.train.classes, *split.development.validation.classes}
    assert auxiliary == {f"a{a}" for a in range(1, 12)}
    assert len(split.development.validation.classes) == 3
    last = make_split(UtdMhadOneShot(num_auxiliary=11, num_novel=4), UTD)
    assert last.sealed.exemplars.classes == ("a24", "a25", "a26", "a27")
    assert last.development.train.names == split.development.train.names


def test_three_auxiliary_classes_hold_out_subjects_and_say_so() -> None:
    split = make_split(UtdMhadOneShot(num_auxiliary=3), catalog_of(utd_names(num_subjects=8)))
    development = split.development
    assert development.measure == "map_at_r"
    assert development.train.classes == development.validation.classes == ("a1", "a2", "a3")
    assert set(development.validation.subjects) == {"s7", "s8"}
    assert set(development.train.subjects) == {f"s{s}" for s in range(1, 7)}
    assert len(split.notes) == 1
    assert "holds out the subjects s7, s8 and scores retrieval (MAP@R)" in split.notes[0]
    # The final models train on all of it, each class once.
    merged = development.merged()
    assert merged.classes == ("a1", "a2", "a3")
    assert sorted(merged.names) == sorted(n for n in utd_names(8) if n.split("_")[0] in ("a1", "a2", "a3"))


@pytest.fixture(scope="module", params=["skeleton", "inertial", "fused"])
def real_catalog(
    request: pytest.FixtureRequest, real_utd: Path, tmp_path_factory: pytest.TempPathFactory
) -> pd.DataFrame:
    """Of every modality: the same 861 recordings."""
    prepared = prepare(
        UtdMhadData(modality=request.param), real_utd, tmp_path_factory.mktemp(request.param), num_workers=1
    )
    assert len(prepared.catalog) == 861
    return prepared.catalog


UTD_COMPLEMENTS = [(3, 24, 741), (7, 20, 617), (11, 16, 494), (15, 12, 370), (19, 8, 246), (23, 4, 123)]


@pytest.mark.parametrize(("num_auxiliary", "num_novel", "num_queries"), UTD_COMPLEMENTS)
def test_utd_splits_of_the_real_recordings(
    real_catalog: pd.DataFrame, num_auxiliary: int, num_novel: int, num_queries: int
) -> None:
    split = make_split(UtdMhadOneShot(num_auxiliary=num_auxiliary), real_catalog)
    assert len(split.sealed.queries) == num_queries
    assert len(split.sealed.exemplars) == num_novel
    assert set(split.sealed.exemplars.subjects) == {"s1"}
    development = split.development
    assert len(development.train) + len(development.validation) == 861 - num_queries - num_novel
    assert_apart(split, num_auxiliary)


@pytest.mark.parametrize("num_auxiliary", [3, 7, 11, 15, 19, 23])
def test_utd_splits_that_test_the_last_four(real_catalog: pd.DataFrame, num_auxiliary: int) -> None:
    split = make_split(UtdMhadOneShot(num_auxiliary=num_auxiliary, num_novel=4), real_catalog)
    assert split.sealed.exemplars.names == ("a24_s1_t1", "a25_s1_t1", "a26_s1_t1", "a27_s1_t1")
    assert len(split.sealed.queries) == 4 * 32 - 1 - 4  # a27_s8_t4 does not exist
    whole = make_split(UtdMhadOneShot(num_auxiliary=num_auxiliary), real_catalog)
    assert split.development.train.names == whole.development.train.names
    assert_apart(split, num_auxiliary)


@pytest.mark.parametrize(
    ("train_on", "equal", "num_auxiliary", "num_development", "num_novel", "num_queries"),
    [
        ("wrist", False, 21, 21 * 32 - 1, 6, 6 * 32 - 2 - 6),
        ("wrist", True, 6, 6 * 32, 6, 6 * 32 - 2 - 6),
        ("thigh", False, 6, 6 * 32 - 2, 21, 21 * 32 - 1 - 21),
        ("thigh", True, 6, 6 * 32 - 2, 6, 6 * 32 - 6),
    ],
)
def test_inter_joint_splits_of_the_real_recordings(
    real_catalog: pd.DataFrame,
    train_on: str,
    equal: bool,
    num_auxiliary: int,
    num_development: int,
    num_novel: int,
    num_queries: int,
) -> None:
    split = make_split(UtdMhadInterJoint.model_validate({"train_on": train_on, "equal_classes": equal}), real_catalog)
    development = split.development
    assert len({*development.train.classes, *development.validation.classes}) == num_auxiliary
    assert len(development.train) + len(development.validation) == num_development
    assert (len(split.sealed.exemplars), len(split.sealed.queries)) == (num_novel, num_queries)
    assert_apart(split, num_auxiliary)


def test_inter_joint_classes_by_hand() -> None:
    def classes(**config: Any) -> tuple[list[str], list[str]]:
        split = make_split(UtdMhadInterJoint(**config), UTD)
        development = split.development
        auxiliary = sorted({*development.train.classes, *development.validation.classes}, key=lambda c: int(c[1:]))
        assert split.sealed.exemplars.names == tuple(f"{c}_s1_t1" for c in split.sealed.exemplars.classes)
        assert (development.train.rows, split.sealed.queries.rows) == ("all", "all")
        return auxiliary, list(split.sealed.exemplars.classes)

    wrist, thigh = [f"a{a}" for a in range(1, 22)], ["a22", "a23", "a24", "a25", "a26", "a27"]
    assert classes() == (wrist, thigh)
    assert classes(train_on="thigh") == (thigh, wrist)
    assert classes(equal_classes=True) == (["a1", "a2", "a3", "a4", "a5", "a6"], thigh)
    assert classes(train_on="thigh", equal_classes=True) == (thigh, ["a16", "a17", "a18", "a19", "a20", "a21"])


def test_inter_sensor_trains_on_one_sensors_rows_and_tests_on_the_others() -> None:
    split = make_split(UtdMhadInterSensor(), UTD)
    plain = make_split(UtdMhadOneShot(num_auxiliary=11), UTD)
    assert split.description == "UTD-MHAD inter-sensor, inertial to skeleton: 11 auxiliary and 16 novel classes"
    assert split.development.train.rows == split.development.validation.rows == "sensors"
    assert split.sealed.exemplars.rows == split.sealed.queries.rows == "bodies"
    assert split.development.merged().rows == "sensors"
    assert split.development.train.names == plain.development.train.names
    assert split.sealed.queries.names == plain.sealed.queries.names
    back = make_split(UtdMhadInterSensor(train_on="skeleton", num_auxiliary=23, num_novel=4), UTD)
    assert back.development.train.rows == back.development.validation.rows == "bodies"
    assert back.sealed.exemplars.rows == back.sealed.queries.rows == "sensors"
    assert back.sealed.exemplars.classes == ("a24", "a25", "a26", "a27")
    assert split.hash != plain.hash


def test_inter_sensor_splits_of_the_real_recordings(real_catalog: pd.DataFrame) -> None:
    for train_on, (num_auxiliary, num_novel, num_queries) in product(("inertial", "skeleton"), UTD_COMPLEMENTS):
        config = UtdMhadInterSensor.model_validate({"train_on": train_on, "num_auxiliary": num_auxiliary})
        split = make_split(config, real_catalog)
        assert (len(split.sealed.exemplars), len(split.sealed.queries)) == (num_novel, num_queries)
        assert_apart(split, num_auxiliary)


def test_development_and_test_never_meet_on_utd() -> None:
    for num_auxiliary, num_novel in product(range(2, 26), (None, 2, 4)):
        if num_novel is None or num_novel <= 27 - num_auxiliary:
            config = UtdMhadOneShot(num_auxiliary=num_auxiliary, num_novel=num_novel)
            assert_apart(make_split(config, UTD), num_auxiliary)
