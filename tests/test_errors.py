"""The end of a message about an unknown name."""

from __future__ import annotations

from sldml.errors import listed, suggestion


def test_a_name_that_is_close_to_a_known_one_is_suggested() -> None:
    assert suggestion("sup_kon", ["arcface", "sup_con", "triplet_margin"]) == "did you mean 'sup_con'?"


def test_else_the_known_names_are_listed_and_of_many_the_first_ones() -> None:
    assert suggestion("x", ["arcface", "sup_con"]) == "there are arcface, sup_con"
    assert listed([f"n{i}" for i in range(12)]).endswith("n10, n11")
    assert listed([f"n{i}" for i in range(15)]) == f"{', '.join(f'n{i}' for i in range(12))} and 3 more"
    assert listed(["a", "b", "c"], most=1) == "a and 2 more"
