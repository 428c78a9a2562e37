"""YAML as people mean it, with lines; and whatever the text, no other exception than `InputError`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sldml.config.yaml_lines import load_value, load_yaml
from sldml.errors import InputError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("+1E5", 1e5),
        (".5", 0.5),
        ("-.5e-3", -5e-4),
        ("2.", 2.0),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("none", "none"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22 13:00:00", "2026-11-22 13:00:00"),
        ("=", "="),
        ("'1e-5'", "1e-5"),
        ("[1, 1e-2, off, [true]]", [1, 0.01, "off", [True]]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("", None),
    ],
)
def test_values_are_what_people_mean(text: str, value: Any):
    read = load_yaml(f"key: {text}", "f.yaml").value["key"]
    assert read == value
    assert type(read) is type(value)
    typed = load_value(text, "--set key")
    assert typed == value
    assert type(typed) is type(value)


def test_lines_of_nested_keys_and_list_items():
    text = "# a comment\na: 1\n\nb:\n  c:\n  - x\n  - y: 2\n  d: {e: 1,\n      f: 2}\n"
    document = load_yaml(text, "dir/f.yaml")
    assert document.value == {"a": 1, "b": {"c": ["x", {"y": 2}], "d": {"e": 1, "f": 2}}}
    for path, line in {
        ("a",): 2,
        ("b",): 4,
        ("b", "c"): 5,
        ("b", "c", "0"): 6,
        ("b", "c", "1"): 7,
        ("b", "c", "1", "y"): 7,
        ("b", "d"): 8,
        ("b", "d", "e"): 8,
        ("b", "d", "f"): 9,
    }.items():
        assert document.where(*path) == f"dir/f.yaml, line {line}"


def test_where_falls_back_to_the_nearest_part():
    document = load_yaml("a:\n  b: 1\n", "f.yaml")
    assert document.where("a", "b", "c", "d") == "f.yaml, line 2"
    assert document.where("a", "x") == "f.yaml, line 1"
    assert document.where("x") == "f.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml, line 3: a is given twice"),
        ("a:\n  b: 1\n  b: 2\n", "f.yaml, line 3: b is given twice"),
        ("a: 1\n1: 2\n'1': 3\n", "f.yaml, line 3: 1 is given twice"),
        ("- a\n- b\n", "f.yaml: a mapping (key: value) is needed"),
        ("word", "f.yaml: a mapping (key: value) is needed"),
        ("", "f.yaml: a mapping (key: value) is needed"),
        ("# nothing\n", "f.yaml: a mapping (key: value) is needed"),
        ("a: 1\nb: [1, 2\nc: 3\n", "f.yaml, line 3: not YAML"),
        ("a: 1\n\tb: 2\n", "f.yaml, line 2: not YAML"),
        ("a: 1\n---\nb: 2\n", "f.yaml, line 2: not YAML"),
        ("a: 1\nb: *nowhere\n", "f.yaml, line 2: not YAML"),
        ("a: 1\nb: \x07\n", "f.yaml, line 2: not YAML: the character"),
        ("a: 1\n? [b, c]\n: 2\n", "f.yaml, line 2: a key is one word"),
        ("a: 1\nb: !!int x\n", "f.yaml, line 2: 'x' cannot be read as int"),
        ("a: 1\nb: !!int ''\n", "f.yaml, line 2: '' cannot be read as int"),
        ("a: 1\nb: !!bool maybe\n", "f.yaml, line 2: 'maybe' cannot be read as bool"),
        ("a: 1\nb: !!timestamp soon\n", "f.yaml, line 2: 'soon' cannot be read as timestamp"),
        ("a: !!python/object:os.system ls\n", "f.yaml, line 1: 'ls' cannot be read"),
        ("a: &self [*self]\n", "f.yaml: not YAML: nested too deeply, or a part of itself"),
        ("a: " + "[" * 1500, "f.yaml: not YAML: nested too deeply"),
        ('a: "\\UFFFFFFFF"\n', "f.yaml: not YAML"),
        (f"a: {'9' * 5000}\n", "f.yaml, line 1:"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_line(text: str, message: str):
    with pytest.raises(InputError) as caught:
        load_yaml(text, "f.yaml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["[", "a: b: c", "{a: 1, a: 2}", "!!int x", "\x00"])
def test_a_broken_value_names_the_option(text: str):
    with pytest.raises(InputError, match=r"^--set lr"):
        load_value(text, "--set lr")


yaml_like = st.text(alphabet=" \n\tab01:-[]{},#&*!|>'\"%@`?.~<=\\eEux_+", max_size=60)


@given(st.one_of(yaml_like, st.text(max_size=40), st.text(max_size=12).map("a: !!{}".format)))
@example("a: !!float ''")
@example("a: 1\n<<: 2")
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_in_one_way(text: str):
    try:
        document = load_yaml(text, "f.yaml")
    except InputError as error:
        assert str(error).startswith("f.yaml")  # noqa: PT017
    else:
        assert isinstance(document.value, dict)
        assert all(isinstance(key, str) for key in document.value)
        assert all(1 <= line <= len(text.splitlines()) + 1 for line in document.lines.values())
    try:
        load_value(text, "--set x")
    except InputError as error:
        assert str(error).startswith("--set x")  # noqa: PT017
