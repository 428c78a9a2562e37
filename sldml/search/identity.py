"""The identity of a search: the first event of its journal, and that of each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sldml.errors import hide_secrets, hide_uris
from sldml.journal import AttemptBegun, OptionsRecord, Params, PreparedRecord, SearchBegun, SettingsRecord, SpaceRecord
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recordings.sources import describe_data
from sldml.search.cluster import Slots
from sldml.search.environment import describe_environment
from sldml.search.request import Request


def search_begun(request: Request, prepared: PreparedSet, split: Split, slots: Slots) -> SearchBegun:
    """The first event of a search. Contains only counts of novel recordings."""
    meta, config, space = prepared.meta, request.space.default_config(), request.space
    is_plain = request.comparison is None and space.search.sampler != "grid"
    default = space.default_params() if is_plain else None
    return SearchBegun(
        name=request.name,
        space=SpaceRecord(name=space.name, hash=space.hash, text=hide_uris(space.text)),
        dataset=config.data.dataset,
        protocol=config.protocol.name,
        settings=_settings(request),
        slots=slots.count,
        max_epochs=config.train.max_epochs,
        overrides=tuple(request.overrides),
        first=_first(default, request.first),
        default=default,
        compare=None if request.comparison is None else request.comparison.to_record(),
        data=None if request.data is None else str(request.data),
        command=request.command,
        prepared=PreparedRecord(
            hash=prepared.hash,
            num_recordings=meta["num_recordings"],
            num_frames=meta["num_frames"],
            num_rows=prepared.layout.num_rows,
            num_refused=len(meta["refused"]),
            source=describe_data(config.data),
        ),
        split=split.to_record(meta["notes"]),
        environment=describe_environment(slots.threads),
    )


def _first(default: Params | None, given: Sequence[Mapping[str, Any]]) -> tuple[Params, ...]:
    """The configurations to try first: the default one, then the given ones."""
    return (() if default is None else (default,)) + tuple(dict(params) for params in given if params != default)


def attempt_begun(request: Request, slots: Slots) -> AttemptBegun:
    """The event of a call that works on the search."""
    return AttemptBegun(
        command=request.command,
        overrides=tuple(request.overrides),
        settings=_settings(request),
        slots=slots.count,
        environment=describe_environment(slots.threads),
        register_as=request.register,
        options=options_of(request),
    )


def options_of(request: Request) -> OptionsRecord:
    """The options of a call, which a resumed search takes over."""
    return OptionsRecord(
        space=request.space_given,
        final=request.final,
        concurrent=request.concurrent,
        cpus_per_trial=request.cpus_per_trial,
        gpus_per_trial=request.gpus_per_trial,
        strict=request.strict,
        tracking_uri=None if request.tracking_uri is None else hide_secrets(request.tracking_uri),
        address=request.address,
    )


def _settings(request: Request) -> SettingsRecord:
    return SettingsRecord.model_validate(request.space.search.model_dump())
