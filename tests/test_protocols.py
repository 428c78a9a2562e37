import dataclasses
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small import subset_of

from sldml.config import NtuOneShot, UtdMhadData, UtdMhadOneShot
from sldml.prepared import PreparedSet, prepare
from sldml.protocols import (
    NTU_DEVELOPMENT,
    NTU_NOVEL,
    Development,
    ProtocolError,
    Split,
    Subset,
    make_split,
    ntu_exemplar,
    spread,
    union,
)
from sldml.signals import KINECT_V2, Layout, ntu

LENGTH = 10
FIRST_FRAME = 1_000_000
"""No label, length or count is as large as an offset of a made catalogue."""


def catalog_of(names: list[str]) -> pd.DataFrame:
    """Recordings of 10 frames each, label and subject by their names (NTU's or UTD-MHAD's)."""
    utd = names[0].startswith("a")
    return pd.DataFrame(
        {
            "name": names,
            "label": [n.split("_")[0] if utd else n[16:] for n in names],
            "subject": [n.split("_")[1] if utd else n[8:12] for n in names],
            "offset": FIRST_FRAME + np.arange(len(names)) * LENGTH,
            "length": LENGTH,
        }
    )


def ntu_names(actions: range, performers: tuple[int, ...] = (1, 3, 8)) -> list[str]:
    names = []
    for action in actions:
        setup = 1 if action <= 60 else 18
        names += [f"S{setup:03d}C003P{p:03d}R001A{action:03d}" for p in performers]
    return names


def utd_names(num_subjects: int = 3, num_trials: int = 2) -> list[str]:
    ranges = range(1, 28), range(1, num_subjects + 1), range(1, num_trials + 1)
    return [f"a{a}_s{s}_t{t}" for a, s, t in product(*ranges)]


NTU = catalog_of(ntu_names(range(1, 121)))
UTD = catalog_of(utd_names())


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


def test_the_official_list_leaves_the_official_counts(real_data: Path) -> None:
    missing = ntu.missing_list(real_data / "ntu")
    if missing is None:
        pytest.skip("the official list is not there")
    assert len(missing) == 535
    assert sum(name[16:] in NTU_NOVEL for name in missing) == 136
    assert not missing & {ntu_exemplar(c) for c in (*NTU_NOVEL, *NTU_DEVELOPMENT)}


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


def test_spread_by_hand() -> None:
    assert spread("abcdefghij", 2) == ["c", "h"]
    assert spread("abcdefghij", 5) == ["b", "d", "f", "h", "j"]
    assert spread("abc", 3) == ["a", "b", "c"]
    for size, count in product(range(1, 30), range(1, 30)):
        if count <= size:
            assert len(set(spread([str(i) for i in range(size)], count))) == count


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


