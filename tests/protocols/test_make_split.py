"""The protocols: classes, exemplars and counts, and that development and test never meet."""

import dataclasses
import itertools
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.catalogs import (
    NTU,
    UTD,
    assert_apart,
    assert_tells_nothing_of,
    catalog_of,
    ntu_names,
    plain_catalog,
    utd_names,
)

from sldml.config.data import UtdMhadData
from sldml.config.protocol import (
    ImageFolderOneShot,
    NtuOneShot,
    OneShot,
    ProtocolConfig,
    SimitateOneShot,
    UtdMhadInterJoint,
    UtdMhadInterSensor,
    UtdMhadOneShot,
)
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.classes import NTU_DEVELOPMENT, NTU_NOVEL, ProtocolError
from sldml.protocols.exemplars import ntu_exemplar
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Development, Split
from sldml.recordings.readers import ntu

# ------------------------------------------------------------------------------------------------ NTU RGB+D 120


def test_ntu_classes_and_exemplars_by_the_naming_rules() -> None:
    split = make_split(NtuOneShot(), NTU)
    novel = ["A001", "A007", "A013", "A019", "A025", "A031", "A037", "A043", "A049", "A055"]
    novel += ["A061", "A067", "A073", "A079", "A085", "A091", "A097", "A103", "A109", "A115"]
    assert list(split.sealed.exemplars.classes) == novel
    assert split.sealed.exemplars.labels.tolist() == list(range(20))
    assert split.sealed.exemplars.names == tuple(
        [f"S001C003P008R001{c}" for c in novel[:10]] + [f"S018C003P008R001{c}" for c in novel[10:]]
    )
    development = [f"A{int(c[1:]) + 1:03d}" for c in novel]  # A002, A008, … A116
    assert list(split.development.validation.classes) == development
    assert split.development.measure == "one_shot_accuracy"
    everything = {f"A{a:03d}" for a in range(1, 121)}
    assert set(split.development.train.classes) == everything - set(novel) - set(development)
    assert len(split.development.train.classes) == 80
    assert split.notes == ()
    assert split.description == "NTU RGB+D 120 one-shot: 100 auxiliary and 20 novel classes"


def test_the_development_classes_exemplars() -> None:
    assert ntu_exemplar("A002") == "S001C003P008R001A002"
    assert ntu_exemplar("A056") == "S001C003P008R001A056"
    assert ntu_exemplar("A062") == "S018C003P008R001A062"


def official_names() -> list[str]:
    """As many recordings of each class as the dataset has: 948 of A001…A060, 960 of A061…A120, 114,480 in all.

    Three cameras and two replications of 158 pairs of setup and performer (S001…S017), or 160 (S018…S032).
    """
    names = []
    for actions, setups, num_pairs in ((range(1, 61), range(1, 18), 158), (range(61, 121), range(18, 33), 160)):
        pairs = [(s, p) for p in range(8, 30) for s in setups][:num_pairs]
        for action, (s, p), camera, replication in product(actions, pairs, (1, 2, 3), (1, 2)):
            names.append(f"S{s:03d}C{camera:03d}P{p:03d}R{replication:03d}A{action:03d}")
    return names


def test_ntu_has_the_official_counts() -> None:
    names = official_names()
    assert len(names) == 114_480
    exemplars = {ntu_exemplar(c) for c in NTU_NOVEL}
    # 535 recordings are missing, 136 of novel classes (counted in the official list below), none an exemplar.
    novel = [n for n in names if n[16:] in NTU_NOVEL and n not in exemplars]
    others = [n for n in names if n[16:] not in NTU_NOVEL]
    missing = {*novel[::130][:136], *others[::200][:399]}
    assert len(missing) == 535
    split = make_split(NtuOneShot(), catalog_of([n for n in names if n not in missing]))
    assert len(split.sealed.queries) == 18_924
    assert len(split.sealed.exemplars) == 20
    assert len(split.development.train) + len(split.development.validation) == 95_001
    assert not exemplars & set(split.sealed.queries.names)


@pytest.fixture(scope="module")
def missing(real_data: Path) -> frozenset[str]:
    listed = ntu.missing_list(real_data / "ntu")
    if listed is None:
        pytest.skip("the official list is not there")
    return frozenset(listed)


