"""Before the first trial: lock the folder, read the journal, prepare the recordings and split them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from sldml.embedding.embed import require_one_input_shape
from sldml.embedding.images import check_representation
from sldml.errors import InputError
from sldml.journal import History, read_history
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.protocols.folds import fold_developments
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recordings.sources import describe_data
from sldml.search.request import Request, folder_lock_path, was_begun
from sldml.search.watcher import Watcher

_MOST_REFUSED_SHOWN = 20


@contextmanager
def folder_lock(request: Request) -> Iterator[None]:
    """Lock the search's folder against a second driver."""
    lock = filelock.FileLock(folder_lock_path(request.folder))
    with storage_errors(request):
        request.storage.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise InputError(f"search {request.name} is in use by another process") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def storage_errors(request: Request) -> Iterator[None]:
    """Turn an OSError of the folder of results, before the search begins, into an InputError.

    Raises:
        InputError: there was an OSError.
    """
    try:
        yield
    except OSError as error:
        advice = "make room there" if request.resume else "make room there, or choose another folder with --storage"
        reason = error.strerror or error
        raise InputError(f"cannot write results to {request.storage} ({reason}): {advice}") from error


def earlier_history(request: Request) -> History:
    """The history of a resumed search; empty for a new one."""
    if not request.resume:
        if was_begun(request.folder):
            raise InputError(f"search {request.name} exists in {request.storage}: use --resume or another --name")
        return History()
    return read_history(request.journal)


def require_same_data(history: History, prepared: PreparedSet, split: Split) -> None:
    """Check that a resumed search uses the same recordings and split as before.

    Raises:
        InputError: they differ.
    """
    known = history.begun
    if known is None:
        return
    if known.prepared.hash != prepared.hash:
        raise InputError(
            f"the recordings differ from those of search {known.name} (prepared set {known.prepared.hash}, now "
            f"{prepared.hash}): start a new search with another --name"
        )
    if known.split.hash != split.hash:
        raise InputError(
            f"the split of the recordings differs from that of search {known.name} (was a list of "
            "exemplars changed?): start a new search with another --name"
        )


def prepared_data(request: Request, watcher: Watcher) -> tuple[PreparedSet, Split]:
    """The prepared set and its split, with messages about them."""
    config = request.space.default_config()
    watcher.say(f"search {request.name}: {describe_data(config.data)}")
    prepared = prepare(
        config.data,
        request.data,
        request.cache,
        strict=request.strict,
        checking=watcher.counting("MB of the prepared set checked"),
        progress=watcher.counting("recordings read"),
    )
    refused = prepared.meta["refused"]
    for entry in refused[:_MOST_REFUSED_SHOWN]:
        watcher.say(f"left out: {entry['file']}: {entry['reason']}")
    if len(refused) > _MOST_REFUSED_SHOWN:
        watcher.say(f"left out: {len(refused) - _MOST_REFUSED_SHOWN} more, see {prepared.folder / 'meta.json'}")
    watcher.say(f"{prepared.meta['num_recordings']} recordings, {len(refused)} unreadable ({prepared.folder})")
    split = make_split(config.protocol, prepared.catalog)
    for representation in request.space.representations():
        check_representation(representation, prepared.layout)
    require_one_input_shape(split, request.space.encoders(), config.representation, prepared.layout)
    comparison = request.comparison
    if comparison is not None:
        fold_developments(split.development, comparison.num_folds)  # refuses what would fail in every trial
    for note in (*prepared.meta["notes"], *split.notes, *(comparison.notes if comparison is not None else ())):
        watcher.say(f"note: {note}")
    watcher.say(split.in_words())
    return prepared, split
