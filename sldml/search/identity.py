"""The identity of a search: the first event of its journal, and the tags of its MLflow runs."""

from __future__ import annotations

from typing import Any

from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recordings.sources import describe_data
from sldml.search.cluster import Slots
from sldml.search.environment import describe_environment
from sldml.search.request import Request


def search_record(request: Request, prepared: PreparedSet, split: Split, slots: Slots) -> dict[str, Any]:
    """The fields of the journal's event `search`. Contains only counts of novel recordings."""
    meta, config = prepared.meta, request.space.default_config()
    return {
        "name": request.name,
        "space": {"name": request.space.name, "hash": request.space.hash, "text": request.space.text},
        "overrides": list(request.overrides),
        "first": [dict(params) for params in request.first],
        "compare": None if request.comparison is None else request.comparison.to_record(),
        "data": None if request.data is None else str(request.data),
        "command": request.command,
        "settings": {
            **request.space.search.model_dump(),
            "slots": slots.count,
            "max_epochs": config.train.max_epochs,
        },
        "prepared": {
            "hash": prepared.hash,
            "num_recordings": meta["num_recordings"],
            "num_frames": meta["num_frames"],
            "num_rows": prepared.layout.num_rows,
            "num_refused": len(meta["refused"]),
            "source": describe_data(config.data),
        },
        "split": {**split.to_record(), "notes": [*meta["notes"], *split.notes]},
        "environment": {**describe_environment(), "threads": slots.threads},
    }


def attempt_record(request: Request, slots: Slots) -> dict[str, Any]:
    """The fields of the journal's event `attempt`: one call that works on the search."""
    return {
        "command": request.command,
        "overrides": list(request.overrides),
        "settings": request.space.search.model_dump(),
        "slots": slots.count,
        "environment": describe_environment(),
    }


def run_tags(request: Request) -> dict[str, str]:
    """Tags of all MLflow runs of the search: dataset, protocol, commit, and the axis of a comparison."""
    config = request.space.default_config()
    tags: dict[str, str] = {"dataset": config.data.dataset, "protocol": config.protocol.name}
    if request.comparison is not None:
        tags["compare"] = request.comparison.axis
    commit = describe_environment()["commit"]
    return {**tags, "commit": commit} if commit else tags
