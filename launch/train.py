"""Train one configuration: `python launch/train.py --space demo --set loss.name=sup_con`."""

import sys
from pathlib import Path

# Import sldml from this file's tree, also in a Ray job that has another version installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sldml.commands.command import run_command
from sldml.commands.train import EXAMPLES, train

if __name__ == "__main__":
    run_command(train, EXAMPLES)
