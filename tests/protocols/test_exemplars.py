"""Which recording of a novel class is its exemplar."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.catalogs import plain_catalog

from sldml.config.protocol import ExemplarConfig
from sldml.protocols.classes import ProtocolError
from sldml.protocols.exemplars import choose_exemplars, first_by_name, ntu_exemplar, utd_exemplar

CATALOG = plain_catalog(4, num_subjects=3, num_trials=12).iloc[::-1]
NOVEL = ["c3", "c4"]


def chosen(config: dict[str, Any], catalog: pd.DataFrame = CATALOG) -> dict[str, str]:
    return choose_exemplars(ExemplarConfig.model_validate(config), catalog, NOVEL)[0]


def test_official_exemplars() -> None:
    assert ntu_exemplar("A002") == "S001C003P008R001A002"
    assert ntu_exemplar("A056") == "S001C003P008R001A056"
    assert ntu_exemplar("A062") == "S018C003P008R001A062"
    assert utd_exemplar("a27") == "a27_s1_t1"


def test_the_first_by_name_in_natural_order() -> None:
    without = CATALOG[~CATALOG["name"].isin(["c3_p01_t1", "c4_p01_t1", "c4_p01_t2"])]
    assert chosen({}) == {"c3": "c3_p01_t1", "c4": "c4_p01_t1"}
    assert chosen({"name": "first"}, without) == {"c3": "c3_p01_t2", "c4": "c4_p01_t3"}  # t10 comes after
    assert list(first_by_name(CATALOG, ["c4", "c9", "c1"])) == ["c4", "c1"]


def test_the_first_of_a_subject() -> None:
    assert chosen({"name": "subject", "subject": {"subject": "p02"}}) == {"c3": "c3_p02_t1", "c4": "c4_p02_t1"}
    later = CATALOG[CATALOG["subject"] != "p01"]
    assert chosen({"name": "subject"}, later) == {"c3": "c3_p02_t1", "c4": "c4_p02_t1"}


def test_the_recording_with_a_trial() -> None:
    assert chosen({"name": "trial"}) == {"c3": "c3_p01_t1", "c4": "c4_p01_t1"}
    rule = {"column": "trial", "value": 11, "subject": "p03"}
    assert chosen({"name": "trial", "trial": rule}) == {"c3": "c3_p03_t11", "c4": "c4_p03_t11"}
    in_words = CATALOG.assign(trial="t" + CATALOG["trial"].astype(str))
    assert chosen({"name": "trial", "trial": {"value": "t3"}}, in_words) == {"c3": "c3_p01_t3", "c4": "c4_p01_t3"}
    # A column with holes is read as floating-point numbers.
    holes = CATALOG.assign(trial=np.where(CATALOG["subject"] == "p01", np.nan, CATALOG["trial"]))
    assert chosen({"name": "trial", "trial": {"value": 3}}, holes) == {"c3": "c3_p02_t3", "c4": "c4_p02_t3"}


def test_the_list_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "label,name\nc4, c4_p03_t7\n\nc3,c3_p02_t2\nelsewhere,x\n"
    (tmp_path / "mine.csv").write_text(text)
    config = ExemplarConfig.model_validate({"name": "list", "list": {"file": str(tmp_path / "mine.csv")}})
    exemplars, notes = choose_exemplars(config, CATALOG, NOVEL)
    assert exemplars == {"c3": "c3_p02_t2", "c4": "c4_p03_t7"}
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    assert notes == [f"exemplars are those of {tmp_path / 'mine.csv'} (hash {digest})"]
    # Without a folder it is looked for where the command runs; a byte order mark does not matter.
    (tmp_path / "exemplars.csv").write_text("\ufeff" + text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert chosen({"name": "list"}) == exemplars


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "subject", "subject": {"subject": "p9"}}, "there is no subject p9; there are p01, p02, p03"),
        ({"name": "subject", "subject": {"subject": "p02"}}, "the novel class c4 has no recording of subject p02"),
        ({"name": "trial", "trial": {"column": "round"}}, "the recordings have no round; they have name, label"),
        ({"name": "trial", "trial": {"value": 13}}, "the novel class c3 has no recording with trial 13"),
        ({"name": "trial", "trial": {"value": "one"}}, "the novel class c3 has no recording with trial one"),
        (
            {"name": "trial", "trial": {"value": 2, "subject": "p02"}},
            "the novel class c4 has no recording with trial 2 of subject p02",
        ),
        ({"name": "trial", "trial": {"subject": "p9"}}, "there is no subject p9"),
        ({"name": "list", "list": {"file": "/nowhere/e.csv"}}, "/nowhere/e.csv: cannot be read (No such file"),
    ],
)
def test_what_recordings_do_not_allow(config: dict[str, Any], message: str) -> None:
    catalog = CATALOG[(CATALOG["label"] != "c4") | (CATALOG["subject"] != "p02")]
    with pytest.raises(ProtocolError) as caught:
        chosen(config, catalog)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line must be label,name"),
        (b"c3,c3_p01_t1\n", "the first line must be label,name"),
        (b"label,name\nc3\n", "line 2: a line is label,name, but it is 'c3'"),
        (b"label,name\nc3,\n", "line 2: a line is label,name"),
        (b"label,name\nc3,a\nc3,b\n", "line 3: class c3 has two exemplars"),
        (b"label,name\nc3,c3_p01_t1\n", "names no exemplar of the novel class c4"),
        (b"label,name\nc3,\xff\n", "cannot be read ("),
        (b'label,name\nc3,"a"b\n', "is not a valid CSV file"),
    ],
)
def test_a_wrong_list_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "exemplars.csv"
    path.write_bytes(content)
    with pytest.raises(ProtocolError) as caught:
        chosen({"name": "list", "list": {"file": str(path)}})
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


LISTS = st.text(alphabet='label,name\n\r"c34 \0', max_size=60).map(str.encode)


@given(content=st.one_of(st.binary(max_size=80), LISTS))
def test_any_list_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"label,name\n" + content)
    with contextlib.suppress(ProtocolError):
        assert set(chosen({"name": "list", "list": {"file": str(path)}})) == set(NOVEL)