@pytest.fixture(scope="module")
def official(missing: frozenset[str]) -> pd.DataFrame:
    """All 114,480 recordings by the naming scheme less those of the official list.

    Which setup saw which performer is known of the listed recordings and of the exemplars; other pairs fill up.
    """
    names = []
    for actions, setups, num_pairs, exemplar in (
        (range(1, 61), range(1, 18), 158, (1, 8)),
        (range(61, 121), range(18, 33), 160, (18, 8)),
    ):
        seen = {(int(n[1:4]), int(n[9:12])) for n in missing if int(n[17:]) in actions} | {exemplar}
        others = ((setup, performer) for performer in range(1, 107) for setup in setups)
        pairs = sorted(seen) + list(itertools.islice((x for x in others if x not in seen), num_pairs - len(seen)))
        assert len(set(pairs)) == num_pairs
        for action, (s, p), camera, replication in product(actions, pairs, (1, 2, 3), (1, 2)):
            names.append(f"S{s:03d}C{camera:03d}P{p:03d}R{replication:03d}A{action:03d}")
    assert len(set(names)) == 114_480
    assert Counter(n[16:] for n in names) == {f"A{a:03d}": 948 if a <= 60 else 960 for a in range(1, 121)}
    assert missing <= set(names)
    return catalog_of([name for name in names if name not in missing])


def test_the_official_list_leaves_the_official_counts(missing: frozenset[str], official: pd.DataFrame) -> None:
    assert len(missing) == 535
    assert not missing & {ntu_exemplar(c) for c in (*NTU_NOVEL, *NTU_DEVELOPMENT)}
    split = make_split(NtuOneShot(), official)
    assert split.notes == ()
    assert len(split.sealed.queries) == 18_924
    assert len(split.sealed.exemplars) == 20
    assert len(split.development.train) + len(split.development.validation) == 95_001
    assert split.development.validation.classes == NTU_DEVELOPMENT
    validation = 10 * 948 + 10 * 960 - sum(n[16:] in NTU_DEVELOPMENT for n in missing)
    assert len(split.development.validation) == validation
    assert_apart(split, 100)


@pytest.mark.parametrize(
    ("num_auxiliary", "last", "num_held_out"),
    [(20, "A024", 4), (40, "A048", 8), (60, "A072", 12), (80, "A096", 16), (100, "A120", 20)],
)
def test_the_counts_of_fewer_auxiliary_classes(
    missing: frozenset[str], official: pd.DataFrame, num_auxiliary: int, last: str, num_held_out: int
) -> None:
    split = make_split(NtuOneShot(num_auxiliary=num_auxiliary), official)
    train, validation = split.development.train, split.development.validation
    auxiliary = sorted({*train.classes, *validation.classes})
    assert auxiliary == [c for c in (f"A{a:03d}" for a in range(1, 121)) if c not in NTU_NOVEL and c <= last]
    assert (len(auxiliary), len(validation.classes)) == (num_auxiliary, num_held_out)
    there = sum(948 if c <= "A060" else 960 for c in auxiliary) - sum(n[16:] in auxiliary for n in missing)
    assert len(train) + len(validation) == there
    assert len(split.sealed.queries) == 18_924


def test_fewer_auxiliary_classes_are_the_first_ones() -> None:
    split = make_split(NtuOneShot(num_auxiliary=20), NTU)
    auxiliary = {*split.development.train.classes, *split.development.validation.classes}
    assert auxiliary == {f"A{a:03d}" for a in range(1, 25)} - {"A001", "A007", "A013", "A019"}
    assert split.development.validation.classes == ("A002", "A008", "A014", "A020")
    assert split.notes == ()


def test_num_validation_and_spread() -> None:
    few = make_split(NtuOneShot(num_validation=3), NTU).development
    assert few.validation.classes == ("A002", "A008", "A014")
    assert len(few.train.classes) == 97
    even = make_split(NtuOneShot(validation="spread", num_auxiliary=20, num_validation=4), NTU).development
    auxiliary = [f"A{a:03d}" for a in range(1, 25) if a not in (1, 7, 13, 19)]
    assert list(even.validation.classes) == [auxiliary[i] for i in (2, 7, 12, 17)]  # the middle of each quarter
    assert not set(even.validation.classes) & set(even.train.classes)


