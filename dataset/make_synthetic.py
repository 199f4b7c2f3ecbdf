"""Runs `ppose synthesize` from a clone, without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.cli import run_command

if __name__ == "__main__":
    run_command("synthesize")
