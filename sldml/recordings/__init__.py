"""Signals as they were recorded: one reader module for each source, and what they share.

Every reader module has ``find(folder)``, the files that it would read, and ``read(path) -> Recording``, which
raises `RecordingError` and nothing else for a file that it cannot read.
"""

from sldml.recordings.layout import Layout, Rows
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import HAND, KINECT_V1, KINECT_V2, SKELETONS, Skeleton

__all__ = ["HAND", "KINECT_V1", "KINECT_V2", "SKELETONS", "Layout", "Recording", "RecordingError", "Rows", "Skeleton"]
