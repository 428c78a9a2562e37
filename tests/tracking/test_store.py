"""Checks of a tracking store before anything else starts."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sldml.tracking import TrackingError, check, default_uri


@pytest.mark.parametrize(
    "uri",
    ["http://user:pa55word@127.0.0.1:9", "http://no-such-host.invalid:5000", "postgresql://me:pa55word@127.0.0.1:9/runs"],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_a_dead_server_is_told_in_one_line(uri: str) -> None:
    with pytest.raises(TrackingError) as caught:
        check(uri, timeout_s=3)
    message = str(caught.value)
    assert "\n" not in message
    assert "pa55word" not in message
    assert "does not answer" in message or "driver psycopg is not installed" in message
    assert len(message) < 400


@pytest.mark.timeout(60)
def test_a_server_that_accepts_but_never_answers_is_told_too() -> None:
    release = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(300)

        do_POST = do_GET

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(TrackingError, match="does not answer"):
            check(f"http://127.0.0.1:{server.server_port}", timeout_s=1)
        assert not release.is_set()
    finally:
        release.set()
        server.shutdown()


def test_what_cannot_be_a_store_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "mlflow.db"
    other.write_text("this is a text file and no database at all, long enough to have a header")
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be opened.*not a database"):
        check(default_uri(tmp_path))
    assert other.read_text().startswith("this is")
    with pytest.raises(TrackingError, match="cannot be opened or created"):
        check(default_uri(other / "below a file"))
    with pytest.raises(TrackingError, match="absolute"):
        check("sqlite:///mlflow.db")
    for uri in ("mlruns", f"file://{tmp_path}", "ftp://server/x", "http://"):
        with pytest.raises(TrackingError, match="tracking URI"):
            check(uri)


@pytest.mark.parametrize(
    "uri", ["http://me:pa#ss@host", "postgresql://me:p@ss@db/runs", "postgresql://me:pass@db:port/runs"]
)
def test_a_uri_that_can_be_read_in_several_ways_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"tracking URI \w+://\*\*\*: .* write @ in them as %40"):
        check(uri)
