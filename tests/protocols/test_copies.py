"""Equal recordings on both sides of a split, classes with a single recording, and novel classes without a query."""

from __future__ import annotations

import pandas as pd
import pytest
from support.catalogs import assert_apart, plain_catalog

from sldml.config.protocol import OneShot
from sldml.protocols.classes import ProtocolError
from sldml.protocols.make_split import make_split


def digested(catalog: pd.DataFrame, **copies: str) -> pd.DataFrame:
    """The catalogue with a digest for each recording; `copies`: name of a copy → name of the original."""
    return catalog.assign(digest=[copies.get(name, name) for name in catalog["name"]])


def test_a_copy_of_an_auxiliary_recording_among_the_novel_ones_is_an_error() -> None:
    catalog = plain_catalog(10)
    assert_apart(make_split(OneShot(), digested(catalog)), num_auxiliary=7)
    for novel, auxiliary in (("c10_p02_t1", "c1_p01_t1"), ("c8_p01_t1", "c6_p03_t2")):
        with pytest.raises(ProtocolError, match=f"{novel} of a novel class .* as {auxiliary} of an") as caught:
            make_split(OneShot(), digested(catalog, **{novel: auxiliary}))
        assert "\n" not in str(caught.value)


def test_copies_on_one_side_are_no_error() -> None:
    copies = {"c1_p01_t1": "c2_p01_t1", "c9_p01_t1": "c10_p02_t2"}
    make_split(OneShot(), digested(plain_catalog(10), **copies))


def test_an_auxiliary_class_with_a_single_recording_is_left_out() -> None:
    catalog = plain_catalog(12)
    catalog = catalog[(catalog["label"] != "c2") | (catalog["name"] == "c2_p01_t1")]
    split = make_split(OneShot(), catalog)
    assert_apart(split, num_auxiliary=7)
    assert "c2" not in {*split.development.train.classes, *split.development.validation.classes}
    assert split.notes == ("auxiliary classes with a single recording are left out: c2",)
    listed = OneShot.model_validate({"validation": {"name": "list", "list": {"classes": ["c1", "c2", "c3"]}}})
    assert make_split(listed, catalog).development.validation.classes == ("c1", "c3")


def test_classes_too_small_for_held_out_subjects_are_left_out() -> None:
    catalog = plain_catalog(8)
    catalog = catalog[(catalog["label"] != "c2") | (catalog["subject"] != "p03") | (catalog["trial"] == 1)]
    split = make_split(OneShot(num_auxiliary=4), catalog)
    assert split.development.measure == "map_at_r"
    assert split.development.train.classes == split.development.validation.classes == ("c1", "c3", "c4")
    assert "fewer than two recordings on one side are left out: c2" in split.notes[0]


def test_with_too_few_classes_left_it_is_an_error() -> None:
    catalog = plain_catalog(5, num_subjects=1, num_trials=1)
    with pytest.raises(ProtocolError, match=r"needs two auxiliary classes, but 0 are left: .* single recording"):
        make_split(OneShot(), catalog)


def test_a_novel_class_without_a_query_is_said() -> None:
    catalog = plain_catalog(10)
    catalog = catalog[(catalog["label"] != "c9") | (catalog["name"] == "c9_p02_t1")]
    split = make_split(OneShot(), catalog)
    assert split.sealed.exemplars.classes == ("c8", "c9", "c10")
    assert split.notes == ("novel classes without a query, only an exemplar: c9",)
