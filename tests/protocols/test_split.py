"""Recordings by class."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from support.catalogs import (
    FIRST_FRAME,
    IMAGES,
    NTU,
    UTD,
    assert_tells_nothing_of,
    catalog_of,
    image_catalog,
    plain_catalog,
    simitate_catalog,
)
from support.small import subset_of

from sldml.config.protocol import (
    ImageFolderOneShot,
    NtuOneShot,
    OneShot,
    SimitateOneShot,
    UtdMhadInterJoint,
    UtdMhadInterSensor,
    UtdMhadOneShot,
)
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Development, Split, Subset, union


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


def test_rows_are_kept_and_do_not_mix() -> None:
    catalog = catalog_of(["a1_s1_t1", "a2_s1_t1", "a2_s2_t1"])
    bodies = Subset.of(catalog, ["a1", "a2"], "bodies")
    assert bodies.rows == bodies.take(np.array([1])).rows == bodies.sample(2).rows == "bodies"
    assert union(bodies, bodies.take(np.array([0]))).rows == "bodies"
    assert Subset.of(catalog, ["a1"]).rows == "all"
    with pytest.raises(ValueError, match="subsets with the same rows can be joined, but these have bodies and all"):
        union(bodies, Subset.of(catalog, ["a1", "a2"]))


def test_the_hash_of_a_split_changes_with_every_role_of_a_recording() -> None:
    split = make_split(NtuOneShot(), NTU)
    assert split.hash == make_split(NtuOneShot(), NTU).hash
    moved = NTU.assign(offset=NTU["offset"] + 5)  # where frames lie is the prepared set's hash to say
    assert split.hash == make_split(NtuOneShot(), moved).hash
    others = [
        make_split(NtuOneShot(num_validation=3), NTU),
        make_split(NtuOneShot(num_auxiliary=99), NTU),
        make_split(NtuOneShot(), NTU[NTU["name"] != "S001C003P001R001A001"]),
    ]
    assert len({split.hash, *(other.hash for other in others)}) == 4


def test_the_record_counts_novel_recordings_and_names_none() -> None:
    split = make_split(NtuOneShot(), NTU)
    record = split.to_record()
    assert (record.num_novel_classes, record.num_novel) == (20, 40)
    assert (record.num_train, record.num_validation, record.measure) == (240, 60, "one_shot_accuracy")
    assert record.validation_classes[:2] == ("A002", "A008")
    text = record.model_dump_json()
    assert all(name not in text for name in (*split.sealed.queries.names, *split.sealed.exemplars.classes))


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
