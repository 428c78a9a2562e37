"""Tracking of searches in MLflow. The only package that imports MLflow.

One experiment per space, one parent run per search, one child run per trial, baseline and final model. The driver of
the search calls `check` first and then owns one `Tracker`, which follows the journal. Importing this package takes
seconds, because MLflow does, so other modules import it only when they start tracking.
"""

from sldml.tracking.store import TrackingError, check, default_artifact_root, default_uri
from sldml.tracking.tracker import Tracker, track

__all__ = [
    "Tracker",
    "TrackingError",
    "check",
    "default_artifact_root",
    "default_uri",
    "track",
]