def test_absent_classes_are_said() -> None:
    names = [n for n in ntu_names(range(1, 61)) if n[16:] != "A003"]
    split = make_split(NtuOneShot(), catalog_of(names))
    assert split.notes == (
        "10 of 20 novel classes are among the recordings: the result is not the official one",
        "49 of 100 auxiliary classes are among the recordings: the result is not the official one",
    )
    assert len(split.sealed.exemplars.classes) == 10


def test_without_development_classes_validation_is_spread_and_it_is_said() -> None:
    names = [n for n in ntu_names(range(1, 40)) if n[16:] not in NTU_DEVELOPMENT]
    split = make_split(NtuOneShot(num_auxiliary=20), catalog_of(names))
    assert any("fewer than two development classes" in note for note in split.notes)
    assert split.development.measure == "one_shot_accuracy"
    assert len(split.development.validation.classes) == 5  # a quarter of 20


# ------------------------------------------------------------------------------------------------------ UTD-MHAD


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


# ------------------------------------------------------------------------------------------------------ Simitate

# Basic motions have their published names; the others stand for 21 more.
SIMITATE_CLASSES = ["circle", "heart", "rect", "triangle", "zickzack", *(f"motion{i}" for i in range(1, 22))]


def simitate_catalog(classes: list[str] = SIMITATE_CLASSES) -> pd.DataFrame:
    names = [f"{c}/P{p:03d}/S{s:03d}/t_{s}" for c in classes for p in (2, 1) for s in (10, 9)]
    catalog = catalog_of([f"a1_s1_t{i}" for i in range(len(names))])
    return catalog.assign(name=names, label=[n.split("/")[0] for n in names], subject=[n.split("/")[1] for n in names])


@pytest.mark.parametrize("num_auxiliary", [10, 14, 18, 22])
@pytest.mark.parametrize("num_novel", [None, 4])
def test_simitate_splits(num_auxiliary: int, num_novel: int | None) -> None:
    config = SimitateOneShot(num_auxiliary=num_auxiliary, num_novel=num_novel)
    split = make_split(config, simitate_catalog())
    order = ["circle", "heart", *(f"motion{i}" for i in range(1, 22)), "rect", "triangle", "zickzack"]
    expected = 26 - num_auxiliary if num_novel is None else 4
    assert list(split.sealed.exemplars.classes) == order[-expected:]
    # The first by name: person 1, and sequence 9 before 10.
    assert split.sealed.exemplars.names == tuple(f"{c}/P001/S009/t_9" for c in order[-expected:])
    assert len(split.sealed.queries) == 3 * expected
    auxiliary = {*split.development.train.classes, *split.development.validation.classes}
    assert auxiliary == set(order[:num_auxiliary])
    assert split.notes == ()
    assert_apart(split, num_auxiliary)


def test_a_part_of_simitate_is_not_the_official_one() -> None:
    split = make_split(SimitateOneShot(num_auxiliary=3), simitate_catalog(SIMITATE_CLASSES[:5]))
    assert "5 of 26 Simitate classes are among the recordings: the result is not the official one" in split.notes
    assert split.sealed.exemplars.classes == ("triangle", "zickzack")


# -------------------------------------------------------------------------------------------------- image folders


def image_catalog(files: dict[str, dict[str, list[str]]]) -> pd.DataFrame:
    """`files`: for each role, for each class, the stems of its images."""
    entries = [(r, c, stem) for r, by_class in files.items() for c, stems in by_class.items() for stem in stems]
    catalog = catalog_of([f"a1_s1_t{i}" for i in range(len(entries))])
    names, labels = ["/".join(entry) for entry in entries], [entry[1] for entry in entries]
    return catalog.assign(name=names, label=labels, subject="", role=[entry[0] for entry in entries])


IMAGES = {
    "test": {"A001": ["one", "two", "sample", "other"], "A007": ["one", "sample"]},
    "samples": {"A001": ["sample", "other"], "A007": ["sample"]},
    "train": {f"A{a:03d}": ["x", "y", "z"] for a in range(8, 13)},
}


