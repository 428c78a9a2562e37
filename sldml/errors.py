"""Errors caused by bad input, parts of their messages, and hiding the secrets of URIs in whatever is shown."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
"""Stands for a secret."""

_SCHEME = re.compile(r"([A-Za-z][\w+.-]*)://")
_URI_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://\S+")
_AFTER_A_URI = "\"'`)>]}.,:;"
_PLACE = re.compile(r"(\[[^\]/?#]*\]|[^:/?#\[\]]*)(:\d*)?(?=[/?#]|\Z)")
"""A host, and a port that is a number."""
_DATABASE_USER = re.compile(r"([^:/]*)(?::([^@]*))?@")
"""As SQLAlchemy has it: a password may contain #, / and ?."""
_PORT_AND_QUERY = re.compile(r"\d*/.*\?.*=", re.DOTALL)
"""What SQLAlchemy takes for a password in `db:5432/runs?user=me@work`."""
_SECRET_NAME = re.compile(r"pass|pwd|pw$|secret|token|key|auth|cred|sig|user|uid|account|odbc|dsn", re.I)
_LONG = 6
"""Secrets from this length on are hidden even inside words."""


_NO_ROOM = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO),  # it is gone
}
_NO_ROOM_IN_TEXT = (
    *("database or disk is full", "disk I/O error", "attempt to write a readonly database"),  # SQLite
    *(f"(os error {number})" for number in sorted(_NO_ROOM)),  # safetensors
)


def lacks_room(error: BaseException) -> bool:
    """Whether a disk is full, read-only, broken or gone: nothing is wrong with what was to be written."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    return any(text in str(error) for text in _NO_ROOM_IN_TEXT)


class InputError(ValueError):
    """Bad input from the user: one line that gives what is wrong, where, and what to do.

    Commands print it without a traceback and exit with status 2.
    """


def suggestion(name: str, known: Sequence[str]) -> str:
    """For the end of a message about an unknown name: the closest known one, or the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {listed(known)}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """The names with commas; of many, the first ones and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ------------------------------------------------------------------------------------------------ secrets


def scheme_of(uri: str) -> str:
    """The scheme of a URI without its driver: `postgresql` of `postgresql+psycopg://…`; empty if it has none."""
    found = _SCHEME.match(uri)
    return found[1].partition("+")[0].lower() if found else ""


def hide_secrets(uri: str, text: str | None = None) -> str:
    """`uri`, or `text` that may quote it or parts of it, with every secret as `***`.

    Secrets are the password, a user name without one (a token), and in the query everything that may be one. They are
    found where SQLAlchemy finds them in a database's URI, and requests in a server's. If a URI can be read in several
    ways (`is_clear`), only its scheme is shown.
    """
    parts = _take_apart(uri)
    if text is None:
        return parts.shown
    spellings = sorted({s for secret in parts.secrets for s in _spellings(secret)}, key=len, reverse=True)
    return parts.shown.join(_without(piece, spellings) for piece in (text.split(uri) if uri else [text]))


def hide_uris(text: str) -> str:
    """A text with the secrets of all URIs in it hidden."""

    def hidden(found: re.Match[str]) -> str:
        uri = found[0].rstrip(_AFTER_A_URI)
        return hide_secrets(uri) + found[0][len(uri) :]

    return _URI_IN_TEXT.sub(hidden, text)


def hide_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments of a command line with the secrets of all URIs in them hidden."""
    before = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if before == "--tracking-uri":
            yield hide_secrets(argument)
        elif option == "--tracking-uri" and equals:
            yield f"{option}={hide_secrets(value)}"
        elif found := _SCHEME.search(argument):
            yield argument[: found.start()] + hide_secrets(argument[found.start() :])
        else:
            yield argument
        before = argument


def is_clear(uri: str) -> bool:
    """Whether it is clear where user name, password and host of a URI end: `@` must be quoted elsewhere."""
    return _take_apart(uri).is_clear


@dataclass(frozen=True)
class _Parts:
    shown: str
    secrets: tuple[str, ...] = ()
    """As they are spelled in the URI."""
    is_clear: bool = True


def _take_apart(uri: str) -> _Parts:
    found = _SCHEME.match(uri)
    if found is None:
        is_path = uri.startswith(("/", "./", "../", "~")) or uri.endswith((".db", ".sqlite", ".sqlite3"))
        return _Parts(uri) if is_path or "@" not in uri else _unclear("", uri)
    start, rest = found[0], uri[found.end() :]
    is_server, is_sqlite = scheme_of(uri) in ("http", "https"), scheme_of(uri) == "sqlite" and rest.startswith("/")
    user, password, tail = (None, None, rest) if is_sqlite else _user_of(rest, is_server=is_server)
    if not is_sqlite and ("@" in tail or not _PLACE.match(tail)):
        return _unclear(start, rest)
    if "@" in (user or "") or _PORT_AND_QUERY.match(password or ""):
        return _unclear(start, rest)
    if user is not None and not is_server and not _agrees(uri, user, password):
        return _unclear(start, rest)
    secrets = [secret for secret in (password or user,) if secret]
    if user is not None:
        start += f"{user}:{HIDDEN}@" if password else f"{HIDDEN}@"
    tail, hash_sign, fragment = tail.partition("#") if is_server else (tail, "", "")
    place, mark, query = tail.partition("?")
    shown, more = _query(query)
    if fragment:
        hash_sign, more = f"#{HIDDEN}", [*more, fragment]
    return _Parts(f"{start}{place}{mark}{shown}{hash_sign}", (*secrets, *more))


def _unclear(start: str, rest: str) -> _Parts:
    return _Parts(f"{start}{HIDDEN}", (rest, *filter(None, re.split(r"[/?#@:&=,;\s]+", rest))), is_clear=False)


def _user_of(rest: str, *, is_server: bool) -> tuple[str | None, str | None, str]:
    """User name, password, and what follows them."""
    if is_server:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        info, at, host = authority.rpartition("@")
        user, colon, password = info.partition(":")
        return (user, password if colon else None, host + rest[len(authority) :]) if at else (None, None, rest)
    found = _DATABASE_USER.match(rest)
    return (found[1], found[2], rest[found.end() :]) if found else (None, None, rest)


def _agrees(uri: str, user: str, password: str | None) -> bool:
    """Whether SQLAlchemy finds the same user name and password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return False
    return (url.username or "", url.password or "") == (unquote(user), unquote(password or ""))


def _query(query: str) -> tuple[str, list[str]]:
    """A query as it may be shown, and its secrets."""
    shown, secrets = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if not re.fullmatch(r"[\w.-]+", name) or (not value and "=" not in part):
            shown.append(HIDDEN if part else "")
            secrets.append(part)
        elif value and (_SECRET_NAME.search(name) or "=" in unquote_plus(value)):
            shown.append(f"{name}={HIDDEN}")
            secrets.append(value)
        else:
            shown.append(part)
    return "&".join(shown), [secret for secret in secrets if secret]


def _spellings(secret: str) -> set[str]:
    """How a secret may be spelled in a message."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    quoted = {spelled for word in plain for spelled in (quote(word, safe=""), quote_plus(word), repr(word)[1:-1])}
    return (plain | quoted) - {HIDDEN}


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= _LONG:
            text = text.replace(secret, HIDDEN)
        else:  # it may also be a part of a word of the message
            before = r"(?<!\w)" if re.match(r"\w", secret) else ""
            after = r"(?!\w)" if re.search(r"\w\Z", secret) else ""
            text = re.sub(before + re.escape(secret) + after, lambda _: HIDDEN, text)
    return text
