"""Set-up shared by all commands: logging, and errors as one clear line."""

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

# Packages that plain ppose does not install, with the extras that do; other packages are reported where they
# are chosen. An empty extra: plain ppose installs it, so this ppose was never installed.
_EXTRAS = {
    "av": "video",
    **dict.fromkeys(("filelock", "platformdirs", "pooch", "requests"), ""),
    **dict.fromkeys(("paddle", "setuptools"), "paddle,train"),
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "visualdl"), "train"),
    "motmetrics": "track",
    **dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "PIL"), "serve"),
    **dict.fromkeys(("fsspec", "pyarrow", "ray"), "ray"),
}

# The user's setting, read before Paddle writes its own default of one thread into the environment.
ASKED_THREADS = os.environ.get("OMP_NUM_THREADS")


def run(main: Callable[[], None]) -> None:
    """Run a command's main function; errors that a user can cause become one line and a non-zero exit."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("ppose").setLevel(logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings come with a traceback
    warnings.filterwarnings("ignore", module="paddle")  # about what Paddle's own modules import and call
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # our readers report faulty files
    for stream in (sys.stdout, sys.stderr):  # for names that the terminal cannot encode
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
            # Libraries turn KeyboardInterrupt into other exceptions.
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
    except BrokenPipeError:  # the reader of our output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError as error:  # of numpy or Paddle; Paddle's further lines locate its source
        reason = str(error).strip().splitlines()[:1]
        _leave(f"error: {': '.join(['not enough memory', *reason])} (use smaller batches)", 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = f"[{_EXTRAS[package]}]" if _EXTRAS[package] else ""
        _leave(f"error: {package} is needed and not installed: pip install 'ppose{extra}'", 1)
    except OSError as error:
        if error.filename is None and error.errno not in _WAYS_OUT:
            raise
        place = error.filename
        if place is None and error.errno == errno.ENOSPC:
            place = _SHARED if _is_full(_SHARED) else "the output folder"
        where = f": {show_name(place)}" if place else ""
        _leave(f"error: {error.strerror}{where}{_WAYS_OUT.get(error.errno or 0, '')}", 1)
    except (RuntimeError, ImportError) as error:
        if (lack := find_lack(error)) is None:
            raise
        _leave(f"error: {lack}", 1)


# System errors, also those without a file name, and the way out.
_MORE_FILES = " (raise the limit with ulimit -n, or use fewer workers)"
_WAYS_OUT = {
    errno.ENOSPC: " (df -h shows what is full; PPOSE_HOME sets the folder of models)",
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
    errno.EAGAIN: " (raise the process limit with ulimit -u, or use fewer workers)",
    errno.ENOMEM: " (use smaller batches or fewer workers)",
}
_SHARED = "/dev/shm"  # noqa: S108 (named, not written)
# Error texts of the runtimes, and what they mean.
_LACKS = {
    "(?i)bad_alloc|out of memory|(failed|cannot|can't) (to )?allocate|failed to map segment": (
        "not enough memory (use smaller batches)"
    ),
    "can't start new thread|Resource temporarily unavailable": (
        "no more threads can be started (raise the limit with ulimit -u)"
    ),
    _SHARED: f"{_SHARED} is too small for the loader (set use_shared_memory: false)",
}


def find_lack(error: BaseException) -> str | None:
    """What the machine lacks, if a runtime's error says so: memory, threads or shared memory."""
    return next((lack for words, lack in _LACKS.items() if re.search(words, str(error))), None)


def _is_full(folder: str) -> bool:
    try:
        return shutil.disk_usage(folder).free < 1 << 20
    except OSError:
        return False


@contextmanager
def _safe_paths() -> Iterator[None]:
    """Keep processes that we or libraries start from running programs in the current folder."""
    path = os.environ.get("PATH", os.defpath)
    folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    with environment(PYTHONSAFEPATH="1", PATH=os.pathsep.join(folders)):
        yield


def align_columns(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Return the lines of a table: the first ``left`` columns are left-aligned, the others right-aligned.

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
    sys.unraisablehook = lambda _: None  # half-made objects complain as they are deleted
    # Text from a file must not look like a second error, nor send commands to the terminal.
    first, *more = map(show_name, message.splitlines())
    print(
        first,
        *(f"  {line}" if line.startswith("error:") else line for line in more),
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(code)
