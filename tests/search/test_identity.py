"""The first event of a search: the default configuration is the first one that is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sldml.config.space_file import read_space
from sldml.journal import SearchBegun
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.search.cluster import Slots
from sldml.search.compared_spaces import compare
from sldml.search.identity import search_begun
from sldml.search.request import Request

GIVEN: Any = {"optimizer.lr": 0.002}


@pytest.fixture
def begun(made_set: PreparedSet, made_split: Split, tmp_path: Path) -> Any:
    def make(*settings: str, first: Any = (GIVEN,), axis: str | None = None) -> SearchBegun:
        space, comparison = read_space("demo", list(settings)), None
        if axis is not None:
            space, comparison = compare(space, axis)
        request = Request(space, "made", tmp_path, tmp_path, first=first, comparison=comparison)
        return search_begun(request, made_set, made_split, Slots(1, 1.0, 0.0))

    return make


def test_the_default_configuration_comes_before_the_given_ones(begun: Any) -> None:
    event, default = begun(), read_space("demo").default_params()
    assert event.default == default
    assert event.first == (default, GIVEN)
    assert SearchBegun.model_validate_json(event.model_dump_json()) == event
    assert begun(first=(GIVEN, default)).first == (default, GIVEN), "it is not tried twice"


def test_a_comparison_has_none(begun: Any) -> None:
    event = begun(axis="loss")
    assert (event.default, event.first) == (None, (GIVEN,))
