"""Nested settings and dotted paths: there and back, and one merged over another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sldml.config.dotted import flatten, merge, unflatten
from sldml.config.trial import TrialConfig

words = st.text(alphabet="abcname_", min_size=1, max_size=4)


leaves = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans(), st.none())


trees = st.recursive(
    st.dictionaries(words, leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(words, leaves | inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_unflatten_inverts_flatten(tree: dict[str, Any]):
    dotted = dict(flatten(tree))
    assert not any(isinstance(value, dict) for value in dotted.values())
    assert unflatten(dotted) == tree


def test_flatten_by_hand():
    assert dict(flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None, "f": {}})) == {"a.b": 1, "a.c.d": [2], "e": None}


@pytest.mark.parametrize("paths", [("a", "a.b"), ("a.b", "a"), ("a.b.c", "a.b"), ("a.b", "a.b.c.d")])
def test_a_path_cannot_be_a_value_and_have_parts(paths: tuple[str, ...]):
    with pytest.raises(ValueError, match=r"is given a value, but has parts|is a value and cannot have parts"):
        unflatten(dict.fromkeys(paths, 1))


@given(trees, trees)
@settings(max_examples=100, deadline=None)
def test_merge_keeps_what_is_over_and_changes_neither(base: dict[str, Any], over: dict[str, Any]):
    before = repr((base, over))
    merged = merge(base, over)
    assert repr((base, over)) == before
    assert merge(base, {}) == base
    assert merge({}, over) == over
    found = dict(flatten(merged))
    for path, value in flatten(over):
        assert repr(found[path]) == repr(value)
    assert merge(merged, over) == merged


def test_merge_drops_the_branch_of_the_old_name():
    base = {"loss": {"name": "arcface", "proxy_lr": 0.5, "arcface": {"scale": 30.0}}, "seed": 1}
    over = {"loss": {"name": "sup_con", "sup_con": {"temperature": 0.2}}}
    merged = merge(base, over)
    assert merged == {"loss": {"name": "sup_con", "proxy_lr": 0.5, "sup_con": {"temperature": 0.2}}, "seed": 1}
    assert TrialConfig.model_validate(merged).loss.chosen.temperature == 0.2


def test_merge_keeps_the_branch_of_the_same_name():
    base = {"loss": {"name": "arcface", "arcface": {"scale": 30.0, "margin_deg": 9.0}}}
    merged = merge(base, {"loss": {"name": "arcface", "arcface": {"scale": 40.0}}})
    assert merged == {"loss": {"name": "arcface", "arcface": {"scale": 40.0, "margin_deg": 9.0}}}
