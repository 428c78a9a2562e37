"""Prepared sets and synthetic recordings: `python launch/prepare.py set --space demo`."""

import sys
from pathlib import Path

# Import sldml from this file's tree, also in a Ray job that has another version installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sldml.commands.command import run_command
from sldml.commands.prepare import ABOUT, COMMANDS, EXAMPLES

if __name__ == "__main__":
    run_command(COMMANDS, EXAMPLES, about=ABOUT)
