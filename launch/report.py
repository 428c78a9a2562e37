"""Write the report of a search, or compare several: `python launch/report.py NAME…`."""

import sys
from pathlib import Path

# Import sldml from this file's tree, also in a Ray job that has another version installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sldml.commands.command import run_command
from sldml.commands.report import EXAMPLES, report

if __name__ == "__main__":
    run_command(report, EXAMPLES)
