"""The tracker: one thread that reads the journal of a search from a cursor and writes it to MLflow.

A search neither waits for its tracking nor fails because of it. The cursor is kept beside the journal, one for each
store, and every write can be repeated. So a server that is away, a killed driver, a resumed search and an old search
that is sent to a new store are all the same: catching up.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path

import filelock

from sldml.errors import hide_secrets, lacks_room, scheme_of
from sldml.journal import FILE, Event, Follower, FoundSearch, History, JournalReader, SearchBegun
from sldml.tracking.runs import Runs, is_transient
from sldml.tracking.store import TrackingError, one_line, quiet_mlflow
from sldml.tracking.writer import Call, RunWriter

_SWITCH_S = 0.0002
_log = logging.getLogger(__name__)


class Tracker:
    """Keeps the runs of a search in a store up to date with its journal."""

    RETRY_S = (0.5, 15.0)
    """First and longest pause before a failed write is retried; pauses double."""
    ATTEMPTS = 6
    """A write is dropped after this many failures in a row, if the store answered other requests each time."""

    def __init__(self, folder: Path, uri: str, search: SearchBegun, *, artifact_root: Path | None = None) -> None:
        """Find or create the experiment and the parent run; `check(uri)` should have passed before.

        Args:
            folder: The folder of the search, with its journal.
            uri: Of the store.
            search: The first event of the journal, which may not be written yet.
            artifact_root: Folder of the artifacts of a new experiment; not used with a server, which has its own.

        Raises:
            TrackingError: the store does not answer, the experiment was deleted in it, or another process tracks this
                search to it.
        """
        quiet_mlflow()
        self.uri, self.shown_uri = uri, hide_secrets(uri)
        root = None if scheme_of(uri) in ("http", "https") else artifact_root
        store = hashlib.blake2b(self.shown_uri.encode(), digest_size=4).hexdigest()
        self._cursor_file = folder / f"tracking-{store}.json"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self._cursor_file.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise TrackingError(f"another process tracks search {search.name} to {self.shown_uri}") from error
        try:
            self._runs = Runs(uri, search.space.name, root, search.name, search.id)
        except TrackingError:
            self._lock.release()
            raise
        except Exception as error:  # as in `check`
            self._lock.release()
            raise TrackingError(f"tracking store {self.shown_uri} failed: {one_line(error, uri)}") from error
        self.experiment_id, self.run_id = self._runs.experiment_id, self._runs.parent_id
        self._reader = JournalReader(folder / FILE)
        self._writer = RunWriter(self._runs, folder)
        self._search_id = search.id
        self._reader.read(until=self._read_cursor())
        self.num_written = 0
        self._refused = 0
        self._warned: set[str] = set()
        self._failing: str | None = None
        # A thread that wants the interpreter waits so long for another one to let go of it: the default of 5 ms is more
        # than a search should ever wait for this one.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._follower = Follower(self._reader, self._write, "mlflow-tracker")
        self._follower.start()

    def close(self, timeout_s: float = 60.0) -> int:
        """Catch up with the journal, at most for `timeout_s`.

        Returns the number of events that are not in the store, after reporting them in one line. Calling it again does
        nothing.
        """
        self._follower.close(timeout_s)
        waiting = self.num_waiting
        if self._lock.is_locked:
            self._lock.release()
            if waiting:
                _log.warning(
                    "tracking: %d events are not in %s yet (%s): resume the search, or use the command `track`",
                    waiting, self.shown_uri, self._failing or "it was too slow",
                )  # fmt: skip
            if self._refused:
                _log.warning("tracking: %s refused %d writes, see above", self.shown_uri, self._refused)
        return waiting

    def mark_interrupted(self) -> None:
        """Close the runs of a search that was killed, after `close`."""
        history = self._reader.history
        for call in self._writer.stop("interrupted", history.updated, history):
            self._attempt(call)

    @property
    def num_waiting(self) -> int:
        """Number of events in the journal that are not in the store yet."""
        try:
            with self._reader.path.open("rb") as file:
                file.seek(self._read_cursor())
                return file.read().count(b"\n")
        except OSError:  # it is gone
            return 0

    def to_json(self) -> dict[str, int]:
        """For a summary: number of events that were written, are waiting, and of writes that the store refused."""
        return {"written": self.num_written, "waiting": self.num_waiting, "refused": self._refused}

    # ------------------------------------------------------------------------------------------------ the thread

    def _write(self, events: list[Event], history: History) -> bool:
        """Write events and move the cursor; False after `close` gave up."""
        for call in self._writer.calls(events, history):
            if not self._attempt(call) and self._follower.given_up.is_set():
                return False
        self.num_written += len(events)
        cursor = {
            "store": self.shown_uri, "run": self.run_id, "search": self._search_id, "position": self._reader.position,
        }  # fmt: skip
        scratch = self._cursor_file.with_suffix(".new")
        try:
            scratch.write_text(json.dumps(cursor), encoding="utf-8")
            scratch.replace(self._cursor_file)
        except OSError as error:  # what was written is written again by the next call
            self._warn(f"{self._cursor_file} cannot be written ({error.strerror})")
        return True

    def _read_cursor(self) -> int:
        """The position in the journal up to which the store has everything."""
        try:
            cursor = json.loads(self._cursor_file.read_text(encoding="utf-8"))
            # URIs that differ in their secrets alone are shown alike; a run is in one store only.
            known = (cursor["search"], cursor["run"]) == (self._search_id, self.run_id)
            return int(cursor["position"]) if known else 0
        except (OSError, ValueError, KeyError, TypeError):  # then everything is written again
            return 0

    def _attempt(self, call: Call) -> bool:
        """Call until it succeeds; False if it cannot succeed, or after `close` gave up."""
        pause_s, longest_s = self.RETRY_S
        attempts = 0
        while True:
            try:
                call()
            except Exception as error:  # a search must not end because of whatever MLflow raises
                reason = one_line(error, self.uri)
                self._runs.forget_children()
                # While the store does not answer at all, or its disk is full, that is no fault of the write's.
                can_succeed = is_transient(error) or lacks_room(error)
                attempts = attempts + 1 if can_succeed and not lacks_room(error) and self._runs.answers() else 0
                if not can_succeed or attempts >= self.ATTEMPTS:
                    self._refused += 1
                    self._warn(f"{self.shown_uri} refused a write, which is left out: {reason}", reason)
                    return False
                if self._failing is None:
                    self._warn(
                        f"{self.shown_uri} does not answer: the search continues, "
                        f"and its events are sent later ({reason})"
                    )
                self._failing = reason
                if self._follower.given_up.wait(pause_s):
                    return False
                pause_s = min(2 * pause_s, longest_s)
            else:
                if self._failing is not None:
                    waiting = self.num_waiting
                    _log.warning("tracking: %s answers again, %d events are sent now", self.shown_uri, waiting)
                self._failing = None
                return True

    def _warn(self, message: str, kind: str | None = None) -> None:
        """Warn once for each `kind`."""
        if (kind or message) not in self._warned:
            self._warned.add(kind or message)
            _log.warning("tracking: %s", message)


def track(search: FoundSearch, uri: str, *, artifact_root: Path, timeout_s: float) -> Tracker:
    """Send a search that is not running to a store, and wait for it. Events that the store has are not sent again.

    Raises:
        TrackingError: as `Tracker`.
    """
    tracker = Tracker(search.folder, uri, search.history.search, artifact_root=artifact_root)
    if tracker.close(timeout_s) == 0 and search.history.ended is None:
        tracker.mark_interrupted()
    return tracker
