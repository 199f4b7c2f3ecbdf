"""Runs many of our commands within one process that has Paddle already, each in a fork of it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_RUNNER = """
import os, sys, time
import paddle
from ppose.cli import run_command

def run_forked(name, arguments):
    begin = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        run_command(name, arguments)
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("ran", round(time.monotonic() - begin, 1), name, *arguments, flush=True)
    if status:
        sys.exit(f"{name} {arguments} ended with {status}")
"""


def run_program(program, folder):
    """Run Python lines in a folder that may call ``run_forked(name, arguments)``; returns what is printed.

    AssertionError with all that was said where they fail.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    run = [sys.executable, "-c", _RUNNER + program]
    result = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
