"""The command that sends a search to an MLflow store."""

from __future__ import annotations

from typing import Annotated

import typer

from sldml.commands.command import parse_duration, storage_folder, tracking_store
from sldml.commands.options import StorageOption, TrackingUriOption
from sldml.errors import InputError

EXAMPLES = """
Examples:

  python launch/track.py demo-20261122-140000 --tracking-uri http://mlflow.example.org:5000

  python launch/track.py results/demo-20261122-140000 --tracking-uri sqlite:///elsewhere.db
"""


def track(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or folder of a search that is not running.")],
    tracking_uri: TrackingUriOption = None,
    storage: StorageOption = None,
    timeout: Annotated[str, typer.Option(help="Wait at most this long for the store.")] = "1h",
) -> None:
    """Send a search to an MLflow store. What the store already has is not sent again."""
    seconds, root, given = parse_duration(timeout, "--timeout"), storage_folder(storage), tracking_store(tracking_uri)

    from sldml.journal import find_search
    from sldml.tracking import check, default_artifact_root, default_uri
    from sldml.tracking import track as send

    search, uri = find_search(name, root), given or default_uri(root)
    check(uri)
    tracker = send(search, uri, artifact_root=default_artifact_root(root), timeout_s=seconds)
    state = tracker.to_json()
    if state["waiting"]:
        raise InputError(f"{tracker.shown_uri}: {state['waiting']} events were not sent: run the command again")
    print(f"tracked: {search.name} in {tracker.shown_uri}, {state['written']} events sent, run {tracker.run_id}")
