"""The protocols: classes, exemplars and counts, and that development and test never meet."""

import itertools
from collections import Counter
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from support.catalogs import (
    IMAGES,
    NTU,
    SIMITATE_CLASSES,
    UTD,
    assert_apart,
    catalog_of,
    image_catalog,
    ntu_names,
    simitate_catalog,
    utd_names,
)

from sldml.config.protocol import (
    ImageFolderOneShot,
    NtuOneShot,
    ProtocolConfig,
    SimitateOneShot,
    UtdMhadInterSensor,
    UtdMhadOneShot,
)
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.classes import NTU_DEVELOPMENT, NTU_NOVEL, ProtocolError
from sldml.protocols.exemplars import ntu_exemplar
from sldml.protocols.make_split import make_split
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


# ------------------------------------------------------------------------------------------------------ Simitate


# Basic motions have their published names; the others stand for 21 more.
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
        (UtdMhadOneShot(num_auxiliary=3), catalog_of(utd_names(2, 1)), "class a1 has 1 recordings of the subjects"),
        (UtdMhadOneShot(), without(UTD, "a12_s1_t1"), "the exemplar a12_s1_t1 of the novel class a12 is not among"),
        (UtdMhadOneShot(num_auxiliary=11), catalog_of(utd_names(1, 1)), "needs two auxiliary classes, but 0 are left"),
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