def test_the_folders_of_images_say_the_classes() -> None:
    val = {"val": {"A002": ["x", "y"], "A003": ["x", "y"]}, "val_samples": {"A002": ["x"], "A003": ["w"]}}
    split = make_split(ImageFolderOneShot(), image_catalog({**IMAGES, **val}))
    assert split.development.train.classes == ("A008", "A009", "A010", "A011", "A012")
    assert split.development.validation.classes == ("A002", "A003")
    # val_samples/A002/x is a copy of val/A002/x; A003/w is not.
    assert sorted(split.development.validation.names) == [
        "val/A002/x", "val/A002/y", "val/A003/x", "val/A003/y", "val_samples/A003/w",
    ]  # fmt: skip
    assert split.sealed.exemplars.names == ("samples/A001/other", "samples/A007/sample")
    # Of test, what is a copy of a sample is no query, be it an exemplar or not.
    assert split.sealed.queries.names == ("test/A001/one", "test/A001/two", "test/A007/one")
    assert split.notes == ("3 images are in samples: each class's first by name is its exemplar",)
    assert_apart(split, 7)


def test_validation_classes_that_train_as_well_are_not_held_out() -> None:
    val = {"val": {c: ["x", "new"] for c in ("A008", "A009")}}
    train = {"train": {f"A{a:03d}": ["x", "y"] for a in range(8, 20)}}
    split = make_split(ImageFolderOneShot(num_validation=3), image_catalog({**IMAGES, **train, **val}))
    assert len(split.development.validation.classes) == 3
    assert len(split.development.train.classes) == 9
    everything = [*split.development.train.names, *split.development.validation.names]
    assert "train/A008/x" in everything
    assert "val/A008/new" in everything
    assert "val/A008/x" not in everything  # the same image as train/A008/x
    assert "the classes of val are in train, too: validation classes are spread evenly instead" in split.notes
    assert_apart(split, 12)


def test_without_val_validation_is_spread() -> None:
    train = {"train": {f"A{a:03d}": ["x", "y"] for a in range(8, 20)}}
    split = make_split(ImageFolderOneShot(), image_catalog({**IMAGES, **train}))
    assert split.development.validation.classes == ("A010", "A014", "A018")
    assert len(split.notes) == 1


# ------------------------------------------------------------------------------------------------------- no leaks


@pytest.mark.parametrize("validation", ["development", "spread"])
def test_development_and_test_never_meet_on_ntu(validation: str) -> None:
    for num_auxiliary in range(2, 101):
        config = NtuOneShot.model_validate({"num_auxiliary": num_auxiliary, "validation": validation})
        # Two recordings for each held-out subject.
        catalog = catalog_of([n.replace("C003", c) for n in NTU["name"] for c in ("C002", "C003")])
        assert_apart(make_split(config, catalog), num_auxiliary)


def test_development_and_test_never_meet_on_utd() -> None:
    for num_auxiliary, num_novel in product(range(2, 26), (None, 2, 4)):
        if num_novel is None or num_novel <= 27 - num_auxiliary:
            config = UtdMhadOneShot(num_auxiliary=num_auxiliary, num_novel=num_novel)
            assert_apart(make_split(config, UTD), num_auxiliary)


@pytest.mark.parametrize(
    "split",
    [
        make_split(NtuOneShot(), NTU),
        make_split(UtdMhadOneShot(num_auxiliary=11), UTD),
        make_split(UtdMhadOneShot(num_auxiliary=3), UTD),
        make_split(UtdMhadInterJoint(train_on="thigh"), UTD),
        make_split(UtdMhadInterSensor(), UTD),
        make_split(SimitateOneShot(), simitate_catalog()),
        make_split(OneShot(num_auxiliary=6), plain_catalog(9)),
        make_split(ImageFolderOneShot(num_validation=2), image_catalog(IMAGES)),
    ],
    ids=["ntu", "utd 11", "utd 3", "inter-joint", "inter-sensor", "simitate", "one-shot", "images"],
)
def test_what_a_trial_receives_tells_nothing_of_novel_recordings(split: Split) -> None:
    from sldml.search.trainable import Job

    assert [field.name for field in dataclasses.fields(Development)] == ["train", "validation", "measure"]
    assert_tells_nothing_of(split, split.development)
    assert_tells_nothing_of(split, split.development.merged())
    job = Job(
        storage="/results/search",
        prepared="/cache/set",
        server=None,
        development=split.development,
        threads=1,
    )
    assert_tells_nothing_of(split, job)


