"""Sends signals to real commands at random moments, and checks what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 2.0  # from the signal to the end
_AT_ONCE = 0.5  # from the second one
_RAY_SECONDS = 4.0  # with Ray, which ends its processes one after the other
START = "from ppose.cli import main; main()"
_ENDS = {"train": (130, 143, 129)}


@dataclass(frozen=True)
class Ending:
    """How a command ended after its signals: exit code, seconds since then, errors, and faults."""

    signals: tuple[str, ...]
    moment: float
    code: int
    seconds: float
    errors: str
    faults: tuple[str, ...]


def measure(arguments: list[str], folder: Path) -> float:
    """Run a command without interrupts; it must succeed. Return its seconds."""
    folder.mkdir(parents=True)
    begin = time.monotonic()
    with _started(arguments, folder) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return time.monotonic() - begin


def interrupt(arguments: list[str], folder: Path, whole: float, rng: np.random.Generator) -> Ending:
    """Run a command in the new ``folder``, and send it a signal, sometimes a second one soon after.

    ``whole`` is its duration without a signal. Half of the Ctrl-C go to all of its processes, as from a
    terminal.
    """
    folder.mkdir(parents=True)
    number = SIGNALS[rng.integers(len(SIGNALS))]
    is_terminal = number == signal.SIGINT and rng.integers(2) == 0
    moment, second = rng.uniform(0, whole), rng.uniform(0.05, 0.4) if rng.integers(5) == 0 else None
    send: Callable[[int, int], None] = os.killpg if is_terminal else os.kill
    signals = [f"{number.name}{' to all' if is_terminal else ''}"]
    shared = _shared_memory()
    with _started(arguments, folder) as process:
        _wait_for_handlers(process)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            send(process.pid, number)
        sent = time.monotonic()
        if second is not None and process.poll() is None:
            try:
                process.wait(second)
            except subprocess.TimeoutExpired:
                signals.append("again")
                send(process.pid, number)
                sent = time.monotonic()
        try:
            _, errors = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
            errors += "\nhung"
        seconds = time.monotonic() - sent
    is_again, is_ray = len(signals) > 1, "ray" in arguments
    limit = _RAY_SECONDS if is_ray else _AT_ONCE if is_again else SECONDS
    faults = list(_find_faults(arguments[0], process.returncode, errors, seconds, folder, limit, is_again))
    # After a second signal, Ray's processes may stay for half a minute, until they notice that Ray has ended.
    if alive := _find_processes(folder, (60 if is_again else 10) if is_ray else 1):
        faults.append(f"processes are left: {alive}")
    if left := [name for name in _shared_memory() - shared if f"_{process.pid}_" in name]:
        faults.append(f"shared memory is left: {left}")
    return Ending(tuple(signals), moment, process.returncode, seconds, errors, tuple(faults))


def _find_faults(
    command: str, code: int, errors: str, seconds: float, folder: Path, limit: float, is_again: bool
) -> Iterator[str]:
    if "Traceback" in errors or "Exception" in errors or "terminate called" in errors:
        yield "a traceback"
    if seconds > limit:
        yield f"{seconds:.1f} s, expected {limit} at most"
    if is_again:
        return  # a second signal may leave files
    if code not in (0, *_ENDS.get(command, (130,))):
        yield f"exit code {code}"
    *_, last = errors.splitlines() or [""]
    if code == 130 and last != "interrupted" and not (command == "train" and "stopped by" in last):
        yield f"ends with {last!r}"
    if code and errors.count("interrupted") > 1:
        yield "says it twice"
    if left := [file.name for file in (folder / "tmp").iterdir() if file.name != "ray"]:  # whose logs stay
        yield f"leaves {left} for temporary files"
    yield from find_leftovers(folder)


def find_leftovers(folder: Path) -> Iterator[str]:
    """Yield temporary and incomplete files that a command left in a folder."""
    for file in sorted(folder.rglob("*")):
        if ".part" in file.name or (file.name.startswith(".") and file.is_dir()) or file.name == "run.pid":
            yield f"leaves {file.relative_to(folder)}"
        elif file.is_file():
            try:
                _read(file)
            except Exception as error:
                yield f"{file.relative_to(folder)} is not whole: {error!r}"


def _read(file: Path) -> None:
    """Raise any exception if a result is incomplete."""
    if file.suffix == ".json":
        json.loads(file.read_text())
    elif file.suffix == ".jsonl":
        [json.loads(line) for line in file.read_text().splitlines()]
    elif file.suffix == ".npz":
        dict(np.load(file))
    elif file.suffix == ".mp4":
        with av.open(str(file)) as video:
            next(video.decode(video=0))


@contextmanager
def _started(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    environment.update([_home(folder).split("=", 1)])
    with subprocess.Popen(
        [sys.executable, "-c", START, *[text.replace("OUT", str(folder / "out")) for text in arguments]],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        yield process


def _wait_for_handlers(process: subprocess.Popen) -> None:
    """Return when a command handles SIGTERM, or has ended."""
    status = Path("/proc", str(process.pid), "status")
    while process.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.002)


def _find_processes(folder: Path, seconds: float) -> list[str]:
    """The processes of a folder's command, including daemons, that still run after ``seconds``."""
    end = time.monotonic() + seconds
    home = _home(folder)
    while alive := [name for name, known in map(_describe, Path("/proc").glob("[0-9]*")) if home in known]:
        if time.monotonic() > end:
            return alive
        time.sleep(0.02)
    return []


def _home(folder: Path) -> str:
    """The environment variable that marks all processes of a command, and no others."""
    return f"PPOSE_HOME={folder / 'home'}"


def _describe(process: Path) -> tuple[str, list[str]]:
    """A process's name and environment, empty if it has ended."""
    try:
        return (process / "comm").read_text().strip(), (process / "environ").read_text(
            errors="replace"
        ).split("\0")
    except OSError:
        return "", []


def _shared_memory() -> set[str]:
    folder = Path("/dev/shm")
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()
