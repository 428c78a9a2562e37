"""Send a search to an MLflow store: `python launch/track.py NAME --tracking-uri URI`."""

from __future__ import annotations

import sys
from pathlib import Path

# Import sldml from this file's tree, also in a Ray job that has another version installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sldml.commands.command import run_command
from sldml.commands.track import EXAMPLES, track

if __name__ == "__main__":
    run_command(track, EXAMPLES)
