"""Recordings as stored by their source: one reader module for each source, and shared parts.

Every reader module has ``find(folder)``, which returns the files to read, and ``read(path) -> Recording``, which raises
only `RecordingError` for a file that it cannot read.
"""

from sldml.recordings.layout import Layout, Rows
from sldml.recordings.recording import Recording, RecordingError
from sldml.recordings.skeletons import HAND, KINECT_V1, KINECT_V2, SKELETONS, Skeleton

__all__ = ["HAND", "KINECT_V1", "KINECT_V2", "SKELETONS", "Layout", "Recording", "RecordingError", "Rows", "Skeleton"]
