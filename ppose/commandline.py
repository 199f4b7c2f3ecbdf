"""What every command shares: `-c` and `-o`, log lines, and errors as one clear line."""

import argparse
import errno
import io
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ppose.errors import PposeError
from ppose.paths import show_name

INTERRUPTED = 130
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Packages that ppose itself does not bring, and the extras that do; others are told of where they are chosen.
_EXTRAS = {
    **dict.fromkeys(("paddle", "setuptools"), "paddle,train"),
    **dict.fromkeys(("filelock", "jinja2", "matplotlib", "platformdirs", "pycocotools", "requests"), "train"),
    **dict.fromkeys(("scipy", "visualdl"), "train"),
}

# What the user asks for, before Paddle writes its own choice of one thread into the environment.
ASKED_THREADS = os.environ.get("OMP_NUM_THREADS")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """What every command on a config takes: the config and its overrides."""
    parser.add_argument(
        "-c",
        "--config",
        required=True,
        metavar="FILE",
        help="config file (YAML), or the name of one that comes with ppose",
    )
    parser.add_argument(
        "-o",
        "--opt",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override config keys, as in -o weights=a.pdparams EvalReader.batch_size=8; +key=value adds one",
    )


def add_gpu_option(parser: argparse.ArgumentParser) -> None:
    """Which GPUs are visible, see `choose_gpus`."""
    parser.add_argument(
        "--gpu",
        type=_gpu_list,
        metavar="LIST",
        help="the GPUs that are visible, as in 0, 0,1 or 0-3; several train at once with "
        "python -m paddle.distributed.launch --gpus 0,1,2,3",
    )


def choose_gpus(gpus: list[int] | None) -> None:
    """Show these GPUs alone to Paddle, which is to be imported after it; None leaves it all as it is."""
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


def _gpu_list(text: str) -> list[int]:
    gpus: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"got '{text}', expected GPUs as in 0, 0,1 or 0-3")
        gpus += range(int(first), int(last) + 1)
    return gpus


def whole_number(least: int) -> Callable[[str], int]:
    """The ``type`` of an argument that is a whole number, ``least`` or more."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number from {least} on")
        return int(text)

    return read


def add_box_options(parser: argparse.ArgumentParser, whose: str) -> None:
    """Who is taken for a person: of ``whose`` boxes, with which score."""
    parser.add_argument(
        "--det_threshold",
        type=float,
        default=0.5,
        metavar="SCORE",
        help=f"lowest score of {whose} boxes (default: %(default)s)",
    )
    parser.add_argument(
        "--det_class",
        nargs="+",
        metavar="NAME|ID",
        help="classes to take for people, by name or by number (default: person)",
    )


def add_export_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Where an export goes, to a folder of that name, and in which format."""
    parser.add_argument(
        "--output_dir",
        default="output_inference",
        metavar="DIR",
        help=f"the export goes to a folder {name} in it (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=["paddle", "onnx"],
        default="paddle",
        help="a second format of the same model goes into the same folder (default: %(default)s)",
    )


def add_pnp_option(parser: argparse.ArgumentParser) -> None:
    """The 3D model of rigid things, for poses in space."""
    parser.add_argument(
        "--pnp",
        type=Path,
        metavar="MODEL.json",
        help="keypoints in space and the camera: find poses in space (6-DoF) too, and draw the axes",
    )


def add_conversion_options(parser: argparse.ArgumentParser, source: str) -> None:
    """What every converter of datasets takes; ``source`` says what it reads."""
    parser.add_argument("--input", type=Path, required=True, metavar="FILE_OR_DIR", help=source)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the COCO file to write")
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="where the images are (default: looked for near the input)",
    )


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
    with _safe_paths(), _Interrupts() as interrupts:
        try:
            _run(main)
        except Exception:
            if not interrupts.came:
                raise
            # Libraries make other exceptions of the one that an interrupt is.
            _leave("interrupted", INTERRUPTED)


def _run(main: Callable[[], None]) -> None:
    try:
        main()
        sys.stdout.flush()
    except PposeError as error:
        _leave(f"error: {error}", 1)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)
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
        _leave(
            f"error: {package} is not installed, which this needs: pip install 'ppose[{_EXTRAS[package]}]'", 1
        )
    except OSError as error:
        if error.filename is None and error.errno not in _WAYS_OUT:
            raise
        place = error.filename
        if place is None and error.errno == errno.ENOSPC:
            place = _SHARED if _is_full(_SHARED) else "the output folder"
        where = f": {show_name(place)}" if place else ""
        _leave(f"error: {error.strerror}{where}{_WAYS_OUT.get(error.errno or 0, '')}", 1)
    except RuntimeError as error:
        said = str(error)
        meaning = next((text for words, text in _RUNTIME_REASONS.items() if re.search(words, said)), None)
        if meaning is None:
            raise
        _leave(f"error: {meaning}", 1)


# What the system says without the name of a file, and the way out; "" where the place is told.
_MORE_FILES = " (ulimit -n has the limit; fewer workers need fewer)"
_WAYS_OUT = {
    errno.ENOSPC: "",
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
    errno.EAGAIN: " (ulimit -u has the limit of processes; fewer workers need fewer)",
    errno.ENOMEM: " (smaller batches and fewer workers need less)",
}
_SHARED = "/dev/shm"  # noqa: S108 (named, not written)
# What runtimes say in words of their own, and what it means.
_RUNTIME_REASONS = {
    "(?i)bad_alloc|out of memory|(failed|cannot|can't) (to )?allocate": (
        "not enough memory (smaller batches need less)"
    ),
    "can't start new thread": "no more threads can be started (ulimit -u has the limit)",
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
    safe = {"PYTHONSAFEPATH": "1", "PATH": os.pathsep.join(folders)}
    before = {name: os.environ.get(name) for name in safe}
    os.environ.update(safe)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _leave(message: str, code: int) -> None:
    # Whatever a message has from a file: one line of it is no second error, and no command for the terminal.
    first, *more = map(show_name, message.splitlines())
    print(
        first,
        *(f"  {line}" if line.startswith("error:") else line for line in more),
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(code)


class _Interrupts:
    """Within it, SIGTERM and SIGHUP are as Ctrl-C: KeyboardInterrupt, and at the second time the end."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._before: dict[signal.Signals, Any] = {}
        self.came = False

    def __enter__(self) -> "_Interrupts":
        for number in INTERRUPTS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a process that was forked
            os._exit(128 + number)
        self.came = True
        for again in self._before:
            signal.signal(again, signal.SIG_DFL)
        if _CLEANUPS:
            threading.Thread(target=_end_soon, daemon=True).start()
        raise KeyboardInterrupt


def renew_interrupts() -> None:
    """Take this process's signals back from Paddle, which takes SIGTERM for itself as it is imported."""
    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTS:
            if callable(handler := signal.getsignal(number)):
                signal.signal(number, handler)


_CLEANUPS: list[Callable[[], object]] = []
_SOON = 1.5  # seconds


@contextmanager
def ends_soon(cleanup: Callable[[], object]) -> Iterator[None]:
    """Within it, an interrupt that a library loses ends the process all the same, after the cleanup."""
    _CLEANUPS.append(cleanup)
    try:
        yield
    finally:
        _CLEANUPS.remove(cleanup)


def _end_soon() -> None:
    time.sleep(_SOON)
    if _CLEANUPS:
        for cleanup in _CLEANUPS:
            cleanup()
        os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)