@pytest.fixture(scope="module")
def real_catalog(real_utd: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return prepare(UtdMhadData(), real_utd, tmp_path_factory.mktemp("utd"), num_workers=1).catalog


@pytest.mark.parametrize(
    ("num_auxiliary", "num_novel", "num_queries"),
    [(3, 24, 741), (7, 20, 617), (11, 16, 494), (15, 12, 370), (19, 8, 246), (23, 4, 123)],
)
def test_utd_splits_of_the_real_recordings(
    real_catalog: pd.DataFrame, num_auxiliary: int, num_novel: int, num_queries: int
) -> None:
    assert len(real_catalog) == 861
    split = make_split(UtdMhadOneShot(num_auxiliary=num_auxiliary), real_catalog)
    assert len(split.sealed.queries) == num_queries
    assert len(split.sealed.exemplars) == num_novel
    assert set(split.sealed.exemplars.subjects) == {"s1"}
    development = split.development
    assert len(development.train) + len(development.validation) == 861 - num_queries - num_novel


# ------------------------------------------------------------------------------------------------------- no leaks


def frames_of(*subsets: Subset) -> set[int]:
    return {f for s in subsets for o, n in zip(s.offsets, s.lengths, strict=True) for f in range(o, o + n)}


def assert_apart(split: Split, num_auxiliary: int) -> None:
    train, validation = split.development.train, split.development.validation
    exemplars, queries = split.sealed.exemplars, split.sealed.queries
    seen, novel = {*train.classes, *validation.classes}, {*exemplars.classes, *queries.classes}
    assert not seen & novel
    assert len(seen) <= num_auxiliary
    names = [*train.names, *validation.names, *exemplars.names, *queries.names]
    assert len(names) == len(set(names))
    assert not frames_of(train, validation) & frames_of(exemplars, queries)
    if split.development.measure == "one_shot_accuracy":
        assert not set(train.classes) & set(validation.classes)
    else:
        assert not set(train.subjects) & set(validation.subjects)
    assert sorted(exemplars.labels) == list(range(len(exemplars.classes)))


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


def leaves(value: Any) -> Iterator[Any]:
    """Everything that can be reached in an object, down to strings, numbers and arrays."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str | bytes | int | float | np.ndarray | None):
        yield value
    else:
        yield from leaves(vars(value))


def assert_tells_nothing_of(split: Split, received: Any) -> None:
    """Neither the pickled bytes nor what comes out of them hold a name, label or frame of a novel recording."""
    sent = pickle.dumps(received)
    exemplars, queries = split.sealed.exemplars, split.sealed.queries
    for name in (*exemplars.names, *queries.names):
        assert name.encode() not in sent
    found = list(leaves(pickle.loads(sent)))
    strings = {item for item in found if isinstance(item, str)}
    assert strings & set(split.development.train.names)  # the walk does find what is there
    assert not strings & {*exemplars.classes, *queries.classes, *exemplars.names, *queries.names}
    numbers = {int(item) for item in found if isinstance(item, int | float)}
    for array in (item for item in found if isinstance(item, np.ndarray)):
        numbers |= set(array.ravel().tolist())
    assert numbers >= set(split.development.train.offsets.tolist())
    assert not numbers & frames_of(exemplars, queries)


@pytest.mark.parametrize(
    "split",
    [
        make_split(NtuOneShot(), NTU),
        make_split(UtdMhadOneShot(num_auxiliary=11), UTD),
        make_split(UtdMhadOneShot(num_auxiliary=3), UTD),
    ],
    ids=["ntu", "utd 11", "utd 3"],
)
def test_what_a_trial_receives_tells_nothing_of_novel_recordings(split: Split) -> None:
    from sldml.search.trainable import Job  # here, for it imports Ray

    assert [field.name for field in dataclasses.fields(Development)] == ["train", "validation", "measure"]
    assert_tells_nothing_of(split, split.development)
    assert_tells_nothing_of(split, split.development.merged())
    job = Job(
        storage="/results/search",
        prepared="/cache/set",
        server=None,
        layout=Layout(KINECT_V2, 2),
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
    config: NtuOneShot | UtdMhadOneShot, catalog: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        make_split(config, catalog)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- subsets


def test_subset_of_takes_its_classes_in_the_catalogues_order() -> None:
    catalog = catalog_of(["a3_s1_t1", "a1_s2_t1", "a2_s1_t1", "a3_s2_t2"])
    subset = Subset.of(catalog, ["a3", "a1"])
    assert subset.classes == ("a3", "a1")
    assert subset.labels.tolist() == [0, 1, 0]
    assert (subset.offsets - FIRST_FRAME).tolist() == [0, 10, 30]
    assert subset.lengths.tolist() == [10, 10, 10]
    assert subset.names == ("a3_s1_t1", "a1_s2_t1", "a3_s2_t2")
    assert subset.subjects == ("s1", "s2", "s2")
    taken = subset.take(np.array([2, 0]))
    assert (taken.names, taken.labels.tolist()) == (("a3_s2_t2", "a3_s1_t1"), [0, 0])
    assert (taken.offsets - FIRST_FRAME).tolist() == [30, 0]


def test_sample_draws_evenly_from_the_classes() -> None:
    labels = [0] * 10 + [1] * 3 + [2] * 7
    subset = subset_of(labels, range(2, 22))
    assert sorted(Counter(subset.sample(9).labels.tolist()).values()) == [3, 3, 3]
    assert sorted(Counter(subset.sample(11).labels.tolist()).values()) == [3, 4, 4]  # class 1 has no fourth
    assert sorted(Counter(subset.sample(19).labels.tolist()).values()) == [3, 7, 9]
    assert subset.sample(20) is subset
    assert subset.sample(1000) is subset
    drawn = subset.sample(9)
    assert drawn.names == subset.sample(9).names
    assert drawn.names != subset.sample(9, seed=1).names
    positions = [subset.names.index(name) for name in drawn.names]
    assert positions == sorted(set(positions))
    assert drawn.lengths.tolist() == [subset.lengths[i] for i in positions]


def test_union_keeps_a_class_of_both_one() -> None:
    catalog = catalog_of(["a1_s1_t1", "a2_s1_t1", "a3_s1_t1", "a2_s2_t1"])
    first, second = Subset.of(catalog.iloc[:2], ["a1", "a2"]), Subset.of(catalog.iloc[2:], ["a3", "a2"])
    both = union(first, second)
    assert both.classes == ("a1", "a2", "a3")
    assert both.labels.tolist() == [0, 1, 2, 1]
    assert both.names == tuple(catalog["name"])
    assert (both.offsets - FIRST_FRAME).tolist() == [0, 10, 20, 30]
    assert both.subjects == ("s1", "s1", "s1", "s2")
    assert [both.classes[label] for label in both.labels] == catalog["label"].tolist()


def test_made_recordings_allow_the_official_protocol(made_set: PreparedSet) -> None:
    split = make_split(NtuOneShot(), made_set.catalog)
    assert split.development.validation.classes == ("A002", "A008", "A014")
    assert len(split.development.train.classes) == 5
    assert len(split.sealed.queries) == 20 * 4
    assert_apart(split, 8)
