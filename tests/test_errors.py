"""Parts of messages, and the secrets of URIs, which are in none of them."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from sldml.errors import (
    hide_arguments,
    hide_secrets,
    hide_uris,
    is_clear,
    listed,
    scheme_of,
    suggestion,
)


def test_a_name_that_is_close_to_a_known_one_is_suggested() -> None:
    assert suggestion("sup_kon", ["arcface", "sup_con", "triplet_margin"]) == "did you mean 'sup_con'?"


def test_else_the_known_names_are_listed_and_of_many_the_first_ones() -> None:
    assert suggestion("x", ["arcface", "sup_con"]) == "there are arcface, sup_con"
    assert listed([f"n{i}" for i in range(12)]).endswith("n10, n11")
    assert listed([f"n{i}" for i in range(15)]) == f"{', '.join(f'n{i}' for i in range(12))} and 3 more"
    assert listed(["a", "b", "c"], most=1) == "a and 2 more"


# ------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql+psycopg://runs:pa#ss-w0rd@1.2.3.4:99/runs", "postgresql+psycopg://runs:***@1.2.3.4:99/runs"),
        ("postgresql://me:a/b?c@db/runs", "postgresql://me:***@db/runs"),
        ("mysql://me:a[b@db:3306/runs?charset=utf8", "mysql://me:***@db:3306/runs?charset=utf8"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dabc", "mssql+pyodbc:///?odbc_connect=***"),
        ("http://TOKEN@host:5000/mlflow", "http://***@host:5000/mlflow"),
        ("http://TOKEN:@host", "http://***@host"),
        ("http://me:p@ss@host", "http://me:***@host"),
        ("https://host/?token=abc&x=1#part", "https://host/?token=***&x=1#***"),
        ("https://host/?a=1&lost", "https://host/?a=1&***"),
        ("https://[::1]:5000", "https://[::1]:5000"),
        ("sqlite:////home/me@work/a b&c/mlflow.db", "sqlite:////home/me@work/a b&c/mlflow.db"),
        ("/home/me@work/mlflow.db", "/home/me@work/mlflow.db"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("", ""),
    ],
)  # fmt: skip
def test_secrets_of_a_uri_are_hidden_and_nothing_else(uri: str, shown: str) -> None:
    assert hide_secrets(uri) == shown
    assert is_clear(uri)
    assert hide_secrets(shown) == hide_uris(shown) == shown


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:p@ss@db/runs", "postgresql://***"),
        ("postgresql:///me:pass@db/runs", "postgresql://***"),
        ("postgresql://me:pass/runs", "postgresql://***"),
        ("http://me:pa#ss@host:5000", "http://***"),
        ("http://me:12/34@host", "http://***"),
        ("postgresql://db:5432/runs?user=me@work", "postgresql://***"),
        ("postgresql://me@db:5432/runs?user=me@work", "postgresql://***"),
        ("me:pass@host:5000", "***"),
    ],
)
def test_of_a_uri_that_can_be_read_in_several_ways_only_the_scheme_is_shown(uri: str, shown: str) -> None:
    assert hide_secrets(uri) == shown
    assert not is_clear(uri)


@pytest.mark.parametrize("password", ["secret", "p", "with:colon", "p%40ss%2Fw%25rd"])
def test_secrets_are_hidden_in_what_drivers_say(password: str) -> None:
    uri = f"postgresql://me:{password}@db/runs"
    plain = make_url(uri).password
    said = f"cannot open {uri}: up to date; password {plain!r}, dsn=host=db password={plain} ({password})"
    shown = "cannot open postgresql://me:***@db/runs: up to date; password '***', dsn=host=db password=*** (***)"
    assert hide_secrets(uri, said) == shown


def test_uris_in_a_text_and_in_a_command_line_are_hidden() -> None:
    secret = "postgresql://me:pass@db/runs"
    assert hide_uris(f"Run ({secret}), or `{secret}`.") == (
        "Run (postgresql://me:***@db/runs), or `postgresql://me:***@db/runs`."
    )
    given_ = ["--tracking-uri", "me:pass@db", f"--tracking-uri={secret}", f"--set=a={secret} b", "-x", "a b"]
    assert list(hide_arguments(given_)) == [
        "--tracking-uri",
        "***",
        "--tracking-uri=postgresql://me:***@db/runs",
        "--set=a=postgresql://me:***@db/runs b",
        "-x",
        "a b",
    ]


def test_schemes() -> None:
    found = [scheme_of(uri) for uri in ("postgresql+psycopg://me:a[b@db", "HTTP://h", "host:5000", "")]
    assert found == ["postgresql", "http", "", ""]


START, END = "zqk", "xwv"
"""Every secret is between them, and nothing else has them."""
SPECIAL = string.punctuation + " ä%2F"
secrets = st.text(st.sampled_from(SPECIAL + "aB1"), max_size=6).map(lambda middle: f"{START}{middle}{END}")
spelled_secrets = st.one_of(secrets, secrets.map(lambda secret: quote(secret, safe="")))
users = st.sampled_from(["", "me", "me%40work", "äö"])
DATABASES = ["postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql+pyodbc", "sqlite", "other"]
SECRET_NAMES = ["password", "token", "sslkey", "%70assword", "odbc_connect"]


@st.composite
def uris(draw: st.DrawFn) -> tuple[str, bool]:
    """A URI, and whether host and database can be told from secrets by everyone."""
    scheme = draw(st.sampled_from([*DATABASES, "http", "https"]))
    is_server = scheme.startswith("http")
    kind = draw(st.sampled_from(["password", "token", "empty password", "none"]))
    secret = draw(spelled_secrets)
    if kind != "password":
        secret = secret.replace(":", "%3A")  # else it is a name and a password
    info = {"password": f"{draw(users)}:{secret}@", "token": f"{secret}@", "empty password": f"{secret}:@", "none": ""}
    uri = f"{scheme}://{info[kind]}thehost:5000/thedatabase"
    raw = set(secret) if kind != "none" else set()
    clear = not raw & (set("@/?#") if is_server else set("@:/") if kind != "password" else set("@"))
    if draw(st.booleans()):
        value = draw(spelled_secrets).replace("&", "%26")  # where & stands, the value ends
        uri += f"?application=search&{draw(st.sampled_from(SECRET_NAMES))}={value}"
        clear = clear and "@" not in value
    return uri, clear


@settings(max_examples=2500, deadline=None)
@given(uris())
def test_no_secret_is_shown(case: tuple[str, bool]) -> None:
    uri, clear = case
    said = [hide_secrets(uri), hide_secrets(uri, f"cannot open '{uri}'"), *hide_arguments(["--tracking-uri", uri])]
    for shown in said:
        assert START not in shown
        assert END not in shown
    if clear:
        assert "thehost:5000/thedatabase" in hide_secrets(uri)


@settings(max_examples=500, deadline=None)
@given(spelled_secrets)
def test_what_sqlalchemy_takes_for_the_password_is_never_said(secret: str) -> None:
    uri = f"postgresql://me:{secret}@db/runs"
    try:
        password = make_url(uri).password
    except ValueError:  # nobody connects by it
        assume(False)
    for message in (f"password {password!r} is wrong", f"dsn: password={password} host=db", f"{secret} was refused"):
        said = hide_secrets(uri, message)
        assert START not in said
        if is_clear(uri):
            assert END not in said
