"""Locks a run's folder: one run at a time."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock

from ppose.errors import ConfigError
from ppose.files import write_json
from ppose.interrupts import cleaned
from ppose.paths import show_name, show_text

_logger = logging.getLogger(__name__)

_LOCK, _OWNER = "run.lock", "run.pid"


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Context in which this process owns a run's folder; removes half-written files of dead writers.

    Raises ConfigError with process and host if another run is active there. The folder of a dead process
    is taken over, with a log line that names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = filelock.FileLock(folder / _LOCK), folder / _OWNER
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ConfigError(
            f"another run is active in {show_name(folder)}: {_describe(owner)}; wait for its end, or choose "
            "another folder with -o save_dir=DIR"
        ) from None
    try:
        if owner.exists():
            _logger.warning("the run of %s was killed: %s is taken over", _describe(owner), show_name(folder))
        for part in folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        with cleaned(partial(owner.unlink, missing_ok=True)):
            write_json(owner, {"process": os.getpid(), "host": socket.gethostname()})
            yield
    finally:
        lock.release()


def _describe(owner: Path) -> str:
    try:
        said = json.loads(owner.read_bytes())
        return f"process {show_text(said['process'])} on {show_text(said['host'])}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "an unknown process"