def test_the_walk_would_see_a_leak() -> None:
    split = make_split(NtuOneShot(), NTU)
    for leak in (
        split,
        [split.development, split.sealed.queries.offsets[:1]],
        [split.development, {"offset": int(split.sealed.exemplars.offsets[0])}],
        [split.development, "A001"],
        [split.development, "S001C003P008R001A001.skeleton"],
    ):
        with pytest.raises(AssertionError):
            assert_tells_nothing_of(split, leak)


# --------------------------------------------------------------------------------------------------------- errors


def without(catalog: pd.DataFrame, *names: str) -> pd.DataFrame:
    return catalog[~catalog["name"].isin(names)]


@pytest.mark.parametrize(
    ("config", "catalog", "message"),
    [
        (NtuOneShot(), catalog_of(ntu_names(range(2, 7))), "needs two novel classes, but 0 are"),
        (NtuOneShot(), NTU[NTU["label"].isin([*NTU_NOVEL, "A002"])], "needs two auxiliary classes, but 1 are"),
        (
            NtuOneShot(),
            without(NTU, "S018C003P008R001A061"),
            "the exemplar S018C003P008R001A061 of the novel class A061 is not among the recordings",
        ),
        (
            NtuOneShot(num_auxiliary=6, validation="spread", num_validation=5),
            NTU,
            "protocol.num_validation is 5, but of 6 auxiliary classes at least two must train",
        ),
        (
            NtuOneShot(),
            without(NTU, *ntu_names(range(4, 5), (1, 3))),
            "class A004 has 1 recordings, but the protocol needs at least two",
        ),
        (
            NtuOneShot(),
            without(NTU, *ntu_names(range(8, 9), (1, 3))),
            "class A008 has 1 recordings, but the protocol needs at least two",
        ),
        (
            UtdMhadInterSensor(num_auxiliary=20, num_novel=8),
            UTD,
            "num_novel is 8, but 20 auxiliary classes leave 7 of 27",
        ),
        (SimitateOneShot(num_auxiliary=4), simitate_catalog(SIMITATE_CLASSES[:5]), "two novel classes, but 1 are"),
        (
            SimitateOneShot(num_auxiliary=3, num_novel=3),
            simitate_catalog(SIMITATE_CLASSES[:5]),
            "protocol.num_novel is 3, but 3 auxiliary classes leave 2 of 5",
        ),
        (
            ImageFolderOneShot(),
            image_catalog({**IMAGES, "val_samples": {"A007": ["x", "y"]}}),
            "class A007 is in test or samples and in train, val or val_samples as well",
        ),
        (
            ImageFolderOneShot(),
            image_catalog({**IMAGES, "samples": {"A001": ["sample"]}}),
            "the novel class A007 has no image in samples",
        ),
        (ImageFolderOneShot(), UTD, "image_folder needs data.dataset=image_folder"),
        (UtdMhadOneShot(num_auxiliary=20, num_novel=8), UTD, "num_novel is 8, but 20 auxiliary classes leave 7 of 27"),
        (UtdMhadOneShot(num_auxiliary=3), catalog_of(utd_names(1, 4)), "all of one subject"),
        (UtdMhadOneShot(num_auxiliary=3), catalog_of(utd_names(2, 1)), "class a1 has 1 recordings"),
        (UtdMhadOneShot(), without(UTD, "a12_s1_t1"), "the exemplar a12_s1_t1 of the novel class a12 is not among"),
        (UtdMhadOneShot(num_auxiliary=11), catalog_of(utd_names(1, 1)), "class a1 has 1 recordings"),
        (
            UtdMhadOneShot(num_auxiliary=3),
            pd.concat([UTD[UTD["label"].isin(["a1", "a2", "a3"])], UTD[UTD["name"].str.endswith("s1_t1")]])
            .drop_duplicates("name"),
            "the novel classes have their exemplars but no query",
        ),
    ],
)  # fmt: skip
def test_what_the_recordings_do_not_allow_is_said_in_one_line(
    config: ProtocolConfig, catalog: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        make_split(config, catalog)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_made_recordings_allow_the_official_protocol(made_set: PreparedSet) -> None:
    split = make_split(NtuOneShot(), made_set.catalog)
    assert split.development.validation.classes == ("A002", "A008", "A014")
    assert len(split.development.train.classes) == 5
    assert len(split.sealed.queries) == 20 * 4
    assert_apart(split, 8)
