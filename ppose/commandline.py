"""What every command shares: log lines, and errors as one clear line."""

import errno
import io
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ppose.errors import PposeError
from ppose.interrupts import INTERRUPTED, Interrupts
from ppose.paths import show_name
from ppose.processor_settings import environment

# Packages that ppose itself does not bring, and the extras that do; others are told of where they are chosen.
# Without an extra: those of a version of ppose that was not installed.
_EXTRAS = {
    "av": "video",
    **dict.fromkeys(("filelock", "platformdirs", "pooch", "requests"), ""),
    **dict.fromkeys(("paddle", "setuptools"), "paddle,train"),
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "visualdl"), "train"),
    "motmetrics": "track",
    **dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "PIL"), "serve"),
    **dict.fromkeys(("fsspec", "pyarrow", "ray"), "ray"),
}

# What the user asks for, before Paddle writes its own choice of one thread into the environment.
ASKED_THREADS = os.environ.get("OMP_NUM_THREADS")


def run(main: Callable[[], None]) -> None:
    """Run a command's main function; errors that a user can cause become one line and a non-zero exit."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("ppose").setLevel(logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a warning of its own has a traceback
    warnings.filterwarnings("ignore", module="paddle")  # of what Paddle's own modules import and call
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what is wrong with a file, its reader says here
    for stream in (sys.stdout, sys.stderr):  # of names that the terminal has no letters for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with _safe_paths(), Interrupts() as interrupts:
        try:
            _run(main)
        except KeyboardInterrupt:
            _interrupted(interrupts)
        except Exception:
            if not interrupts.came:
                raise
            # Libraries make other exceptions of the one that an interrupt is.
            _interrupted(interrupts)


def _interrupted(interrupts: Interrupts) -> None:
    interrupts.end()
    _leave("interrupted", INTERRUPTED)


def _run(main: Callable[[], None]) -> None:
    try:
        main()
        sys.stdout.flush()
    except PposeError as error:
        _leave(f"error: {error}", 1)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError as error:  # numpy's and Paddle's; the latter goes on with where in its code it was
        reason = str(error).strip().splitlines()[:1]
        _leave(f"error: {': '.join(['not enough memory', *reason])} (smaller batches need less)", 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = f"[{_EXTRAS[package]}]" if _EXTRAS[package] else ""
        _leave(f"error: {package} is not installed, which this needs: pip install 'ppose{extra}'", 1)
    except OSError as error:
        if error.filename is None and error.errno not in _WAYS_OUT:
            raise
        place = error.filename
        if place is None and error.errno == errno.ENOSPC:
            place = _SHARED if _is_full(_SHARED) else "the output folder"
        where = f": {show_name(place)}" if place else ""
        _leave(f"error: {error.strerror}{where}{_WAYS_OUT.get(error.errno or 0, '')}", 1)
    except (RuntimeError, ImportError) as error:
        said = str(error)
        meaning = next((text for words, text in RUNTIME_REASONS.items() if re.search(words, said)), None)
        if meaning is None:
            raise
        _leave(f"error: {meaning}", 1)


# What the system says, also without the name of a file, and the way out.
_MORE_FILES = " (ulimit -n has the limit; fewer workers need fewer)"
_WAYS_OUT = {
    errno.ENOSPC: " (df -h shows what is full; PPOSE_HOME says where models are kept)",
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
    errno.EAGAIN: " (ulimit -u has the limit of processes; fewer workers need fewer)",
    errno.ENOMEM: " (smaller batches and fewer workers need less)",
}
_SHARED = "/dev/shm"  # noqa: S108 (named, not written)
# What runtimes say in words of their own, and what it means.
RUNTIME_REASONS = {
    "(?i)bad_alloc|out of memory|(failed|cannot|can't) (to )?allocate|failed to map segment": (
        "not enough memory (smaller batches need less)"
    ),
    "can't start new thread|Resource temporarily unavailable": (
        "no more threads can be started (ulimit -u has the limit)"
    ),
    _SHARED: f"{_SHARED} is too small for what the loader shares (use_shared_memory: false needs none)",
}


def _is_full(folder: str) -> bool:
    try:
        return shutil.disk_usage(folder).free < 1 << 20
    except OSError:
        return False


@contextmanager
def _safe_paths() -> Iterator[None]:
    """Within it, no process that we, or libraries, start runs what lies in the current folder."""
    path = os.environ.get("PATH", os.defpath)
    folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    with environment(PYTHONSAFEPATH="1", PATH=os.pathsep.join(folders)):
        yield


def align_columns(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """The lines of a table of texts: the ``left`` first columns begin below each other, the others end so.

    >>> align_columns([["", "ms"], ["fast", "1"], ["slow", "100"]], left=1)
    ['       ms', 'fast    1', 'slow  100']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _leave(message: str, code: int) -> None:
    sys.unraisablehook = lambda _: None  # of objects that were half made, as they go: the message says why
    # Whatever a message has from a file: one line of it is no second error, and no command for the terminal.
    first, *more = map(show_name, message.splitlines())
    print(
        first,
        *(f"  {line}" if line.startswith("error:") else line for line in more),
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(code)
