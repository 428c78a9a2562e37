"""What waits for a store outlives the process, in its order, and is not sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sldml.tracking.spool import Spool

ITEMS = [{"do": "metrics", "key": f"trial:{i}", "metrics": {"val/accuracy": i / 7}} for i in range(5)]


def test_items_come_out_as_they_went_in(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool", "store")
    spool.add(ITEMS)
    assert spool.pending == 5
    assert spool.take(2) == ITEMS[:2]
    assert spool.take(2) == ITEMS[:2]
    spool.sent(2)
    spool.add([{"do": "end", "key": None, "path": Path("/a")}])
    assert spool.take(10) == [*ITEMS[2:], {"do": "end", "key": None, "path": "/a"}]
    spool.sent(4)
    assert (spool.pending, spool.take(10)) == (0, [])
    spool.close()
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_was_not_sent_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    first = Spool(path, "store")
    first.add(ITEMS)
    first.take(2)
    first.sent(2)
    first.take(2)  # taken, and then killed: nobody knows whether it arrived
    with path.open("ab") as file:
        file.write(b'{"do": "metr')  # cut short
    second = Spool(path, "store")
    assert (second.left_over, second.pending) == (3, 3)
    second.add(ITEMS[:1])
    assert second.take(10) == [*ITEMS[2:], ITEMS[0]]
    second.close()
    assert path.exists()


@pytest.mark.parametrize("mark", [None, "", "x", "7", "100000", "-1"])
def test_a_lost_or_odd_mark_sends_all_again(tmp_path: Path, mark: str | None) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, "store")
    spool.add(ITEMS)
    spool.take(1)
    spool.sent(1)
    if mark is None:
        (tmp_path / "spool.sent").unlink()
    else:
        (tmp_path / "spool.sent").write_text(mark)
    assert Spool(path, "store").take(10) == ITEMS


def test_what_waits_for_another_store_is_not_sent_to_this_one(tmp_path: Path) -> None:
    Spool(tmp_path / "spool", "http://a").add(ITEMS)
    other = Spool(tmp_path / "spool", "http://b")
    assert (other.left_over, other.take(10)) == (0, [])
    other.add(ITEMS[:1])
    assert Spool(tmp_path / "spool", "http://b").take(10) == ITEMS[:1]


@given(st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["take", "kill"])), max_size=30))
def test_any_order_of_adding_sending_and_dying_keeps_all(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("spool") / "spool"
    spool, added, sent = Spool(path, "store"), 0, 0
    for step in steps:
        if step == "kill":
            spool = Spool(path, "store")
        elif step == "take":
            items = spool.take(3)
            assert [item["n"] for item in items] == list(range(sent, min(sent + 3, added)))
            spool.sent(len(items))
            sent += len(items)
        else:
            spool.add({"n": added + i} for i in range(step))
            added += step
        assert spool.pending == added - sent
